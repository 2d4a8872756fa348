"""A tick that finds nothing to do costs one private call an account and no public one."""

from collections.abc import Iterator

import pytest
from redis import Redis
from sqlalchemy import update

from app.adapters.exchanges.bases import use_bases
from app.adapters.exchanges.client import forget_markets
from app.adapters.exchanges.rate_broker import exchange_calls
from app.db import db, utc_now
from app.exchanges import venues
from app.exchanges.models import ExchangeAccount
from app.transactions import transaction
from tests.doubles.bybit.server import DoubleServer, serve
from tests.doubles.bybit.venue import Venue
from tests.doubles.live import LiveWorld

pytestmark = pytest.mark.usefixtures("database")
TICKS = 5


@pytest.fixture
def server(database: None) -> Iterator[DoubleServer]:
    server = serve(Venue())
    use_bases({"bybit": server.url})
    forget_markets()
    yield server
    venues.own_pool().close()
    use_bases({})
    forget_markets()
    server.shutdown()
    server.server_close()


@pytest.mark.long
def test_quiet_accounts_cost_one_call_each(server: DoubleServer, redis_db: Redis) -> None:
    live = LiveWorld(server.operator_hand())
    live.play("100")
    for number in range(2):
        live.add_seat(f"quiet-customer-{number}-of-the-stand-in", bots=2)
    for _ in range(12):
        live.tick()
    # The next comparison as a whole is far away, however slow this machine is.
    with transaction():
        db.session.execute(update(ExchangeAccount).values(audited_at=utc_now()))
    before, heard = exchange_calls(redis_db), sum(server.operator.calls.values())
    for _ in range(TICKS):
        live.tick()
    after, heard = exchange_calls(redis_db), sum(server.operator.calls.values()) - heard
    made = {kind: count - before.get(kind, 0) for kind, count in after.items()}
    assert made[("bybit", "private")] == 2 * TICKS
    assert made.get(("bybit", "public"), 0) == 0
    assert heard == 2 * TICKS
