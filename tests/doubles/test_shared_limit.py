"""Ten bots of one account, its real limit, and a stop in the middle of all their starts."""

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.doubles.bybit.server import DoubleServer
from tests.doubles.live import LiveWorld
from tests.doubles.wire import product_at_double

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.long]
KEY = "customer-one-of-the-stand-in"


@pytest.fixture
def server() -> Iterator[DoubleServer]:
    """Run the stand-in, and send the product's calls to it."""
    with product_at_double() as server:
        yield server


def test_no_bot_of_a_crowd_starves_and_a_stop_does_not_wait_for_it(
    server: DoubleServer, database: None
) -> None:
    server.operator.limit({"/v5/order/create": 10, "/v5/order/cancel": 10})
    live = LiveWorld(server.operator_hand())
    live.play("100")
    seat = live.add_seat(KEY, bots=1, grids="6")
    live.tick()
    (runner,) = seat.bots
    assert len(live.world.open_orders(runner)) == 6
    others = [live.world.add_bot(seat.account, grids="6", investment="500") for _ in range(9)]
    for bot in others:
        live.world.change_bot(bot, mode="live")
    live.tick()
    live.world.change_bot(runner, state="stopping", stop_request="sell")
    began, stopped_after = time.monotonic(), None
    while time.monotonic() - began < 60:
        live.tick()
        if stopped_after is None and live.world.bot(runner).state == "stopped":
            stopped_after = time.monotonic() - began
        if all(len(live.world.open_orders(bot)) == 6 for bot in others):
            break
    whole_after = time.monotonic() - began
    assert stopped_after is not None and stopped_after < 10
    assert all(len(live.world.open_orders(bot)) == 6 for bot in others), whole_after
    assert stopped_after < whole_after
    theirs = server.venue.customers[KEY]
    assert len(theirs.open_orders()) == 9 * 6
    assert theirs.wallet["AAA"] > Decimal(1)
