"""Real worker processes around a world of bots: started, killed, paused, and waited for."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from app import events
from app.bots import wake
from app.db import db
from app.markets.events import Move, PricesMoved
from app.trading.backtest import BacktestResult, run_backtest
from app.trading.market import Candle
from app.transactions import transaction
from tests.bots.live_world import GRID, World
from tests.bots.test_live import paper_market
from tests.starting import Started, start

PATIENCE_S = 90


class Worker:
    """One process of the product."""

    def __init__(self, environment: Mapping[str, str], *arguments: str) -> None:
        self._words = ["worker.py", *arguments]
        self._environment = {**os.environ, **environment}
        self._process: Started | None = None

    def start(self) -> None:
        """Start it (again)."""
        self._process = start(self._words, self._environment)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until it is gone."""
        assert self._process is not None
        return self._process.wait(30)

    @property
    def is_running(self) -> bool:
        """Say whether it lives."""
        return self._process is not None and self._process.poll() is None


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """Run a worker for a while."""
    worker.start()
    try:
        yield worker
    finally:
        if worker.is_running:
            worker.signal(signal.SIGCONT)
            worker.kill()


def let_happen(world: World, *prices: Decimal) -> None:
    """Let prices happen and wake whom they concern, as the feed does."""
    world.play(*prices)
    low, high = min(prices), max(prices)
    events.publish(PricesMoved((Move(world.market_id, low, high, prices[-1], 0),)))


def wait_for(what: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)


def count(query: str, **values: Any) -> int:
    """Read one number."""
    with transaction():
        return int(db.session.execute(text(query), values).scalar_one())


def is_mid_tick() -> bool:
    """Say whether some worker holds an account right now."""
    return count("select count(*) from account_leases where expires_at > clock_timestamp()") > 0


def is_at_work(world: World) -> bool:
    """Say whether some worker is in a tick; ask for one again, as the scheduler's sweep does.

    A call for a worker is lost with the worker that was killed as it took it.
    """
    if is_mid_tick():
        return True
    wake.request_ticks(world.accounts())
    return False


def wait_until_done(world: World) -> None:
    """Wait until every account has seen every price and nothing is left to do."""

    def is_done() -> bool:
        behind = count(
            "select count(*) from bots where state = 'starting' or not exists ("
            "  select from paper_cursors as cursor join markets on markets.id = cursor.market_id"
            "  where cursor.account_id = bots.account_id and cursor.point_seq = markets.last_seq)"
        )
        unsent = count("select count(*) from orders where status in ('INTENDED', 'UNRESOLVED')")
        unbooked = count(
            "select count(*) from paper_fills as theirs where not exists (select from fills"
            " where fills.account_id = theirs.account_id and fills.trade_id = theirs.trade_id)"
        )
        if behind or unsent or unbooked or is_mid_tick():
            wake.request_ticks(world.accounts())
            time.sleep(0.2)
            return False
        return True

    wait_for(is_done)


def expected_of(candles: list[Candle]) -> BacktestResult:
    """Return what every undisturbed grid trades over these candles."""
    return run_backtest("grid", GRID, paper_market(), candles, Decimal(1000))
