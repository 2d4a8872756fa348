"""The private servers: as root and as an ordinary user, over restarts and kills."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from dev import postgres as launcher
from dev.postgres import FAST, PostgresServer, ServerError
from dev.valkey import ValkeyServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that the server's user can pass; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="botyard-test.", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """Return a folder that nobody but us can pass, such as the home of root."""
    with tempfile.TemporaryDirectory(prefix="botyard-test.") as name:
        yield Path(name)


def count_rows(server: PostgresServer) -> int:
    with server.connect() as connection:
        row = connection.execute("select count(*) from kept").fetchone()
    assert row is not None
    return int(row[0])


def make_rows(server: PostgresServer, rows: int) -> None:
    with server.connect() as connection:
        connection.execute("create table kept (n integer)")
        connection.execute("insert into kept select generate_series(1, %s)", (rows,))


def test_data_survive_a_restart(folder: Path) -> None:
    server = PostgresServer(folder / "postgres", settings=FAST)
    try:
        server.start()
        make_rows(server, 7)
        server.stop()
        again = PostgresServer(folder / "postgres", settings=FAST)
        again.start()
        assert count_rows(again) == 7
        again.stop()
    finally:
        server.remove()


@pytest.mark.long
def test_a_killed_server_comes_back_at_the_same_address(folder: Path) -> None:
    server = PostgresServer(folder / "postgres")
    try:
        server.start()
        make_rows(server, 3)
        url = server.url("postgres")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.restart()
        assert server.url("postgres") == url
        assert count_rows(server) == 3
    finally:
        server.remove()


@pytest.mark.long
def test_a_stale_lock_file_with_a_living_number_does_not_block(folder: Path) -> None:
    server = PostgresServer(folder / "postgres", settings=FAST)
    try:
        server.start()
        server.halt()
        # As after a crash of the machine, when another program got the old number.
        lines = [str(os.getpid()), str(server.data), "1", "5432", "/tmp", "", "1 1"]
        (server.data / "postmaster.pid").write_text("\n".join(lines) + "\n")
        server.restart()
        assert server.is_running()
    finally:
        server.remove()


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds old servers through /proc")
def test_a_server_that_was_left_running_is_taken_over(folder: Path) -> None:
    left = PostgresServer(folder / "postgres", settings=FAST)
    new = None
    try:
        left.start()
        make_rows(left, 5)
        new = PostgresServer(folder / "postgres", settings=FAST)
        new.start()
        assert not left.is_running()
        assert count_rows(new) == 5
    finally:
        (new or left).remove()


@pytest.mark.long
def test_an_interrupted_first_start_leaves_nothing_half_made(folder: Path) -> None:
    half = folder / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = PostgresServer(folder / "postgres", settings=FAST)
    try:
        server.start()
        assert not half.exists()
    finally:
        server.remove()


@pytest.mark.long
def test_data_of_another_version_are_refused_by_name(folder: Path) -> None:
    server = PostgresServer(folder / "postgres", settings=FAST)
    try:
        server.start()
        server.halt()
        (server.data / "PG_VERSION").write_text("12\n")
        with pytest.raises(ServerError, match="made by PostgreSQL 12"):
            server.start()
    finally:
        server.remove()


@pytest.mark.long
def test_only_the_owner_reaches_the_socket(folder: Path) -> None:
    server = PostgresServer(folder / "postgres", settings=FAST)
    try:
        server.start()
        socket_folder = Path(server.url("postgres").rpartition("host=")[2])
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
        assert server.data.stat().st_uid == socket_folder.stat().st_uid
    finally:
        server.remove()


def test_stopping_what_never_started_deletes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "kept").write_text("")
    monkeypatch.chdir(folder)
    PostgresServer(folder / "postgres").stop()
    ValkeyServer(folder / "valkey").stop()
    assert (folder / "kept").exists()


@pytest.mark.long
def test_a_long_path_has_its_socket_elsewhere(folder: Path) -> None:
    server = PostgresServer(folder / ("long" * 25) / "postgres", settings=FAST)
    try:
        server.start()
        socket_folder = Path(server.url("postgres").rpartition("host=")[2])
        assert not socket_folder.is_relative_to(folder)
    finally:
        server.remove()
    assert not socket_folder.exists()


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="root only")
def test_root_drops_to_an_unprivileged_user(folder: Path) -> None:
    server = PostgresServer(folder / "postgres", settings=FAST)
    try:
        server.start()
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        assert pwd.getpwuid(owner).pw_name in {"postgres", "nobody"}
    finally:
        server.remove()


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="root only")
def test_a_closed_folder_stays_closed_and_its_data_stand_elsewhere(
    closed_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "SHARED", folder)
    server = PostgresServer(closed_folder / "var" / "postgres", settings=FAST)
    try:
        server.start()
        make_rows(server, 2)
        server.stop()
        assert stat.S_IMODE(closed_folder.stat().st_mode) == 0o700
        assert server.data.is_relative_to(folder)
        again = PostgresServer(closed_folder / "var" / "postgres", settings=FAST)
        again.start()
        assert count_rows(again) == 2
        again.stop()
    finally:
        server.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="root only")
@pytest.mark.long
def test_binaries_in_a_closed_folder_are_copied(
    closed_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = launcher.find_binaries().parents[1]
    for source in (package, package.with_name(package.name + ".libs")):
        if source.exists():
            shutil.copytree(source, closed_folder / source.name)
    hidden = closed_folder / package.name / "pginstall" / "bin"
    if not hidden.is_dir():
        pytest.skip("a system PostgreSQL is open to everybody")
    monkeypatch.setattr(launcher, "SHARED", folder)
    monkeypatch.setattr(launcher, "find_binaries", lambda: hidden)
    server = PostgresServer(folder / "postgres", settings=FAST)
    try:
        server.start()
        assert server.is_running()
        assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(folder)
    finally:
        server.remove()


def python_for_everybody() -> str | None:
    """Return an interpreter that another user can run and that sees our packages."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            result = subprocess.run(
                [candidate, "-c", "import psycopg"],
                user="nobody",
                group="nogroup",
                extra_groups=[],
                env=everybodys_environment(),
                cwd="/",
                capture_output=True,
                check=False,
            )
        except (OSError, LookupError):
            continue
        if result.returncode == 0:
            return candidate
    return None


def everybodys_environment() -> dict[str, str]:
    packages = str(Path(psycopg.__file__).parents[1])
    return {"PYTHONPATH": f"{ROOT}:{packages}", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_starts_both_servers() -> None:
    python = python_for_everybody()
    if python is None:
        pytest.skip("no Python that the user nobody can run with our packages")
    script = textwrap.dedent(
        """
        from dev.embedded import temporary_services
        with temporary_services() as services:
            with services.postgres.connect() as connection:
                print(*connection.execute("select current_user, 6 * 7").fetchone())
            services.valkey.halt()
            services.valkey.restart()
            print(services.valkey.is_running())
        """
    )
    result = subprocess.run(
        [python, "-c", script],
        user="nobody",
        group="nogroup",
        extra_groups=[],
        env=everybodys_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stdout.split() == ["app", "42", "True"], result.stderr


def test_valkey_keeps_what_it_acknowledged_when_killed(folder: Path) -> None:
    server = ValkeyServer(folder / "valkey")
    try:
        server.start()
        with Redis.from_url(server.url()) as client:
            client.set("kept", "1")
        # The append-only file is written once a second.
        time.sleep(1.2)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.restart()
        with Redis.from_url(server.url()) as client:
            assert client.get("kept") == b"1"
    finally:
        server.remove()


def test_valkey_asks_for_its_password_and_hides_it_from_the_process_list(folder: Path) -> None:
    server = ValkeyServer(folder / "valkey", durable=False)
    try:
        server.start()
        password = server.url().split(":")[2].split("@")[0]
        wrong = Redis.from_url(server.url().replace(password, "wrong-password"))
        with wrong, pytest.raises(AuthenticationError):
            wrong.ping()
        if Path("/proc").is_dir():
            assert password.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    finally:
        server.remove()


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a feature of Linux")
def test_servers_end_with_a_killed_parent(folder: Path) -> None:
    script = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from dev.postgres import FAST, PostgresServer
        from dev.valkey import ValkeyServer
        folder = Path({str(folder)!r})
        postgres, valkey = PostgresServer(folder / "p", settings=FAST), ValkeyServer(folder / "v")
        postgres.start()
        valkey.start()
        print(postgres.pid, valkey.pid, flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    deadline = time.monotonic() + 10
    while [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, "a server outlived its parent"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
