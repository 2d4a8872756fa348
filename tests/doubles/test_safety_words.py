"""Each guard of the engine on a real account has a reader: taken away, the same story ends badly.

Every story is told twice: as the product is, and with one guard patched away.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import current_app
from sqlalchemy import text

from app.bots import live as engine
from app.bots.live import asking, clock, deciding, real_side
from app.db import db
from app.exchanges import leases
from app.trades import service as trades
from app.trades.service import OwnOrder
from app.trading.orders import Status, client_order_id
from app.trading.ports import AccountLook, Refused, Unresolved
from app.trading.strategies import grid_orders
from app.transactions import transaction
from tests.doubles.bybit.faults import Fault, Faults
from tests.doubles.bybit.operator import Operator
from tests.doubles.bybit.server import Hand, Limits
from tests.doubles.bybit.venue import Venue
from tests.doubles.fake_exchange import FakeExchange
from tests.doubles.live import LiveWorld
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")

UNIQUE_FILLS = "uq_fills_account_id_trade_id"
KEY = "customer-one-of-the-stand-in"
Patch = pytest.MonkeyPatch


class Killed(BaseException):
    """The process is gone."""


class Stage:
    """A bot on a real account, and every hand that may move something."""

    def __init__(self, patch: Patch) -> None:
        self.patch = patch
        self.venue, self.faults = Venue(), Faults()
        self.live = LiveWorld(Hand(Operator(self.venue, self.faults, Limits())))
        self.live.play("100")
        (self.bot,) = self.live.add_fake_seat(KEY).bots
        pairs = {self.live.symbol: ("spot", "AAAUSDT")}
        self.exchange = FakeExchange(self.venue, KEY, pairs, self.faults)
        patch.setattr(real_side, "open_venue", lambda account_id: self.exchange)
        patch.setattr(clock, "GRACE", timedelta(0))

    def tick(self, holder: str = "place-1") -> Any:
        """Tick at once."""
        return self.live.world.tick(holder)

    def elsewhere(self, what: Callable[[], Any]) -> None:
        """Let another process do something meanwhile."""
        app = current_app._get_current_object()  # type: ignore[attr-defined]

        def work() -> None:
            with app.app_context():
                what()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(work).result(30)

    def take_over(self) -> None:
        """Let the lease run out, and another worker finish what this one has begun."""
        with transaction():
            db.session.execute(text("update account_leases set expires_at = now()"))
        self.tick("place-2")

    def wrong(self) -> list[str]:
        """Return what is wrong after two audits."""
        self.faults.set(())
        for _ in range(2):
            self.live.audit()
        return self.live.differences() + self.live.missing_levels()


@pytest.fixture
def stage(database: None, monkeypatch: Patch) -> Iterator[Stage]:
    """Return a bot that wants to start at 100."""
    yield Stage(monkeypatch)


guarded = pytest.mark.parametrize(
    "guard", few([True, False], 2), ids=["guarded", "without the guard"]
)


def judge(stage: Stage, guard: bool) -> None:
    """See that all is well with the guard, and that something is wrong without it."""
    wrong = stage.wrong()
    assert (wrong == []) is guard, wrong


# --- the lease --------------------------------------------------------------------------------


@guarded
def test_a_worker_that_wakes_after_its_lease_sends_nothing(stage: Stage, guard: bool) -> None:
    # Paused between deciding and sending; the first purchase is filled by another worker meanwhile.
    if not guard:
        for module in (deciding, real_side):
            stage.patch.setattr(module, "still_held", lambda tokens, margin_s=0: set(tokens))
    real = real_side.act
    woken: list[bool] = []

    def act_late(*args: Any) -> Any:
        if not woken:
            woken.append(True)
            stage.elsewhere(stage.take_over)
        return real(*args)

    stage.patch.setattr(real_side, "act", act_late)
    stage.tick("place-1")
    assert woken
    judge(stage, guard)


@guarded
def test_a_worker_killed_inside_its_lease_goes_on_at_once_in_its_place(
    stage: Stage, guard: bool
) -> None:
    if not guard:
        bare = leases._ACQUIRE.text.replace(" or holder = :holder", "")
        stage.patch.setattr(leases, "_ACQUIRE", text(bare))
    with stage.patch.context() as patch:
        # A killed process gives nothing back.
        patch.setattr(engine, "_release", lambda tokens: None)
        die_after_sending(stage)
    accounts = set(stage.live.accounts())
    assert stage.tick("place-2").busy == accounts
    report = stage.tick("place-1")
    assert (report.accounts, report.busy) == ((1, set()) if guard else (0, accounts))
    if guard:
        sent = stage.venue.customers[KEY].orders
        # One purchase and ten levels, nothing twice.
        assert len(sent) == len({order.link_id for order in sent.values()}) == 11
        assert stage.live.twins() == []


# --- looking before sending again ----------------------------------------------------------------


@guarded
def test_what_was_sent_before_a_crash_is_not_sent_again(stage: Stage, guard: bool) -> None:
    if not guard:
        stage.patch.setattr(real_side, "set_out", lambda own: None)
    die_after_sending(stage)
    if not guard:
        _blind(stage)
    stage.tick()
    stage.patch.undo()
    stage.patch.setattr(real_side, "open_venue", lambda account_id: stage.exchange)
    stage.patch.setattr(clock, "GRACE", timedelta(0))
    judge(stage, guard)


def die_after_sending(stage: Stage) -> None:
    """End a tick right after its first order has reached the exchange."""
    real = stage.exchange.place

    def place(symbol: str, order: Any) -> Any:
        real(symbol, order)
        raise Killed

    with stage.patch.context() as patch:
        patch.setattr(stage.exchange, "place", place)
        with pytest.raises(Killed):
            stage.tick()


@guarded
def test_what_was_filled_before_a_crash_and_is_forgotten_is_not_sent_again(
    stage: Stage, guard: bool
) -> None:
    """The exchange forgets order and fill for ten minutes, and takes a used id once more."""
    if not guard:
        stage.patch.setattr(real_side, "set_out", lambda own: None)
    stage.patch.setattr(clock, "GRACE", timedelta(minutes=30))
    habits = stage.venue.habits
    habits.forget, habits.forget_ms, habits.late_fills, habits.late_ms = 1, 600_000, 1, 600_000
    die_after_sending(stage)
    for _ in range(3):
        stage.tick()
    assert (len(stage.venue.customers[KEY].orders) == 1) is guard
    habits.forget = habits.late_fills = 0
    habits.clock_ms += 600_000
    judge(stage, guard)


def _blind(stage: Stage) -> None:
    """Take the look before the sending away: nothing is seen of what happened."""

    def look(expected: Any, cursor: str, *, whole: bool = False) -> AccountLook:
        return AccountLook({symbol: () for symbol in expected}, (), cursor)

    stage.patch.setattr(stage.exchange, "look", look)
    stage.patch.setattr(stage.exchange, "find", lambda symbol, client_id: None)


@guarded
def test_a_lost_answer_is_not_taken_for_a_refusal(stage: Stage, guard: bool) -> None:
    # The first purchase is filled at once, its answer is lost, and its fill is told late.
    stage.venue.habits.late_fills, stage.venue.habits.late_ms = 1, 600_000
    if not guard:
        real = stage.exchange.place

        def place(symbol: str, order: Any) -> Any:
            outcome = real(symbol, order)
            return Refused("failed") if isinstance(outcome, Unresolved) else outcome

        stage.patch.setattr(stage.exchange, "place", place)
    stage.faults.add(Fault("lost", "order/create", times=1, acted=True))
    for _ in range(3):
        stage.tick()
    assert (len(stage.venue.customers[KEY].orders) == 1) is guard
    stage.venue.habits.clock_ms += 600_000
    judge(stage, guard)


def believe_absence(errand: Any, own: OwnOrder) -> bool:
    """Take an order as absent as soon as nobody sees it."""
    own.turn(Status.REJECTED, "never_arrived")
    errand._changed.append(own)
    return True


@guarded
def test_absence_is_believed_after_patience_only(stage: Stage, guard: bool) -> None:
    # The answer is lost and the exchange forgets the order for a while: it may be there.
    stage.patch.setattr(clock, "GRACE", timedelta(minutes=5) if guard else timedelta(0))
    if not guard:
        # Asked back before it counts as absent, it would not stand beside its twin.
        stage.patch.setattr(real_side._Errand, "_make_sure", believe_absence)
    stage.tick()
    # Coins of the customer's own, so that a twin is not refused for want of them.
    stage.venue.deposit(KEY, "AAA", Decimal(10))
    real = stage.exchange.place
    stage.live.play("97.9")
    with stage.patch.context() as patch:
        patch.setattr(
            stage.exchange, "place", lambda *order: (real(*order), Unresolved("time-out"))[1]
        )
        stage.faults.set([Fault("forget", "order/create", times=1, ms=60_000)])
        stage.tick()
    for _ in range(3):
        stage.tick()
    standing = [(order.side, order.price) for order in stage.venue.customers[KEY].open_orders()]
    assert (len(standing) == len(set(standing))) is guard


# --- fills ----------------------------------------------------------------------------------------


@guarded
def test_a_fill_that_is_told_again_counts_once(
    stage: Stage, guard: bool, as_owner: Callable[[str], None]
) -> None:
    if not guard:
        db.session.commit()
        as_owner("alter table fills drop constraint uq_fills_account_id_trade_id")
        bare = text(trades._INSERT_FILLS.statement.text.replace(
            "on conflict (account_id, trade_id) do nothing ", ""
        ))  # fmt: skip
        stage.patch.setattr(trades._INSERT_FILLS, "statement", bare)
    try:
        stage.tick()
        stage.live.play("97.9", "100.1")
        wrong = stage.wrong()
        assert (wrong == []) is guard
    finally:
        if not guard:
            db.session.rollback()
            as_owner("truncate fills cascade")
            as_owner(
                f"alter table fills add constraint {UNIQUE_FILLS} unique (account_id, trade_id)"
            )


# --- ids ------------------------------------------------------------------------------------------


@guarded
def test_stop_start_start_while_a_tick_runs_leaves_one_chain(stage: Stage, guard: bool) -> None:
    if not guard:
        real_id = client_order_id
        stage.patch.setattr(
            asking,
            "client_order_id",
            lambda prefix, bot, epoch, key, attempt: real_id(prefix, bot, 1, key, attempt),
        )
    stage.tick()
    real = real_side.act
    pressed: list[bool] = []

    def act(*args: Any) -> Any:
        if not pressed:
            pressed.append(True)
            stage.elsewhere(press)
        return real(*args)

    def press() -> None:
        world = stage.live.world
        world.change_bot(stage.bot, state="stopping", stop_request="keep")
        world.restart_bot(stage.bot)
        world.restart_bot(stage.bot)

    stage.live.play("97.9")
    stage.patch.setattr(real_side, "act", act)
    for _ in range(4):
        stage.tick()
    assert pressed
    judge(stage, guard)
    if guard:
        epochs = {order.epoch for order in stage.live.world.open_orders(stage.bot)}
        assert epochs == {3}


@guarded
def test_an_order_of_a_stopped_bot_is_held_back_at_the_last_moment(
    stage: Stage, guard: bool
) -> None:
    if not guard:
        stage.patch.setattr(real_side, "is_held_back", lambda own, seat: False)
        # Whoever is asked to stop goes before what opens, so this would hold it back too.
        stage.patch.setattr(real_side._Errand, "_is_outranked", lambda errand, own: False)
    stage.tick()
    real = real_side.act
    sent: list[int] = []

    def act(*args: Any) -> Any:
        if sent:
            return real(*args)
        stage.elsewhere(
            lambda: stage.live.world.change_bot(
                stage.bot, state="stopping", stop_request="emergency"
            )
        )
        before = len(stage.venue.customers[KEY].orders)
        answer = real(*args)
        sent.append(len(stage.venue.customers[KEY].orders) - before)
        return answer

    stage.live.play("97.9")
    stage.patch.setattr(real_side, "act", act)
    stage.tick()
    assert sent == [0 if guard else 1]


# --- no level is missing --------------------------------------------------------------------------


@guarded
def test_a_gap_that_would_meet_an_own_order_does_not_wait_for_the_price(
    stage: Stage, guard: bool
) -> None:
    """Two sells filled, their answers were refused, and the price fell back meanwhile."""
    if not guard:
        stage.patch.setattr(grid_orders.Rivals, "price_beside", lambda *asked: None)
    stage.tick()
    # Three refusals for each of both, one more after the next fill; then a sell stands at 100.
    stage.faults.set([Fault("code", "order/create", code=110007, times=8)])
    for price in ("104.5", "97.9", "95.9"):
        stage.live.play(price)
        stage.tick()
    judge(stage, guard)
    if guard:
        # One tick short of the own sell, so never at its price, and filled at the market's.
        every = stage.live.world.orders(stage.bot)
        beside = [one for one in every if one.price == Decimal("99.99")]
        assert [one.side for one in beside] == ["buy"] * 2
        assert [one.value / one.filled for one in beside] == [Decimal("95.9")] * 2
