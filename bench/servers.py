"""PostgreSQL and Valkey for a benchmark, as `make run` starts them, fresh and gone afterwards."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.postgres import PostgresServer
from dev.valkey import ValkeyServer


@contextmanager
def fresh_servers(**variables: str) -> Iterator[dict[str, int]]:
    """Start both and point this process's environment at them; yield their process ids."""
    with tempfile.TemporaryDirectory(prefix="botyard.", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres, valkey = PostgresServer(folder / "postgres"), ValkeyServer(folder / "valkey")
        try:
            postgres.start()
            postgres.ensure_database("botyard")
            valkey.start()
            os.environ.update(
                BOTYARD_ENV="testing",
                DATABASE_URL=postgres.url("botyard"),
                REDIS_URL=valkey.url(),
                SECRET_KEY="only-for-the-benchmark-" * 3,
                **variables,
            )
            yield {"postgres": postgres.pid or 0, "valkey": valkey.pid or 0}
        finally:
            postgres.remove()
            valkey.remove()
