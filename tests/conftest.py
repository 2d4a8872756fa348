"""Fixtures of every test: real servers, one clean database, an app, a client."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from redis import Redis

from tests import services
from tests.examples import use_examples
from tests.network import close_network
from tests.services import Addresses

if TYPE_CHECKING:
    from flask import Flask

    from app.accounts.models import User
    from tests.client import Client

ROOT = Path(__file__).resolve().parent.parent
SECRET_KEY = "only-for-tests-only-for-tests-only-for-tests"
MASTER_KEYS = "test:" + "A" * 43 + "="
_SERVICES = "services"
_stack = ExitStack()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the servers are; the first one starts them."""
    gc.enable()  # Who has workers collects nothing.
    addresses = node.config.stash.get(_addresses_key, None)
    if addresses is None:
        addresses = services.start_services(_stack)
        node.config.stash[_addresses_key] = addresses
    node.workerinput[_SERVICES] = asdict(addresses)


def pytest_unconfigure() -> None:
    """Stop the servers that this process has started."""
    _stack.close()


def pytest_configure() -> None:
    """Say how often properties are tried; look for no garbage while tests are collected.

    That makes millions of objects that stay. Looking among them would take a third of the time
    that a fresh clone needs to compile the tests.
    """
    use_examples()
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage as seldom as the workers do, and never among the collected tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


# What starts whole products, waits for them or keeps to an exchange's limits is begun first, so
# that nothing waits for it at the end, and between files that always compute: some processor
# would be idle if all workers waited at the same time.
WAITING_FOLDERS = ("chaos", "doubles", "journeys", "dev")
COMPUTING_FOLDERS = ("bots", "trading", "security")
# Lines are counted where their subject is tested. These go through the same ones once more, and
# counting makes them half as slow again.
REPEATING_FOLDERS = ("chaos", "doubles", "journeys", "security")
REPEATING_FILES = (
    "test_hostile_input.py",
    "test_live_crash.py",
    "test_sequences.py",
    "test_stripe_sequences.py",
)


def _in_good_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests by file: waiting and computing ones in turn, then all others."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)

    def folder_of(path: Path) -> str:
        return path.parent.name

    waiting = sorted(
        (path for path in files if folder_of(path) in WAITING_FOLDERS),
        key=lambda path: (WAITING_FOLDERS.index(folder_of(path)), path),
    )
    computing = [path for path in files if folder_of(path) in COMPUTING_FOLDERS]
    first = [path for pair in zip_longest(waiting, computing) for path in pair if path is not None]
    order = [*first, *(path for path in files if path not in set(first))]
    return [item for path in order for item in files[path]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files in order; skip what reads the recorded data, where they are absent."""
    items[:] = _in_good_order(items)
    for item in items:
        # What reads the recorded data has a twin on data made here.
        repeats = item.path.parent.name in REPEATING_FOLDERS or item.path.name in REPEATING_FILES
        if "shared" in item.keywords or repeats:
            item.add_marker(pytest.mark.no_cover)
    folder = shared_folder()
    if folder.is_dir():
        return
    skip = pytest.mark.skip(reason=f"no recorded data at {folder} (set BOTYARD_SHARED)")
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(skip)


_addresses_key = pytest.StashKey[Addresses]()


def shared_folder() -> Path:
    """Return where the recorded data would be."""
    return Path(os.environ.get("BOTYARD_SHARED") or ROOT.parent / "shared").resolve()


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        close_network(patch)
        yield


@pytest.fixture(scope="session")
def addresses(request: pytest.FixtureRequest) -> Addresses:
    """Return where the servers are, starting them in a run without xdist."""
    worker = getattr(request.config, "workerinput", None)
    if worker is not None:
        return Addresses(**worker[_SERVICES])
    return services.start_services(_stack)


@pytest.fixture(scope="session")
def worker_number(request: pytest.FixtureRequest) -> int:
    """Return 1, 2, ... for the xdist workers, and 1 without xdist."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "gw0")
    return int(str(worker).removeprefix("gw")) + 1


@pytest.fixture(scope="session")
def database_url(addresses: Addresses, worker_number: int) -> str:
    """Return this worker's own database, a clone of the migrated template."""
    return services.make_database(addresses, f"{addresses.run}_worker_{worker_number}")


@pytest.fixture(scope="session")
def redis_url(addresses: Addresses, worker_number: int) -> str:
    """Return this worker's own Redis database."""
    return addresses.redis_database(worker_number)


@pytest.fixture(scope="session")
def environment(
    addresses: Addresses,
    database_url: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Return the variables of the app under test; also for processes that a test starts.

    The app connects as the role that owns nothing; `database_url` is the owner's.
    """
    return {
        "BOTYARD_ENV": "testing",
        "DATABASE_URL": addresses.served(database_url.partition("?")[0].rpartition("/")[2]),
        "REDIS_URL": redis_url,
        "SECRET_KEY": SECRET_KEY,
        "BOTYARD_MASTER_KEYS": MASTER_KEYS,
        "BASE_URL": "http://localhost",
        "EXPORTS_DIR": str(tmp_path_factory.mktemp("exports")),
    }


@pytest.fixture(scope="session")
def app(environment: dict[str, str]) -> Iterator["Flask"]:
    """Return the app on this worker's servers."""
    from app import create_app
    from app.config import load_config
    from app.db import db
    from app.extensions import redis_client
    from tests.client import Client
    from tests.compiled import keep_templates

    keep_templates()
    app = create_app(load_config(environment))
    app.test_client_class = Client
    yield app
    with app.app_context():
        db.engine.dispose()
    redis_client.client.close()


@pytest.fixture(scope="session")
def _cleaner(database_url: str) -> Iterator[psycopg.Connection]:
    with services.connect_cleaner(database_url) as connection:
        yield connection


@pytest.fixture(scope="session")
def _owner(database_url: str) -> Iterator[psycopg.Connection]:
    with services.connect(database_url) as connection:
        yield connection


@pytest.fixture
def as_owner(_owner: psycopg.Connection) -> Callable[[str], None]:
    """Return what runs a statement as the owner of the tables; the app itself owns nothing."""

    def run(statement: str) -> None:
        _owner.execute(statement.encode())

    return run


@pytest.fixture(scope="session")
def _redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def redis_db(_redis: Redis) -> Redis:
    """Return a client of this worker's Redis database, empty at the start."""
    _redis.flushdb()
    return _redis


@pytest.fixture
def database(app: "Flask", redis_db: Redis, _cleaner: psycopg.Connection) -> Iterator[None]:
    """Open an app context over empty tables; commits are real, and undone by emptying again."""
    from app.db import db

    with app.app_context():
        try:
            yield
        finally:
            db.session.remove()
            services.clean(_cleaner, redis_db)


@pytest.fixture
def client(app: "Flask", database: None) -> "Client":
    """Return a visitor without session; `client.post_form(path, data)` sends forms."""
    return new_client(app)


def new_client(app: "Flask") -> "Client":
    """Return one more visitor."""
    from tests.client import Client

    client = app.test_client()
    assert isinstance(client, Client)
    return client


@pytest.fixture
def login_as(app: "Flask", database: None) -> Callable[["User"], "Client"]:
    """Return a function that gives a client signed in as a stored user."""

    def login(user: "User") -> "Client":
        client = new_client(app)
        client.sign_in(user)
        return client

    return login
