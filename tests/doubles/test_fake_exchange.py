"""Random prices, faults, habits and crashes: after an audit our books are the exchange's.

The product's own ticks run over PostgreSQL; a crash ends the process at any line of the engine.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from types import FrameType
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy.orm import Session

from app.bots.live import clock, real_side
from app.db import db
from tests.chaos.crash_points import ENGINE, ROOT
from tests.doubles.bybit.faults import KINDS, Fault, Faults
from tests.doubles.bybit.operator import Operator
from tests.doubles.bybit.server import Hand, Limits
from tests.doubles.bybit.venue import Venue
from tests.doubles.fake_exchange import FakeExchange
from tests.doubles.live import CONTRACT, FIRST, LiveWorld
from tests.examples import tried
from tests.long import thinned

STEPS = 20
KINDS_OF_GRIDS: dict[str, dict[str, str]] = {
    "spot": {},
    "spot with few orders": {"max_resting": "4"},
    "long": {"direction": "long", "leverage": "3"},
    "short": {"direction": "short", "leverage": "2"},
    "neutral": {"direction": "neutral", "leverage": "5"},
}


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at_line(number: int) -> Iterator[None]:
    """Die at the n-th line of the engine: nothing is written and nothing sent from then on."""
    places = tuple(str(ROOT / place) for place in ENGINE)
    left = [number]
    real = Session.commit
    before = sys.gettrace(), threading.gettrace()

    def at_line(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
        return at_line

    def at_call(frame: FrameType, event: str, argument: Any) -> Any:
        return at_line if frame.f_code.co_filename.startswith(places) else None

    def commit(self: Session) -> None:
        if left[0] <= 0:
            raise Killed
        real(self)

    Session.commit = commit  # type: ignore[method-assign]
    sys.settrace(at_call)
    try:
        yield
    except BaseException:
        # What goes wrong after its death, while it is unwound, no real process would live to see.
        if left[0] > 0:
            raise
    finally:
        sys.settrace(before[0])
        Session.commit = real  # type: ignore[method-assign]
        db.session.rollback()
        db.session.info["in_transaction"] = False


def _not_yet() -> tuple[LiveWorld, Venue, Faults]:
    raise NotImplementedError("the test says how")


class Story(RuleBasedStateMachine):
    """One bot on a hostile exchange."""

    make: ClassVar[Callable[[], tuple[LiveWorld, Venue, Faults]]] = staticmethod(_not_yet)

    @initialize(price=st.integers(9_200, 10_800), kind=st.sampled_from(sorted(KINDS_OF_GRIDS)))
    def start(self, price: int, kind: str) -> None:
        """Let a bot want to start."""
        self.live, self.venue, self.faults = type(self).make()
        params = KINDS_OF_GRIDS[kind]
        self.symbol = CONTRACT if "leverage" in params else FIRST
        self.live.world_of(self.symbol)
        self.play(price)
        self.live.add_fake_seat("customer-one-of-the-stand-in", self.symbol, **params)

    @rule(price=st.integers(8_800, 11_200))
    def play(self, price: int) -> None:
        """Let a price happen."""
        self.price = price
        self.live.play(Decimal(price) / 100, symbol=self.symbol)

    @rule()
    def tick(self) -> None:
        """Tick as planned."""
        self.live.tick()

    @rule(line=st.integers(1, 1200))
    def crash(self, line: int) -> None:
        """Die in the middle of a tick; the next one comes to the same place."""
        with killed_at_line(line):
            self.live.tick()

    @rule(kind=st.sampled_from(sorted(KINDS)), acted=st.sampled_from([True, False]))
    def spoil(self, kind: str, acted: bool) -> None:
        """Have one of the next calls go wrong."""
        code = {True: 10016, False: 10000}[acted]
        self.faults.add(Fault(kind, chance=0.5, times=1, acted=acted, code=code, ms=300))

    @rule(refusal=st.sampled_from([10002, 110007, 10006]))
    def refuse(self, refusal: int) -> None:
        """Have the next sending refused."""
        self.faults.add(Fault("code", "order/create", times=1, code=refusal))

    @rule(partial=st.sampled_from([0, 0.7]), late=st.sampled_from([0, 0.7]), mixed=st.booleans())
    def change_habits(self, partial: float, late: float, mixed: bool) -> None:
        """Let the exchange fill in parts, tell late, or out of order."""
        habits = self.venue.habits
        habits.partial, habits.late_fills, habits.unordered = partial, late, mixed

    @rule(milliseconds=st.integers(100, 1000))
    def pass_time(self, milliseconds: int) -> None:
        """Let the exchange's time go on."""
        self.venue.habits.clock_ms += milliseconds

    @rule(rate=st.sampled_from(["0.0001", "-0.0002"]))
    def fund(self, rate: str) -> None:
        """Let positions pay or receive."""
        if self.symbol == CONTRACT:
            self.live.hand.do("fund", symbol="AAAUSDT", rate=rate)

    @invariant()
    def never_twice(self) -> None:
        """See that no logical order stands, or was filled, more than once at any moment."""
        if hasattr(self, "live"):
            assert self.live.twins() == []

    def teardown(self) -> None:
        """End all faults; after one audit everything must agree."""
        if not hasattr(self, "live"):
            return
        self.faults.set(())
        habits = self.venue.habits
        habits.partial = habits.late_fills = 0
        habits.clock_ms += 10_000
        # The rest of an order that was filled in part below its price is filled by the next one.
        self.play(self.price)
        self.live.audit()
        self.live.age_doubts()
        self.live.audit()
        assert self.live.differences() == []
        assert self.live.missing_levels() == []


@pytest.mark.hypothesis
@thinned(3)
@pytest.mark.usefixtures("database")
def test_any_story_ends_with_equal_books(
    monkeypatch: pytest.MonkeyPatch, as_owner: Callable[[str], None], step: int
) -> None:
    """Twelve stories, or every so-manieth."""
    number = [0]

    def make() -> tuple[LiveWorld, Venue, Faults]:
        number[0] += 1
        db.session.rollback()
        as_owner(
            "truncate users, markets, price_points, exchange_accounts, bots, orders, fills,"
            " account_leases cascade"
        )
        venue, faults = Venue(seed=number[0]), Faults(number[0])
        live = LiveWorld(Hand(Operator(venue, faults, Limits())))
        pairs = {FIRST: ("spot", "AAAUSDT"), CONTRACT: ("linear", "AAAUSDT")}
        opened: dict[int, FakeExchange] = {}

        def open_fake(account_id: int) -> FakeExchange:
            key = next(seat.key for seat in live.seats if seat.account == account_id)
            if account_id not in opened:
                opened[account_id] = FakeExchange(venue, key, pairs, faults)
            return opened[account_id]

        monkeypatch.setattr(real_side, "open_venue", open_fake)
        return live, venue, faults

    monkeypatch.setattr(clock, "GRACE", timedelta(seconds=1))
    monkeypatch.setattr(Story, "make", staticmethod(make))
    case = Story.TestCase
    case.settings = settings(
        tried(12 // step),
        stateful_step_count=STEPS,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        # A story is not told twice the same: clocks go on meanwhile.
        phases=(Phase.generate,),
    )
    case().runTest()
