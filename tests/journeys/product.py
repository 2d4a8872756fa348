"""The whole product as a journey needs it: every process, its own database, recorded prices."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.starting import Started, run, start

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20
ROLES = ("ticks", "jobs", "scheduler", "feed")


@dataclass(frozen=True, slots=True)
class Product:
    """A running product."""

    address: str
    environment: Mapping[str, str]
    logs: Path

    def flask(self, *arguments: str) -> str:
        """Run a command beside it and return what it printed."""
        return run(["-m", "flask", *arguments], self.environment)

    def log_text(self) -> str:
        """Return the lines of all processes."""
        return "\n".join(path.read_text(errors="replace") for path in self.logs.glob("*.log"))


@contextmanager
def running_product(variables: Mapping[str, str], folder: Path) -> Iterator[Product]:
    """Start web, workers, scheduler and feed; end them all."""
    port = _free_port()
    address = f"http://localhost:{port}"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        **variables,
        "BOTYARD_ENV": "development",
        "BASE_URL": address,
        "PORT": str(port),
        "WEB_WORKERS": "1",
        "DEMO": "0",
        "FLASK_APP": "wsgi.py",
    }
    product = Product(address, environment, folder)
    product.flask("demo", "seed", "--no-content")
    commands = {"web": ("gunicorn", "-c", "gunicorn.conf.py", "wsgi:app")}
    children = [_start(name, ("-m", *words), product) for name, words in commands.items()]
    children += [_start(role, ("worker.py", role), product) for role in ROLES]
    try:
        _wait_until_up(product, children)
        yield product
    finally:
        _end(children)


def _start(name: str, words: tuple[str, ...], product: Product) -> Started:
    return start(words, product.environment, product.logs / f"{name}.log")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(product: Product, children: list[Started]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert all(child.poll() is None for child in children), product.log_text()
        with suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{product.address}/healthz", timeout=2).close()
            return
        time.sleep(0.2)
    raise AssertionError(f"the product did not come up\n{product.log_text()}")


def _end(children: list[Started]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
