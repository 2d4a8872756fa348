"""Several bots of one account share its limits: what stops, closes or protects goes first."""

from typing import Any

import pytest

from app.bots.live import real_side
from app.trading.orders import Order, Purpose
from tests.bots.real_desk import Desk

pytestmark = pytest.mark.usefixtures("database")


class Crowd(Desk):
    """One bot that holds coins, and others that are about to place all their orders."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__(patch)
        self.others = [self.bot, self.world.add_bot(77)]
        self.runner = self.world.add_bot(77)
        for bot in self.others:
            self.world.change_bot(bot, state="stopped")
        self.tick()
        assert len(self.world.open_orders(self.runner)) == 10
        for bot in self.others:
            self.world.change_bot(bot, state="starting")
        # What the venue was asked for since, in its order.
        self.asked: list[str] = []
        place, cancel = self.venue.place, self.venue.cancel

        def placed(symbol: str, order: Order) -> Any:
            self.asked.append(order.key.purpose.value)
            self.after_placing()
            return place(symbol, order)

        def cancelled(symbol: str, client_id: str) -> Any:
            self.asked.append("cancel")
            return cancel(symbol, client_id)

        patch.setattr(self.venue, "place", placed)
        patch.setattr(self.venue, "cancel", cancelled)

    def after_placing(self) -> None:
        """Do nothing, unless a test wants otherwise."""

    def stop_the_runner(self) -> None:
        """Ask it to sell and stop."""
        self.world.change_bot(self.runner, state="stopping", stop_request="sell")

    def tick_all(self) -> None:
        """Tick until nothing is left to do at once."""
        for _ in range(6):
            if not self.tick().unfinished:
                return


@pytest.fixture
def crowd(database: None, monkeypatch: pytest.MonkeyPatch) -> Crowd:
    """Return bots of one account."""
    monkeypatch.setattr(real_side, "FRESH_S", 0)
    return Crowd(monkeypatch)


def test_a_bot_that_stops_sells_before_others_place_their_ladders(crowd: Crowd) -> None:
    crowd.stop_the_runner()
    crowd.tick_all()
    assert crowd.world.bot(crowd.runner).state == "stopped"
    assert crowd.asked.index(Purpose.CLOSE.value) < crowd.asked.index(Purpose.GRID.value)
    for bot in crowd.others:
        assert len(crowd.world.open_orders(bot)) == 10


def test_a_stop_that_is_asked_for_meanwhile_does_not_wait_for_the_ladders_of_others(
    crowd: Crowd,
) -> None:
    def stop_in_the_middle() -> None:
        if crowd.asked.count(Purpose.GRID.value) == 4:
            crowd.stop_the_runner()

    crowd.after_placing = stop_in_the_middle  # type: ignore[method-assign]
    crowd.tick_all()
    assert crowd.world.bot(crowd.runner).state == "stopped"
    sold = crowd.asked.index(Purpose.CLOSE.value)
    assert crowd.asked[:sold].count(Purpose.GRID.value) <= 5
    for bot in crowd.others:
        assert len(crowd.world.open_orders(bot)) == 10
    assert len(crowd.venue.sent) == len(set(crowd.venue.sent))
