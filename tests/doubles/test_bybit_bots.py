"""A bot trades through the real library against the stand-in, over HTTP."""

from collections.abc import Iterator

import pytest

from app.adapters.exchanges.bases import use_bases
from app.adapters.exchanges.client import forget_markets
from tests.bots.live_world import wander
from tests.doubles.bybit.server import DoubleServer, serve
from tests.doubles.bybit.venue import Venue
from tests.doubles.live import LiveWorld

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def server() -> Iterator[DoubleServer]:
    """Run the stand-in, and send the product's calls to it."""
    server = serve(Venue())
    use_bases({"bybit": server.url})
    forget_markets()
    yield server
    use_bases({})
    forget_markets()
    server.shutdown()
    server.server_close()


@pytest.fixture
def live(server: DoubleServer, database: None) -> LiveWorld:
    """Return a world whose exchange is the stand-in."""
    return LiveWorld(server.operator_hand())


def test_a_grid_starts_fills_answers_and_agrees_with_the_exchange(live: LiveWorld) -> None:
    live.play("100")
    seat = live.add_seat("customer-one-of-the-stand-in")
    live.tick()
    (bot,) = seat.bots
    assert live.world.bot(bot).state == "active"
    assert len(live.world.open_orders(bot)) == 10
    for price in wander(3, 60):
        live.play(price)
        live.tick()
    live.tick()
    assert live.differences() == []
    assert len(live.world.trades(bot)) > 5
