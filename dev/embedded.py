"""Throw-away servers for tests, benchmarks and tools; real ones, gone at the end."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.postgres import FAST, PostgresServer, ServerError
from dev.valkey import ValkeyServer

__all__ = [
    "PostgresServer",
    "ServerError",
    "Services",
    "ValkeyServer",
    "temporary_postgres",
    "temporary_services",
    "temporary_valkey",
]


@dataclass(frozen=True, slots=True)
class Services:
    """Both servers, and the addresses of one empty database in each."""

    postgres: PostgresServer
    valkey: ValkeyServer
    database_url: str
    redis_url: str


@contextmanager
def temporary_postgres() -> Iterator[str]:
    """Run a PostgreSQL with an empty database `botyard`; yield its address."""
    with _folder() as folder, _postgres(folder) as server:
        yield server.url("botyard")


@contextmanager
def temporary_valkey() -> Iterator[str]:
    """Run an empty Valkey; yield its address."""
    with _folder() as folder, _valkey(folder) as server:
        yield server.url()


@contextmanager
def temporary_services() -> Iterator[Services]:
    """Run both; they may be halted and restarted at the same address meanwhile."""
    with _folder() as folder, _postgres(folder) as postgres, _valkey(folder) as valkey:
        yield Services(postgres, valkey, postgres.url("botyard"), valkey.url())


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="botyard.", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # The server may run as another user, who must be able to pass; its data stay closed.
        folder.chmod(0o711)
        yield folder


@contextmanager
def _postgres(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder / "postgres", settings=FAST)
    try:
        server.start()
        server.ensure_database("botyard")
        yield server
    finally:
        server.remove()


@contextmanager
def _valkey(folder: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(folder / "valkey", durable=False)
    try:
        server.start()
        yield server
    finally:
        server.remove()
