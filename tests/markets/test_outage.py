"""The feed as a process of its own, while its servers and itself are stopped on purpose."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from dev.postgres import FAST, PostgresServer
from dev.valkey import ValkeyServer
from tests import services
from tests.conftest import MASTER_KEYS, SECRET_KEY
from tests.markets.recorded import MINUTE_MS, rising_rows, write_rows
from tests.starting import Started, run, start

pytestmark = pytest.mark.chaos

PATIENCE_S = 60
ROWS = 4000
SEED = """
from flask_migrate import upgrade

from app import create_app
from app.exchanges.service import seed_exchanges
from app.markets.service import seed_markets
from app.transactions import transaction
with create_app().app_context():
    upgrade()
    with transaction():
        seed_exchanges()
        seed_markets()
"""


@dataclass
class World:
    """Servers of this test alone, and the feed on them."""

    postgres: PostgresServer
    redis: ValkeyServer
    environment: dict[str, str]
    feed: Started | None = None

    def start_feed(self) -> None:
        self.feed = start(["worker.py", "feed", "--name", "feed-under-test"], self.environment)

    def kill_feed(self) -> None:
        if self.feed is not None:
            self.feed.kill()
            self.feed.wait()

    def rows(self, query: str) -> list[tuple[int, ...]]:
        with services.connect(self.postgres.url("feed")) as connection:
            return connection.execute(query).fetchall()

    def played(self) -> list[int]:
        """Return the numbers of the recorded pair's points."""
        query = (
            "select seq from price_points join markets on markets.id = market_id"
            " where symbol = 'BTC/USDT' and exchange = 'bybit' order by seq"
        )
        return [seq for (seq,) in self.rows(query)]

    def prices(self) -> list[int]:
        query = (
            "select price::bigint from price_points join markets on markets.id = market_id"
            " where symbol = 'BTC/USDT' and exchange = 'bybit' order by seq"
        )
        return [price for (price,) in self.rows(query)]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except psycopg.OperationalError:
                pass
            time.sleep(0.2)
        pytest.fail(f"nothing for {PATIENCE_S} s: {what}")

    def wait_for_more(self, what: str) -> None:
        before = len(self.played())
        self.wait_for(lambda: len(self.played()) > before + 5, what)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    write_rows(tmp_path / "bybit-BTCUSDT-1m.csv.gz", rising_rows(ROWS, MINUTE_MS))
    with tempfile.TemporaryDirectory(prefix="botyard.", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = PostgresServer(folder / "postgres", settings=FAST)
        redis = ValkeyServer(folder / "valkey", durable=False)
        made = None
        try:
            postgres.start()
            redis.start()
            postgres.ensure_database("feed")
            environment = {
                **os.environ,
                "BOTYARD_ENV": "testing",
                "DATABASE_URL": postgres.url("feed"),
                "REDIS_URL": redis.url(),
                "SECRET_KEY": SECRET_KEY,
                "BOTYARD_MASTER_KEYS": MASTER_KEYS,
                "MARKET_REPLAY": str(tmp_path),
                "MARKET_REPLAY_SPEED": "300",
            }
            seed = tmp_path / "seed.py"
            seed.write_text(SEED)
            run([str(seed)], environment)
            made = World(postgres, redis, environment)
            yield made
        finally:
            if made is not None:
                made.kill_feed()
            postgres.remove()
            redis.remove()


def expected(count: int) -> list[int]:
    """Return the first prices after the start in the middle of the recording."""
    path = [price for n in range(ROWS // 2, ROWS) for price in (100 + n, 99 + n, 102 + n, 101 + n)]
    return path[:count]


@pytest.mark.long
def test_feed_goes_on_after_every_outage_without_a_lost_or_double_point(world: World) -> None:
    world.start_feed()
    world.wait_for(lambda: len(world.played()) > 5, "first points")

    world.redis.halt()
    world.wait_for_more("points while Redis is away")
    world.redis.restart()

    world.postgres.halt()
    time.sleep(2)
    world.postgres.restart()
    world.wait_for_more("points after PostgreSQL came back")

    for _ in range(2):
        world.kill_feed()
        world.start_feed()
        world.wait_for_more("points after the feed was killed")

    def beats() -> bool:
        with Redis.from_url(world.redis.url()) as client:
            heard = client.get("feed:heartbeat")
        return isinstance(heard, bytes) and float(heard) > time.time() - 15

    world.wait_for(beats, "a heartbeat after Redis came back")

    assert world.feed is not None
    world.feed.send_signal(signal.SIGTERM)
    assert world.feed.wait(timeout=15) == 0

    numbers, prices = world.played(), world.prices()
    assert numbers == list(range(1, len(numbers) + 1))
    # The first price of the seed and the one at which the history ends come before the recording.
    assert prices[2:] == expected(len(prices) - 2)
