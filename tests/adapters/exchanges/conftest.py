"""Calls of these tests go through no broker but the one a test sets up."""

from collections.abc import Iterator

import pytest

from app.adapters.exchanges import traffic
from app.adapters.exchanges.clock import Clocks
from app.adapters.exchanges.rate_broker import NoBroker


@pytest.fixture(autouse=True)
def _no_broker() -> Iterator[None]:
    before = traffic.network()
    traffic.use_network(NoBroker(), Clocks(None))
    yield
    traffic.use_network(*before)
