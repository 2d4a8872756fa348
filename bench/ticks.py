"""Measure live ticks: 1,000 paper grid bots, one worker, everything real but the money.

`python -m bench.ticks [--bots N] [--seconds S]`: its own PostgreSQL (with fsync) and Valkey, a
worker process that takes its jobs from the queue, a scheduler, and this process as the price feed.
Prices are recorded candles where they are at hand, else made by the project's own generator.

Three parts: every bot starts; prices at a calm pace, for the time from a price to its booked fill;
prices faster than the worker can follow, for the most that it can do.
"""

import argparse
import contextlib
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, text

from bench.servers import fresh_servers

ROOT = Path(__file__).resolve().parent.parent
PAIRS = ("AAA/USDT", "BBB/USDT", "CCC/USDT", "DDD/USDT", "EEE/USDT")
GRIDS = 20
PATIENCE_S = 300
ENOUGH_DUE = 300


@dataclass(frozen=True)
class Options:
    """What to measure."""

    bots: int
    seconds: int
    candles: Path | None


def main() -> None:
    """Run the benchmark over fresh servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bots", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30, help="of each part under prices")
    parser.add_argument("--candles", type=Path, default=recorded_candles())
    options = Options(**vars(parser.parse_args()))
    with fresh_servers() as servers:
        measure(options, servers)


def recorded_candles() -> Path | None:
    """Return recorded candles if they are at hand."""
    shared = Path(os.environ.get("BOTYARD_SHARED") or ROOT.parent / "shared")
    found = sorted((shared / "data" / "candles").glob("bybit-BTCUSDT-5m*"))
    return found[0] if found else None


def measure(options: Options, servers: dict[str, int]) -> None:
    """Make the bots, run the parts, print what came out."""
    from flask_migrate import upgrade

    from app import create_app

    app = create_app()
    with app.app_context(), contextlib.ExitStack() as stack:
        upgrade()
        feed = Feed(options)
        make_bots(options.bots, feed)
        processes = {
            "worker": stack.enter_context(worker("ticks", "--name", "bench")),
            "scheduler": stack.enter_context(worker("scheduler")),
            "feed": os.getpid(),
            **servers,
        }
        source = options.candles.name if options.candles else "generated prices"
        print(f"{options.bots} bots with {GRIDS} grids on {len(PAIRS)} pairs, {source}")
        start_all(options.bots)
        calm(feed, options.seconds)
        flood(feed, options.seconds, processes["worker"], processes["postgres"])
        print_memory(options.bots, processes)


@contextlib.contextmanager
def worker(*arguments: str) -> Iterator[int]:
    """Run one of the product's own processes."""
    process = subprocess.Popen([sys.executable, str(ROOT / "worker.py"), *arguments], cwd=ROOT)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


# --- prices ---------------------------------------------------------------------------------------


class Feed:
    """Prices of all pairs: the same recording, each pair at another place of it."""

    def __init__(self, options: Options) -> None:
        from app.markets import store
        from app.transactions import transaction

        with transaction():
            self.pairs = make_pairs()
        recording = list(_recorded(options.candles)) if options.candles else None
        self._paths = [read_prices(recording, part) for part in range(len(PAIRS))]
        self._standing = dict.fromkeys(self.pairs, store.Standing(0, None))
        self.happen(1)

    def happen(self, count: int) -> None:
        """Let so many prices of each pair happen now, and wake whom they concern."""
        from app import events
        from app.db import utc_now
        from app.markets import store
        from app.markets.events import PricesMoved
        from app.markets.sources import NewPoint
        from app.transactions import transaction

        now = utc_now()
        points = {
            pair: [NewPoint(now, price, Decimal(1), 0) for price in islice(path, count)]
            for pair, path in zip(self.pairs, self._paths, strict=True)
        }
        with transaction():
            moves = store.write_round(points, self._standing)
        for move in moves:
            self._standing[move.market_id] = store.Standing(move.seq, move.last)
        events.publish(PricesMoved(tuple(moves)))


def make_pairs() -> list[int]:
    """Add the exchange and its pairs."""
    from app.db import db
    from app.exchanges.models import Exchange
    from app.markets.models import MarketRow

    for code in ("bybit", "paper"):
        db.session.merge(Exchange(code=code, name=code, enabled=True))
    db.session.flush()
    rows = [
        MarketRow(
            exchange="bybit",
            symbol=symbol,
            base=symbol[:3],
            quote="USDT",
            tick=Decimal("0.01"),
            lot=Decimal("0.000001"),
            min_notional=Decimal(1),
            maker_fee=Decimal("0.001"),
            taker_fee=Decimal("0.001"),
        )
        for symbol in PAIRS
    ]
    db.session.add_all(rows)
    db.session.flush()
    return [row.id for row in rows]


def read_prices(recording: list[Decimal] | None, part: int) -> Iterator[Decimal]:
    """Yield prices without end, from one of five parts of a recording or from the generator."""
    prices = recording or _generated(part)
    start = len(prices) * part // len(PAIRS)
    while True:
        yield from prices[start:]
        start = 0


def _recorded(path: Path) -> Iterator[Decimal]:
    from app.trading.candles import parse_candles
    from app.trading.market import candle_path

    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for candle in islice(parse_candles(lines), 50_000):
            yield from candle_path(candle)


def _generated(part: int) -> list[Decimal]:
    from random import Random

    random = Random(part)
    price, prices = Decimal(100), []
    for _ in range(100_000):
        price += (Decimal(random.randint(-100, 100)) + (Decimal(100) - price) * 2) / 400
        prices.append(price.quantize(Decimal("0.01")))
    return prices


# --- bots -----------------------------------------------------------------------------------------


def make_bots(count: int, feed: Feed) -> None:
    """Add people, paper accounts and grids that want to start; ranges differ a little."""
    from app.bots.models import Bot, BotConfig, BotMetrics
    from app.db import db, utc_now
    from app.exchanges.models import ExchangeAccount, PaperBalance
    from app.markets.models import MarketRow
    from app.transactions import transaction

    now, money = utc_now(), Decimal(10_000)
    with transaction():
        users = make_people(count)
        prices = dict(db.session.execute(select(MarketRow.id, MarketRow.last_price)).all())
        accounts, balances, bots, configs, metrics = [], [], [], [], []
        for number, user_id in enumerate(users, 1):
            pair = feed.pairs[number % len(feed.pairs)]
            price = prices[pair] or Decimal(1)
            accounts.append(
                dict(
                    id=number, user_id=user_id, exchange="paper", venue="bybit", label="Paper",
                    mode="paper", maker_fee=Decimal("0.001"), taker_fee=Decimal("0.001"),
                    permissions={},
                )
            )  # fmt: skip
            balances.append(dict(account_id=number, currency="USDT", free=money, locked=Decimal(0)))
            width = Decimal(30 + number % 71) / 1000
            params = {
                "lower": str((price * (1 - width)).quantize(Decimal("0.01"))),
                "upper": str((price * (1 + width)).quantize(Decimal("0.01"))),
                "grids": GRIDS,
                "investment": str(money),
            }
            bots.append(
                dict(
                    id=number, user_id=user_id, account_id=number, market_id=pair, name="Grid",
                    strategy="grid", symbols=["X"], capital=money, currency="USDT", mode="paper",
                    state="starting", state_since=now, state_reason={}, epoch=1, next_tick_at=now,
                )
            )  # fmt: skip
            configs.append(
                dict(bot_id=number, version=1, strategy="grid", params=params, capital=money)
            )
            metrics.append(
                dict(bot_id=number, deposited=money, quote=money, peak_equity=money, updated_at=now)
            )
        for model, rows in (
            (ExchangeAccount, accounts),
            (PaperBalance, balances),
            (Bot, bots),
            (BotConfig, configs),
            (BotMetrics, metrics),
        ):
            db.session.execute(insert(model), rows)


def make_people(count: int) -> Sequence[int]:
    """Add people who never sign in."""
    from app.accounts.models import User
    from app.db import db

    rows = [dict(email=f"bench{n}@example.org", password_hash="") for n in range(count)]
    return db.session.scalars(insert(User).returning(User.id), rows).all()


# --- the parts ------------------------------------------------------------------------------------


def start_all(count: int) -> None:
    """Wait until every bot is active."""
    began = time.monotonic()
    while one("select count(*) from bots where state = 'active'") < count:
        if time.monotonic() - began > PATIENCE_S:
            failed = one("select count(*) from bots where state = 'error'")
            raise SystemExit(f"not all bots became active; {failed} are in error")
        time.sleep(0.2)
    took = time.monotonic() - began
    orders = one("select count(*) from orders")
    print(f"start: {count / took:,.0f} bots/s, {orders / took:,.0f} orders/s ({took:.1f} s)")


def calm(feed: Feed, seconds: int) -> None:
    """Let a price of each pair happen every second, and say how fast its fills are booked."""
    mark = now()
    began = time.monotonic()
    for second in range(seconds):
        feed.happen(1)
        time.sleep(max(0.0, began + second + 1 - time.monotonic()))
    time.sleep(2)
    lags = row(
        "select count(*) as fills,"
        " percentile_cont(0.5) within group (order by stored_at - at) as p50,"
        " percentile_cont(0.99) within group (order by stored_at - at) as p99"
        " from fills where stored_at > :mark",
        mark=mark,
    )
    if lags.fills:
        p50, p99 = (lag.total_seconds() * 1000 for lag in (lags.p50, lags.p99))
        print(
            f"calm: one price a second and pair, {lags.fills / seconds:,.1f} fills/s, "
            f"price to booked fill p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"
        )
    else:
        print("calm: no fills; the prices hardly moved")


def flood(feed: Feed, seconds: int, worker_pid: int, postgres_pid: int) -> None:
    """Let prices happen faster than the worker can follow, and say how much it does."""
    from app.bots import wake

    def happen_if_idle() -> None:
        # Enough accounts wait at any time that the worker is never idle.
        if wake.count_due() < ENOUGH_DUE:
            feed.happen(20)
        else:
            time.sleep(0.01)

    warm_up = time.monotonic() + 5
    while time.monotonic() < warm_up:
        happen_if_idle()
    mark, ticks = now(), one("select sum(tick_number)::bigint from bots")
    began, used = time.monotonic(), (cpu_seconds(worker_pid), cpu_seconds(postgres_pid))
    while time.monotonic() - began < seconds:
        happen_if_idle()
    took = time.monotonic() - began
    fills = one("select count(*) from fills where stored_at > :mark", mark=mark)
    ticks = one("select sum(tick_number)::bigint from bots") - ticks
    print(f"flood: {ticks / took:,.0f} bot ticks/s, {fills / took:,.0f} fills/s with one worker")
    python = cpu_seconds(worker_pid) - used[0]
    database = cpu_seconds(postgres_pid) - used[1]
    print(
        f"       a thousand fills take {python / fills * 1000:.2f} s of the worker's processor "
        f"and {database / fills * 1000:.2f} s of the database's"
    )
    wrong = one("select count(*) from bots where state <> 'active' or failures > 0")
    if wrong:
        print(f"ATTENTION: {wrong} bots are not active or failed")


def now() -> Any:
    """Return the database's time."""
    return one("select clock_timestamp()")


def one(query: str, **values: Any) -> Any:
    """Read one value."""
    return row(query, **values)[0]


def row(query: str, **values: Any) -> Any:
    """Read one row."""
    from app.db import db
    from app.transactions import transaction

    with transaction():
        return db.session.execute(text(query), values).one()


# --- memory ---------------------------------------------------------------------------------------


def print_memory(bots: int, processes: Mapping[str, int]) -> None:
    """Print the proportional memory of all processes with their children."""
    roots = set(processes.values())
    parts = {
        name: sum(map(pss, family(root, roots - {root}))) / 1024**2
        for name, root in processes.items()
    }
    each = ", ".join(f"{name} {size:,.0f}" for name, size in parts.items())
    total = sum(parts.values())
    print(f"memory: {total:,.0f} MB PSS ({each}), {bots / total * 1024:,.0f} bots/GB")


def family(root: int, without: Collection[int] = ()) -> list[int]:
    """Return a process and all that it started, but for those that are counted elsewhere."""
    if root in without:
        return []
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
        return [root, *(pid for child in children for pid in family(int(child), without))]
    return []


def cpu_seconds(root: int) -> float:
    """Return the processor time that a process and its children have used."""
    total = 0.0
    for pid in family(root):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def pss(pid: int) -> int:
    """Return a process's proportional memory in bytes, 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
