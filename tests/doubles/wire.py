"""The product's calls go to a stand-in in this very process, over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.adapters.exchanges.bases import use_bases
from app.adapters.exchanges.client import forget_markets
from app.adapters.exchanges.clock import Clocks
from app.adapters.exchanges.traffic import network, use_network
from tests.doubles.bybit.server import DoubleServer, serve
from tests.doubles.bybit.venue import Venue


@contextmanager
def product_at_double() -> Iterator[DoubleServer]:
    """Run the stand-in, and send the product's calls to it."""
    server = serve(Venue())
    use_bases({"bybit": server.url})
    forget_markets()
    # What one test tells of the exchange's clock is no news for another.
    before = network()
    use_network(before[0], Clocks(None), before[2])
    try:
        yield server
    finally:
        use_network(*before)
        use_bases({})
        forget_markets()
        server.shutdown()
        server.server_close()
