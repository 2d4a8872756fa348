"""Commands over the trading core alone: they need no database and no running service."""

import gzip
import json
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import click

from app.cli.plan import BAD_INPUT, grid, json_object, problem_json, text_of
from app.markets.recordings import open_lines
from app.money import exact_text
from app.trading.backtest import BacktestResult, NoCandles, PriceLeaps, run_backtest
from app.trading.candles import BadCandle, CandleReport, check_candles, parse_candles
from app.trading.codec import to_json
from app.trading.inputs import MARKET_NAMES, read_market
from app.trading.strategies import STRATEGIES
from app.trading.strategy import InvalidParams

HUNDRED = Decimal(100)
QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "USD", "EUR", "BRL", "BTC", "ETH")

CandleFile = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@contextmanager
def open_candles(path: Path) -> Iterator[Iterable[str]]:
    """Open a file of candles; say in one line if it is not what its name says."""
    try:
        with open_lines(path) as lines:
            yield lines
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise click.ClickException(f"{path} can't be read: {error}") from error


# --- candles ----------------------------------------------------------------------------------


@click.group()
def candles() -> None:
    """Look at files of recorded candles."""


@candles.command("check")
@click.argument("file", type=CandleFile)
@click.option("--strict", is_flag=True, help="Refuse a file with gaps too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def check_file(file: Path, strict: bool, as_json: bool) -> None:
    """Name every bad row and list every gap of FILE (.csv or .csv.gz)."""
    with open_candles(file) as lines:
        report = check_candles(lines)
    good = report.is_good(strict=strict)
    if as_json:
        click.echo(json.dumps({"file": str(file), "good": good, **to_json(report)}, indent=1))
    else:
        _print_report(file, report, good)
    if not good:
        sys.exit(1)


def _print_report(file: Path, report: CandleReport, good: bool) -> None:
    for bad in report.bad:
        said = " ".join(f"{name}={value}" for name, value in bad.values.items())
        click.echo(f"{file}: row {bad.row} (line {bad.line}): {bad.code} {said}".rstrip())
    if report.bad_count > len(report.bad):
        click.echo(f"{file}: {report.bad_count - len(report.bad)} more bad rows")
    for gap in report.gaps:
        click.echo(
            f"{file}: gap before row {gap.row} (line {gap.line}): candles missing: {gap.missing}"
        )
    frame = "unknown" if report.timeframe_ms is None else f"{report.timeframe_ms // 1000} s"
    click.echo(
        f"{file}: {'good' if good else 'not usable'}: {report.rows} rows, timeframe {frame},"
        f" {report.bad_count} bad rows, {len(report.gaps)} gaps"
    )


# --- back-test --------------------------------------------------------------------------------


@click.command()
@click.option("--candles", "file", type=CandleFile, required=True, help=".csv or .csv.gz")
@click.option("--strategy", type=click.Choice(list(STRATEGIES)), default="grid")
@click.option("--params", "params_text", required=True, help="Parameters as a JSON object.")
@click.option("--symbol", default=None, help="Pair, as BTC/USDT; guessed from the file's name.")
@click.option("--touch", is_flag=True, help="Fill orders as soon as the price reaches them.")
@click.option("--full", is_flag=True, help="With --json: list orders, fills and round trips too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def backtest(
    file: Path,
    strategy: str,
    params_text: str,
    symbol: str | None,
    touch: bool,
    full: bool,
    as_json: bool,
) -> None:
    """Replay recorded candles through a strategy.

    Beside the strategy's own parameters the JSON may hold the market's: maker_fee, taker_fee,
    fee_side, tick, lot, min_quantity, min_notional. Exits with code 2 on bad input.
    """
    started = time.perf_counter()
    try:
        values = json_object("params", params_text)
        market, _ = read_market(values, symbol or symbol_of(file))
        own = {name: value for name, value in values.items() if name not in MARKET_NAMES}
        with open_candles(file) as lines:
            result = run_backtest(strategy, own, market, parse_candles(lines), touch=touch)
    except InvalidParams as bad:
        _refuse([problem_json(each) for each in bad.problems], as_json)
    except (BadCandle, PriceLeaps) as bad:
        _refuse([{"field": "candles", "code": bad.code, "values": dict(bad.values)}], as_json)
    except NoCandles as bad:
        _refuse([{"field": "candles", "code": bad.code, "values": {}}], as_json)
    seconds = time.perf_counter() - started
    said: dict[str, Any] = {"file": file.name, "symbol": market.symbol, "strategy": strategy}
    said |= {"touch": touch, **result_json(result, full=full)}
    said["speed"] = {
        "seconds": f"{seconds:.3f}",
        "candles_per_second": int(result.candles / seconds),
    }
    if as_json:
        click.echo(json.dumps(said, indent=1))
    else:
        for name, value in said.items():
            if name != "equity":
                click.echo(f"{name}: {json.dumps(value)}")


def symbol_of(file: Path) -> str:
    """Guess the pair from a name like `bybit-BTCUSDT-5m.csv.gz`; BASE/QUOTE if it says nothing."""
    for part in file.name.split(".")[0].split("-")[1:]:
        for quote in QUOTES:
            if part.endswith(quote) and len(part) > len(quote):
                return f"{part.removesuffix(quote)}/{quote}"
    return "BASE/QUOTE"


def result_json(result: BacktestResult, *, full: bool = False) -> dict[str, Any]:
    """Return a result as JSON-able values, exact decimals as text."""
    shown = result.figures
    statuses = [order.status.value for order in result.orders]
    said: dict[str, Any] = {
        "candles": result.candles,
        "first_ms": result.first_ms,
        "last_ms": result.last_ms,
        "last_price": exact_text(result.last_price),
        "orders": {name.lower(): statuses.count(name) for name in sorted(set(statuses))},
        "fills": len(result.fills),
        "matched_trades": shown.matched_trades,
        "profit": {
            name: exact_text(getattr(shown, name))
            for name in ("total", "grid", "price_change", "funding", "fees")
        },
        "total_percent": _percent(shown.total_share),
        "buy_and_hold": exact_text(shown.buy_and_hold),
        "value_now": exact_text(shown.value_now),
        "invested": exact_text(shown.invested),
        "break_even": text_of(shown.break_even),
        "average_entry": text_of(shown.average_entry),
        "yearly_pace_percent": _percent(shown.yearly_pace),
        "max_drawdown_percent": _percent(result.drawdown.largest),
        "days_outside": exact_text(result.days_outside),
        "candles_outside": result.candles_outside,
        "finished": result.finished,
        "equity": [
            [point.ts_ms, exact_text(point.equity), exact_text(point.hold)]
            for point in result.equity
        ],
    }
    if full:
        said["order_list"] = [to_json(order) for order in result.orders]
        said["fill_list"] = [to_json(fill) for fill in result.fills]
        said["match_list"] = [
            {**to_json(match), "profit": exact_text(match.profit)} for match in result.matches
        ]
    return said


def _percent(share: Decimal | None) -> str | None:
    return None if share is None else exact_text(share * HUNDRED)


def _refuse(errors: list[dict[str, Any]], as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"errors": errors}, indent=1))
    else:
        for error in errors:
            said = " ".join(f"{name}={value}" for name, value in error["values"].items())
            click.echo(f"{error['field']}: {error['code']} {said}".rstrip(), err=True)
    sys.exit(BAD_INPUT)


commands: list[click.Command] = [candles, grid, backtest]
