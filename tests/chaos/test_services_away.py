"""PostgreSQL and Redis go away and come back while bots trade: they go on by themselves."""

import time
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import OperationalError

from app import config as configuration
from app import create_app
from app.bots import wake
from app.config import load_config
from app.db import db
from app.extensions import redis_client
from dev.embedded import Services, temporary_services
from tests.bots.live_world import World, candles_of, path_of, wander
from tests.bots.test_live import assert_same
from tests.chaos.worker_world import (
    Worker,
    expected_of,
    let_happen,
    running,
    wait_for,
    wait_until_done,
)
from tests.services import migrate

pytestmark = pytest.mark.chaos


@pytest.fixture
def servers(environment: dict[str, str]) -> Iterator[tuple[Services, dict[str, str]]]:
    """Run servers of this test's own, and an app over them."""
    before = configuration.current_config() if configuration._Current.config else None
    with temporary_services() as services:
        own = {
            **environment,
            "DATABASE_URL": services.database_url,
            "REDIS_URL": services.redis_url,
        }
        migrate(services.database_url)
        try:
            with create_app(load_config(own)).app_context():
                yield services, own
                db.session.remove()
                db.engine.dispose()
        finally:
            if before is not None:
                configuration.use_config(before)
                redis_client.configure(before.redis_url)


def test_bots_go_on_by_themselves_when_servers_come_back(
    servers: tuple[Services, dict[str, str]],
) -> None:
    services, environment = servers
    world = World.make()
    candles = candles_of(wander(31, 150))
    prices = path_of(candles)
    parts = [prices[1 + n * 20 : 1 + (n + 1) * 20] for n in range(6)]
    world.play(prices[0])
    bots = [world.add_bot() for _ in range(3)]
    ticks = Worker(environment, "ticks", "--name", "chaos")
    scheduler = Worker(environment, "scheduler")
    with running(ticks), running(scheduler):
        wake.request_ticks(world.accounts())
        wait_until_done(world)
        let_happen(world, *parts[0])

        services.postgres.halt()
        with pytest.raises(OperationalError):
            world.play(parts[1][0])
        db.session.rollback()
        time.sleep(2)
        services.postgres.restart()
        let_happen(world, *parts[1])
        wait_until_done(world)

        let_happen(world, *parts[2])
        services.valkey.halt()
        time.sleep(2)
        # Prices go on; nobody can be woken.
        let_happen(world, *parts[3])
        services.valkey.restart()
        # All hints are gone: the sweep alone finds the bots, by the times in their rows.
        for bot in bots:
            world.change_bot(bot, next_tick_at=world.bot(bot).last_tick_at)
        wait_for(lambda: all(world.bot(bot).wake_below is not None for bot in bots))
        let_happen(world, *parts[4])
        wait_until_done(world)

        let_happen(world, *prices[1 + 5 * 20 :])
        wait_until_done(world)
        assert ticks.stop() == 0
        assert scheduler.stop() == 0
    expected = expected_of(candles)
    for bot in bots:
        assert_same(world, bot, expected)
