"""The database is restored from a copy that is older than the exchange's books."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from app.bots import stopping
from app.bots.live import booking
from app.trades.models import OrderRow
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.doubles.fake_stage import FakeStage
from tests.doubles.live import CONTRACT, FIRST
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")

TABLES = (
    "bots", "bot_configs", "bot_metrics", "bot_events", "orders", "fills", "funding", "trades",
    "exchange_accounts", "account_audits", "account_leases",
)  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "spot": (FIRST, {}),
    "neutral": (CONTRACT, {"direction": "neutral", "leverage": "5"}),
    "few orders": (FIRST, {"max_resting": "4"}),
    "following": (FIRST, {"trailing_up": True, "trailing_down": True}),
    "short with a stop": (
        CONTRACT,
        {"direction": "short", "leverage": "2", "stop_loss": "130"},
    ),
}
# Fills of what no bot wants any more count under the id of their trade; strays are taken back, and
# may be wanted later.
REPLACED = re.compile(r"unknown to us|was never there|exchange took \w+ 2 times")
CHANGED = {"id", "client_id", "status"}
AsOwner = Callable[[str], None]


class Stage(FakeStage):
    """A bot on a real account, and a copy of its books."""

    def __init__(self, patch: pytest.MonkeyPatch, as_owner: AsOwner, kind: str) -> None:
        super().__init__(patch, *KINDS[kind])
        self.as_owner = as_owner

    def keep_copy(self) -> None:
        """Take a copy of the books."""
        for name in TABLES:
            self.as_owner(f"drop table if exists copy_of_{name}")
            self.as_owner(f"create table copy_of_{name} as table {name}")

    def restore(self) -> None:
        """Bring back the books as they were."""
        self.as_owner("set session_replication_role = replica")
        for name in TABLES:
            self.as_owner(f"delete from {name}")  # noqa: S608 - our own names
            self.as_owner(f"insert into {name} overriding system value table copy_of_{name}")
            self.as_owner(f"drop table copy_of_{name}")
        self.as_owner("set session_replication_role = origin")

    def differing(self) -> list[str]:
        """Return where the books differ two comparisons later, but for lost orders themselves."""
        for _ in range(2):
            self.live.audit()
        return [line for line in self.live.differences() if not REPLACED.search(line)]


@pytest.mark.parametrize(("kind", "seed"), few([(k, s) for s in (5, 6, 8) for k in KINDS], 15))
def test_books_that_are_older_than_the_exchange_catch_up_with_it(
    monkeypatch: pytest.MonkeyPatch, as_owner: AsOwner, kind: str, seed: int
) -> None:
    stage = Stage(monkeypatch, as_owner, kind)
    stage.live.tick()
    stage.trade(3, 4)
    stage.keep_copy()
    stage.trade(seed, 24)
    fills = len(stage.live.world.fills(stage.bot))
    cash = stage.live.world.metrics(stage.bot).quote
    stage.restore()
    assert len(stage.live.world.fills(stage.bot)) < fills
    assert stage.differing() == []
    if "books_restored" not in stage.live.world.events(stage.bot):
        assert len(stage.live.world.fills(stage.bot)) == fills
        assert stage.live.world.metrics(stage.bot).quote == cash
    # A grid that has begun anew out of its range waits for the price.
    stage.trade(9, 12, "1.8")
    assert stage.differing() + stage.live.missing_levels() == []


def stopped_and_started(stage: Stage) -> None:
    owner = stage.live.world.bot(stage.bot).user_id
    with transaction():
        stopping.request_stop(owner, stage.bot, StopHow.SELL)
    for _ in range(3):
        stage.live.tick()
    stage.live.world.restart_bot(stage.bot)
    stage.trade(6, 10)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["neutral", "spot"])
def test_what_its_owner_did_since_the_copy_is_gone_and_the_money_is_there(
    monkeypatch: pytest.MonkeyPatch,
    as_owner: AsOwner,
    kind: str,
) -> None:
    stage = Stage(monkeypatch, as_owner, kind)
    stage.live.tick()
    stage.trade(3, 4)
    stage.keep_copy()
    stage.trade(5, 6)
    stopped_and_started(stage)
    stage.restore()
    assert stage.differing() == []
    stage.trade(9, 12, "1.8")
    assert stage.differing() + stage.live.missing_levels() == []


@pytest.mark.long
def test_a_fill_of_what_older_books_have_denied_stops_no_account(
    monkeypatch: pytest.MonkeyPatch, as_owner: AsOwner
) -> None:
    stage = Stage(monkeypatch, as_owner, "spot")
    stage.live.tick()
    stage.keep_copy()
    stage.trade(5, 20)
    told = {fill.order_id for fill in stage.live.world.fills(stage.bot)}
    filled = [own.client_id for own in stage.live.world.orders(stage.bot) if own.id in told]
    stage.restore()
    names = ", ".join(c.name for c in OrderRow.__table__.columns if c.name not in CHANGED)
    as_owner(
        f"insert into orders ({names}, client_id, status) select {names}, '{filled[-1]}', 'DENIED'"  # noqa: S608 - our own names
        " from orders limit 1"
    )
    for _ in range(3):
        assert stage.live.audit().failed == 0
    assert stage.live.world.bot(stage.bot).state == "active"


@pytest.mark.long
def test_without_looking_up_what_is_wanted_anew_restored_books_buy_twice(
    monkeypatch: pytest.MonkeyPatch, as_owner: AsOwner
) -> None:
    monkeypatch.setattr(booking, "find_lost", lambda *_: None)
    stage = Stage(monkeypatch, as_owner, "spot")
    stage.live.tick()
    stage.keep_copy()
    stage.trade(5, 20)
    stage.restore()
    assert stage.differing() != []
