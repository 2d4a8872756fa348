"""All that a chaos run needs: servers, the stand-in for the exchange, workers, bots, prices."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random

from sqlalchemy import text

from app import events
from app.bots import wake
from app.db import db
from app.markets.events import Move, PricesMoved
from app.transactions import transaction
from tests.chaos.fork_server import ForkServer
from tests.chaos.prices import Tape, for_ever
from tests.chaos.worker_world import count
from tests.chaos.workers import Place, Workers
from tests.doubles.bybit.control import Double
from tests.doubles.live import CONTRACT, FIRST, SECOND, LiveWorld

PATIENCE_S = 60
# What the product waits for minutes, it waits for a second here; an audit comes after one or two.
HASTE = {"ABSENCE_GRACE_SECONDS": "1", "AUDIT_SECONDS": "1"}
LONGEST_AUDIT_S = 2.1
MOST_ROUNDS = 8
TICK_WORKERS = 2
# Positions pay so often, once in so many steps, this part of their value one way or the other.
STEPS_TO_FUNDING = 25
FUNDING_RATES = ("0.0001", "-0.0002", "0.000375")
CONTRACT_GRIDS: tuple[dict[str, str], ...] = (
    {"direction": "long", "leverage": "3"},
    {"direction": "short", "leverage": "2"},
    {"direction": "neutral", "leverage": "5"},
)
_LEASES = text(
    "select account_id, token, expires_at > clock_timestamp() as held, holder from account_leases"
)


_TICKED = text("""
    select bots.account_id from bots
    left join account_leases as lease on lease.account_id = bots.account_id
    group by bots.account_id
    having bool_and(coalesce(bots.last_tick_at > :moment, false))
       and not bool_or(coalesce(lease.expires_at > clock_timestamp(), false))
""")


class Rig:
    """A running world of bots at a hostile exchange."""

    def __init__(self, control: Double, workers: Workers, tape: Tape, random: Random) -> None:
        self.control, self.workers, self.random = control, workers, random
        self.live = LiveWorld(control)
        self.tape = tape
        # How many bots trade contracts.
        self.contracts = 0
        # The other pairs go the same way at other times.
        third = len(tape.prices) // 3
        self._prices = {
            FIRST: for_ever(tape),
            SECOND: for_ever(tape, third),
            CONTRACT: for_ever(tape, 2 * third),
        }
        self._steps = 0

    def begin(self, accounts: int, bots: int, contracts: int = 0) -> None:
        """Let bots start on fresh accounts, some on contracts, and wait until ladders stand."""
        self.contracts = contracts
        if not contracts:
            del self._prices[CONTRACT]
        self.step(1)
        bounds = {"lower": format(self.tape.lower, "f"), "upper": format(self.tape.upper, "f")}
        for number in range(accounts):
            key, grids = f"customer-{number:04d}-of-the-stand-in", str(10 + number)
            self.live.add_seat(key, bots, (FIRST, SECOND), grids=grids, **bounds)
        for number in range(contracts):
            kind = CONTRACT_GRIDS[number % len(CONTRACT_GRIDS)]
            key = f"contracts-{number:04d}-of-the-stand-in"
            self.live.add_seat(key, 1, (CONTRACT,), grids="12", **bounds, **kind)
        for number in range(TICK_WORKERS):
            self.workers.open("ticks", f"chaos-{number}")
        self.workers.open("scheduler", "chaos-scheduler")
        self.audit()

    def step(self, count_of_prices: int) -> None:
        """Let prices happen at the exchange and with us, and wake whom they concern."""
        moves = []
        for symbol, source in self._prices.items():
            prices = [next(source) for _ in range(count_of_prices)]
            self.live.play(*prices, symbol=symbol)
            number = self.live.world_of(symbol).market_id
            moves.append(Move(number, min(prices), max(prices), prices[-1], 0))
        self._steps += 1
        if CONTRACT in self._prices and self._steps % STEPS_TO_FUNDING == 0:
            rate = self.random.choice(FUNDING_RATES)
            self.control.do("fund", symbol="AAAUSDT", rate=rate)
        events.publish(PricesMoved(tuple(moves)))

    def leases(self) -> dict[int, tuple[int, bool, str]]:
        """Return token, whether it is held, and holder, by account."""
        with transaction():
            rows = db.session.execute(_LEASES).all()
        return {row.account_id: (row.token, row.held, row.holder) for row in rows}

    def now(self) -> datetime:
        """Return the database's time."""
        with transaction():
            moment: datetime = db.session.execute(text("select clock_timestamp()")).scalar_one()
        return moment

    def ticked_since(self, moment: datetime) -> set[int]:
        """Return the accounts all of whose bots have decided since, and whose tick is over."""
        with transaction():
            return set(db.session.scalars(_TICKED, {"moment": moment}))

    def wait_for_ticks(self, accounts: Collection[int]) -> None:
        """Wait until each of these accounts was ticked once more, from beginning to end."""
        began = self.now()
        deadline = time.monotonic() + PATIENCE_S
        waiting = set(accounts)
        wake.request_ticks(waiting)
        asked = time.monotonic()
        while waiting:
            if time.monotonic() > deadline:
                raise TimeoutError(f"accounts {sorted(waiting)} are not ticked")
            time.sleep(0.02)
            waiting -= self.ticked_since(began)
            if waiting and time.monotonic() - asked > 1:
                wake.request_ticks(waiting)
                asked = time.monotonic()

    def wait_until_holding(self, place: Place) -> set[int]:
        """Wait until a worker is in the middle of a tick; return the accounts that it holds."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            held = {
                number
                for number, (_, is_held, holder) in self.leases().items()
                if is_held and holder == place.name
            }
            if held:
                return held
            self.step(1)
            wake.request_ticks(self.live.accounts())
            time.sleep(0.005)
        raise TimeoutError(f"{place.name} does not tick")

    def audit(self) -> None:
        """Give the product its patience, then one comparison of every account.

        An order that trades at once is answered by the next look, so each part goes on for as long
        as looks bring news.
        """
        self._tick_until_quiet()
        time.sleep(LONGEST_AUDIT_S)
        self._tick_until_quiet()

    def _tick_until_quiet(self) -> None:
        for _ in range(MOST_ROUNDS):
            before = self._news()
            self.wait_for_ticks(self.live.accounts())
            if self._news() == before:
                return

    def _news(self) -> tuple[int, ...]:
        return count("select count(*) from orders"), self.fills()

    def findings(self) -> list[str]:
        """Say what is wrong with the books."""
        doubtful = count("select count(*) from orders where status in ('INTENDED', 'UNRESOLVED')")
        found = [f"{doubtful} orders in doubt"] if doubtful else []
        return found + self.live.differences()

    def missing(self) -> list[str]:
        """Name the orders that the ladders want and that do not stand."""
        return self.live.missing_levels()

    def ended(self) -> list[str]:
        """Name the bots that trade no more, for whatever reason: nobody else fills their place."""
        bots = {bot: self.live.world.bot(bot) for seat in self.live.seats for bot in seat.bots}
        return [
            f"bot {bot} has ended as {row.state}: {row.state_reason}"
            for bot, row in bots.items()
            if row.state != "active"
        ]

    def fills(self) -> int:
        """Return how many fills are booked."""
        return count("select count(*) from fills")

    def funding(self) -> int:
        """Return how many funding payments are booked."""
        return count("select count(*) from funding")


@contextmanager
def running_rig(
    environment: dict[str, str], control: Double, tape: Tape, log: Path, seed: int
) -> Iterator[Rig]:
    """Run the workers around a world; the app context, the servers and the stand-in are given."""
    random = Random(seed)
    forks = ForkServer(environment, log)
    workers = Workers(forks, random)
    try:
        yield Rig(control, workers, tape, random)
    finally:
        workers.close()
        forks.stop()
