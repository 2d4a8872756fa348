"""An exchange that has lost sight of orders which stand: nothing is ever placed beside them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.bots.live import clock
from app.db import db
from app.trading.ports import Accepted, Unresolved
from app.transactions import transaction
from tests.doubles.fake_stage import KEY, FakeStage
from tests.doubles.live import CONTRACT, FIRST
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")

LONG_MS = 100 * 3_600_000
NEUTRAL = {"direction": "neutral", "leverage": "2"}


class Stage(FakeStage):
    """A ladder that stands, at an exchange that remembers and forgets it on demand."""

    def __init__(self, patch: pytest.MonkeyPatch, symbol: str) -> None:
        super().__init__(patch, symbol, NEUTRAL if symbol == CONTRACT else {})
        self.live.tick()
        self.ladder = self.standing()
        assert len(self.ladder) > 5
        patch.setattr(clock, "GRACE", timedelta(minutes=5))

    def standing(self) -> list[tuple[Any, ...]]:
        """Return what stands at the exchange, whoever knows of it."""
        orders = self.exchange.venue.customers[KEY].open_orders()
        return sorted((order.side, order.price, order.quantity) for order in orders)

    def forget(self) -> None:
        """Have every look deny what stands."""
        for order in self.exchange.venue.customers[KEY].open_orders():
            order.shown_from = self.exchange.venue.now() + LONG_MS

    def remember(self) -> None:
        """Have every look show everything again."""
        for order in self.exchange.venue.customers[KEY].orders.values():
            order.shown_from = 0

    def wait(self, minutes: int) -> None:
        """Let time pass for orders in doubt, looking twice before and twice after."""
        self.look()
        with transaction():
            db.session.execute(
                text("update orders set doubtful_since = doubtful_since - :time"),
                {"time": timedelta(minutes=minutes)},
            )
        self.look()

    def look(self) -> None:
        """Look twice, and see that nothing stands twice."""
        for _ in range(2):
            self.live.audit()
            places = [(side, price) for side, price, _ in self.standing()]
            assert len(places) == len(set(places))


@pytest.fixture(params=few([CONTRACT, FIRST], 2), ids=["contract", "coins"])
def stage(database: None, monkeypatch: pytest.MonkeyPatch, request: Any) -> Stage:
    """Return a ladder that stands."""
    return Stage(monkeypatch, request.param)


def test_what_an_exchange_denies_is_asked_back_before_it_is_placed_anew(stage: Stage) -> None:
    stage.forget()
    stage.wait(minutes=60)
    stage.look()
    assert stage.standing() == stage.ladder
    stage.remember()
    stage.look()
    assert stage.standing() == stage.ladder
    assert stage.live.differences() + stage.live.missing_levels() == []


def test_an_exchange_that_loses_sight_of_all_at_once_is_given_longer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows nothing to take back either, as where keys are led to another place for a while."""
    monkeypatch.setattr(stage.exchange, "cancel", lambda symbol, client_id: Accepted())
    stage.forget()
    stage.wait(minutes=29)
    stage.remember()
    stage.look()
    assert stage.standing() == stage.ladder
    assert stage.live.differences() + stage.live.missing_levels() == []


def test_what_may_stand_for_all_that_is_known_stays_in_doubt(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.exchange, "cancel", lambda symbol, client_id: Unresolved("busy"))
    stage.forget()
    stage.wait(minutes=600)
    assert stage.standing() == stage.ladder
    stage.remember()
    stage.look()
    assert stage.live.differences() + stage.live.missing_levels() == []


def test_a_ladder_that_an_exchange_has_taken_back_is_placed_anew(stage: Stage) -> None:
    """Before a maintenance or with a changed key: it knows the orders, as cancelled."""
    venue, customer = stage.exchange.venue, stage.exchange.venue.customers[KEY]
    for order in customer.open_orders():
        venue.cancel(customer, order)
    stage.look()
    assert stage.standing() == stage.ladder
    assert stage.live.differences() + stage.live.missing_levels() == []
