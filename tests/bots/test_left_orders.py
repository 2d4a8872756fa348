"""Orders that a bot has left close their round trips, whatever was asked of it since."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from app.bots import service, stopping
from app.bots.live import asking
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.live_world import World
from tests.bots.shop import GRID, Shop
from tests.bots.test_running import as_contract
from tests.long import few


class Desk:
    """A bot that has seen a price, bought at 98 as a rule, and was stopped with its orders left."""

    def __init__(self, price: str = "97.9", *, contract: bool = False, **params: Any) -> None:
        self.shop = Shop.open()
        if contract:
            as_contract(self.shop)
        self.world = World(self.shop.market_id)
        self.bot = self.shop.run_bot(price, **params)
        self.stop(StopHow.LEAVE_ORDERS)
        self.ticks()
        assert (self.state, self.world.metrics(self.bot).matched_trades) == ("stopped", 0)

    @property
    def state(self) -> str:
        return str(self.world.bot(self.bot).state)

    def stop(self, how: StopHow) -> None:
        with transaction():
            stopping.request_stop(self.shop.user_id, self.bot, how, by_operator=True)

    def stop_at_once(self) -> None:
        with transaction():
            stopping.emergency_stop(self.shop.user_id, self.bot)

    def start(self) -> None:
        self.shop.start(self.bot)

    def edit(self) -> None:
        with transaction():
            changed = {**GRID, "grids": 7}
            service.edit_bot(self.shop.user_id, self.bot, "grid", changed, "Other levels")

    def ticks(self, count: int = 4) -> None:
        for _ in range(count):
            self.shop.tick()

    def fill(self) -> None:
        """Let the sell at 100 fill, and the price come back, before anybody looks."""
        self.shop.play("100.1", "99")

    def assert_counted(self, count: int = 1) -> None:
        sums = self.world.metrics(self.bot)
        closed = [trade for trade in self.world.trades(self.bot) if trade.profit]
        of_the_grid = [t for t in closed if t.logic["exit"]["code"] == "answers_buy"]
        assert sums.matched_trades == len(of_the_grid) == count
        assert sums.grid_profit == sum(trade.profit for trade in of_the_grid) > 0
        assert {(t.status, t.entry_price, t.exit_price) for t in of_the_grid} == {
            ("closed", Decimal(98), Decimal(100))
        }
        assert self.world.events(self.bot).count("level_sold") == count


def _edit_and_start(desk: Desk) -> None:
    desk.edit()
    desk.start()


ASKED: dict[str, Callable[[Desk], None]] = {
    "start": Desk.start,
    "keep": lambda desk: desk.stop(StopHow.KEEP),
    "sell": lambda desk: desk.stop(StopHow.SELL),
    "emergency": Desk.stop_at_once,
    "edit": Desk.edit,
    "edit and start": _edit_and_start,
}


@pytest.mark.parametrize("asked", few(list(ASKED), 3))
def test_a_sell_that_fills_between_a_request_and_its_cancel_is_a_trade(
    database: None, asked: str
) -> None:
    desk = Desk()
    ASKED[asked](desk)
    desk.fill()
    desk.ticks()
    desk.assert_counted()
    row = desk.world.bot(desk.bot)
    state = {"start": "active", "edit and start": "active", "emergency": "locked"}
    assert row.state == state.get(asked, "stopped")
    # Kept as long as orders of it may fill, and no longer.
    assert (row.left_state is None) is (asked != "edit")
    desk.ticks()
    desk.assert_counted()


def test_what_a_failed_start_has_read_of_its_orders_is_counted_once(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    desk.start()

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(asking, "broken_limit", fail)
    desk.fill()
    desk.ticks(2)
    monkeypatch.undo()
    desk.ticks()
    desk.assert_counted()


def test_a_short_trade_is_closed_by_a_buy_that_fills_before_a_new_start(database: None) -> None:
    desk = Desk("102.1", contract=True, direction="short", leverage=Decimal(3))
    desk.start()
    desk.shop.play("95.9", "99")
    desk.ticks()
    sums, trades = desk.world.metrics(desk.bot), desk.world.trades(desk.bot)
    assert desk.state == "active"
    assert sums.matched_trades == len(trades) > 0
    assert {(trade.status, trade.side) for trade in trades} == {("closed", "short")}
    assert sums.grid_profit == sum(trade.profit for trade in trades) > 0
