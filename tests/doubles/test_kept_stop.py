"""A position that a stopped bot has kept is closed by force while its stop stands."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from app.bots import stopping
from app.bots.queries import bot_card, notices_for
from app.bots.ties import told_differences
from app.bots.upkeep import find_due_accounts
from app.db import utc_now
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.doubles.bybit.server import DoubleServer
from tests.doubles.live import CONTRACT, LiveWorld
from tests.doubles.wire import product_at_double
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")
KEY = "customer-one-of-the-stand-in"
LONG: dict[str, Any] = {
    "direction": "long", "leverage": "3", "stop_loss": "85", "at_exit": "sell", "grids": "6",
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[DoubleServer]:
    """Run the stand-in, and send the product's calls to it."""
    with product_at_double() as server:
        yield server


def keep_position(server: DoubleServer) -> tuple[LiveWorld, int]:
    """Have a bot trade a contract and stop, keeping its position and the stop of that."""
    live = LiveWorld(server.operator_hand())
    live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    (bot,) = live.add_seat(KEY, 1, (CONTRACT,), **LONG).bots
    for _ in range(3):
        live.tick()
    owner = live.world.bot(bot).user_id
    with transaction():
        stopping.request_stop(owner, bot, StopHow.KEEP)
    for _ in range(3):
        live.audit()
    return live, bot


@pytest.mark.parametrize(
    ("kind", "share", "takes_stop"),
    few([("BustTrade", "1", False), ("BustTrade", "1", True), ("AdlTrade", "0.5", False)], 3),
)
def test_the_books_end_right_and_the_stop_goes_with_the_position(
    server: DoubleServer, database: None, kind: str, share: str, takes_stop: bool
) -> None:
    live, bot = keep_position(server)
    owner = live.world.bot(bot).user_id
    (stop,) = live.world.open_orders(bot)
    assert (stop.purpose, live.world.bot(bot).state) == ("protect", "stopped")
    customer = server.venue.customers[KEY]
    server.operator.take_over(KEY, "AAAUSDT", kind, share)
    if takes_stop:
        server.operator.take_away(KEY, stop.client_id)
    # It is looked at on, as long as it holds something or has an order there.
    live.world.change_bot(bot, last_tick_at=utc_now() - timedelta(minutes=2))
    with transaction():
        assert live.accounts()[0] in find_due_accounts(10)
    for _ in range(3):
        live.audit()
    metrics, position = live.world.metrics(bot), customer.positions["AAAUSDT"]
    assert metrics.base == position.size
    with transaction():
        # The wallet and the position, as the comparison has them.
        assert told_differences() == []
    told = live.world.events(bot)
    assert told.count("position_liquidated" if kind == "BustTrade" else "position_deleveraged") == 1
    assert "books_differ" not in told and "order_cancelled_elsewhere" not in told
    with transaction():
        notices = {line.code for line in notices_for(bot_card(owner, bot))}
    if share == "1":
        assert (metrics.base, customer.open_orders(), live.world.open_orders(bot)) == (0, [], [])
        assert "notice_left_stop" not in notices
    else:
        # What is left keeps its stop: it only closes, whatever its size says.
        (standing,) = customer.open_orders()
        assert standing.reduce_only and "notice_left_stop" in notices


@pytest.mark.long
def test_a_position_that_its_owner_has_turned_round_is_not_said_to_have_a_stop(
    server: DoubleServer, database: None
) -> None:
    live, bot = keep_position(server)
    customer = server.venue.customers[KEY]
    held = customer.positions["AAAUSDT"].size
    server.operator.trade(
        KEY, category="linear", symbol="AAAUSDT", side="Sell", orderType="Market", qty=f"{2 * held}"
    )
    for _ in range(3):
        live.audit()
    assert live.world.metrics(bot).base == customer.positions["AAAUSDT"].size == -held
    assert (customer.open_orders(), live.world.open_orders(bot)) == ([], [])
    owner = live.world.bot(bot).user_id
    with transaction():
        notices = {line.code for line in notices_for(bot_card(owner, bot))}
    assert "notice_no_stop" in notices and "notice_left_stop" not in notices
