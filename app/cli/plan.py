"""The command `flask grid plan`: what a grid would do, from a file or for a pair of an exchange."""

import json
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any, NoReturn, TextIO

import click
from flask.cli import with_appcontext

from app.exchanges.catalogue import VENUES
from app.markets.models import MarketRow
from app.markets.queries import find_market, to_market
from app.money import exact_text
from app.trading.cases import figures_for, kind_of
from app.trading.codec import to_json
from app.trading.inputs import read_plan_input
from app.trading.market import Market, Tier
from app.trading.strategies.grid_figures import GridPlan, PlannedOrder
from app.trading.strategies.grid_params import USUAL_RESERVE
from app.trading.strategies.grid_plan import plan_grid
from app.trading.strategy import InvalidParams, Problem, problem

BAD_INPUT = 2
HUNDRED = Decimal(100)
PLAN_FIGURES = (
    "quantity",
    "base_to_buy",
    "base_cost",
    "quote_reserved",
    "base_reserved",
    "investment",
    "minimum_investment",
)
# Beside or instead of the plan: what the input asks for by names that no plan has.
WITH_PLAN = {"trailing": "then_price", "profit": "fee"}
RULES = (
    "tick", "lot", "min_quantity", "min_notional", "maker_fee", "taker_fee", "max_orders",
    "max_leverage", "margin_rule",
)  # fmt: skip


@click.group()
def grid() -> None:
    """Plan grids."""


@grid.command("plan")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--exchange", default=None, help="Take rules, fees and price of this exchange.")
@click.option("--symbol", default=None, help="The pair there, as BTC/USDT.")
@click.option("--params", default=None, help="Parameters as a JSON object instead of SOURCE.")
@click.option(
    "--orders-per-second",
    type=click.IntRange(1, 1000),
    default=None,
    help="How fast orders may be placed; without it what the exchange allows.",
)
@click.option("--full", is_flag=True, help="Add worst case, liquidation, and time to place.")
@click.argument("source", type=click.File("r"), default="-")
@click.pass_context
def plan(
    context: click.Context,
    as_json: bool,
    exchange: str | None,
    symbol: str | None,
    params: str | None,
    orders_per_second: int | None,
    full: bool,
    source: TextIO,
) -> None:
    """Print what a grid with the parameters of SOURCE (JSON, default standard input) would do.

    With --exchange and --symbol the pair's rules, fees and last price come from the running
    platform, and the parameters may replace each of them; the reserve is then 1 % unless they name
    one, as for a bot there (else 0). Exits with code 2 when the parameters
    can't work; the errors then name the fields. A field that no plan knows is left out and named
    among the warnings (unknown_field), so that files with notes can be read; the API, which
    starts bots, refuses it.
    """
    if (exchange is None) is not (symbol is None):
        raise click.UsageError("--exchange and --symbol belong together")
    text = source.read() if params is None else params
    known: dict[str, object] = {}
    tiers: tuple[Tier, ...] = ()
    if exchange is not None and symbol is not None:
        found = context.invoke(with_appcontext(_rules_of), exchange=exchange, symbol=symbol)
        known, tiers = found
    pace = _pace_of(exchange) if orders_per_second is None else Decimal(orders_per_second)
    full = full or pace is not None or bool(known)
    said = _answered(text, known, tiers, pace, full=full)
    if exchange is not None and known["market_type"] != "spot" and not _has_contracts(exchange):
        said["errors"] = [
            problem_json(problem("symbol", "venue_has_no_contracts", exchange=exchange)),
            *said["errors"],
        ]
    if as_json:
        click.echo(json.dumps(said, indent=1))
    else:
        for name, value in said.items():
            click.echo(f"{name}: {json.dumps(value)}")
    if said["errors"]:
        sys.exit(BAD_INPUT)


def _has_contracts(exchange: str) -> bool:
    venue = VENUES.get(exchange.lower())
    return venue is not None and venue.futures


def _pace_of(exchange: str | None) -> Decimal | None:
    venue = None if exchange is None else VENUES.get(exchange.lower())
    return None if venue is None else venue.orders_per_second


def _rules_of(exchange: str, symbol: str) -> tuple[dict[str, object], tuple[Tier, ...]]:
    row = find_market(exchange.lower(), symbol.upper())
    if row is None:
        raise click.ClickException(f"{exchange} has no pair {symbol}")
    market = to_market(row)
    return _inputs_of(row, market), market.tiers


def _inputs_of(row: MarketRow, market: Market) -> dict[str, object]:
    values: dict[str, object] = {"market_type": market.kind.value, "price": row.last_price}
    values |= {name: getattr(market, name) for name in RULES}
    values["fee_side"] = market.fee_side.value
    values["margin_rule"] = market.margin_rule.value
    # As a bot there keeps it; a file that names its own rules keeps nothing aside.
    values["reserve"] = USUAL_RESERVE
    return {name: value for name, value in values.items() if value is not None}


def _answered(
    text: str,
    known: dict[str, object],
    tiers: tuple[Tier, ...],
    pace: Decimal | None,
    *,
    full: bool,
) -> dict[str, Any]:
    try:
        values = known | json_object("input", text)
        figures = figures_for(values)
    except InvalidParams as bad:
        return _plan_json(bad, [])
    kind = kind_of(values)
    if figures is not None and kind not in WITH_PLAN:
        return {**figures, "errors": []}
    if figures is not None:
        values = {name: value for name, value in values.items() if name != WITH_PLAN[kind]}
    found, unknown = _planned(values, tiers, pace)
    said = _plan_json(found, unknown) | (figures or {})
    return said | _more_json(found) if full and isinstance(found, GridPlan) else said


def _more_json(found: GridPlan) -> dict[str, Any]:
    return {
        "order_value": text_of(found.order_value),
        "worst_case": to_json(found.worst_case),
        "liquidation": to_json(found.liquidation),
        "orders_resting": found.orders_resting,
        "orders_virtual": found.orders_virtual,
        "seconds_to_place": text_of(found.seconds_to_place),
    }


def _planned(
    values: dict[str, object], tiers: tuple[Tier, ...], pace: Decimal | None
) -> tuple[GridPlan | InvalidParams, list[str]]:
    try:
        params, market, price, unknown = read_plan_input(values)
    except InvalidParams as bad:
        return bad, []
    return plan_grid(params, replace(market, tiers=tiers), price, pace), unknown


def json_object(name: str, text: str) -> dict[str, object]:
    """Read a JSON object without floats; raise InvalidParams for anything else."""
    try:
        data = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise InvalidParams((problem(name, "not_json", detail=str(error)[:80]),)) from error
    if not isinstance(data, dict):
        raise InvalidParams((problem(name, "not_an_object"),))
    return data


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _plan_json(found: GridPlan | InvalidParams, unknown: list[str]) -> dict[str, Any]:
    if isinstance(found, InvalidParams):
        names = ("levels", "empty_level", "buys", "sells", *PLAN_FIGURES, "profit_per_grid")
        return {
            **dict.fromkeys(names),
            "warnings": [],
            "errors": [problem_json(each) for each in found.problems],
        }
    warnings = [*found.warnings, *(problem(name, "unknown_field") for name in unknown)]
    profit = found.profit_per_grid
    # Without a price nothing but the ladder is known, so there is nothing to warn of either.
    is_ladder_only = found.buys is None and not warnings
    return {
        "levels": [exact_text(level) for level in found.levels],
        "empty_level": text_of(found.empty_level),
        "buys": _orders_json(found.buys),
        "sells": _orders_json(found.sells),
        **{name: text_of(getattr(found, name)) for name in PLAN_FIGURES},
        "profit_per_grid": profit
        and {
            "lowest_percent": exact_text(profit.lowest * HUNDRED),
            "highest_percent": exact_text(profit.highest * HUNDRED),
        },
        "warnings": None if is_ladder_only else [problem_json(each) for each in warnings],
        "errors": [problem_json(each) for each in found.errors],
    }


def _orders_json(orders: tuple[PlannedOrder, ...] | None) -> list[list[str | None]] | None:
    if orders is None:
        return None
    return [[exact_text(order.price), text_of(order.quantity)] for order in orders]


def problem_json(found: Problem) -> dict[str, Any]:
    """Write a problem as JSON-able values."""
    return {"field": found.field, "code": found.code, "values": dict(found.values)}


def text_of(value: Decimal | None) -> str | None:
    """Write a number exactly, or None."""
    return None if value is None else exact_text(value)
