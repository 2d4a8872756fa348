"""Starting and stopping child processes that must not outlive us, on Linux also after kill -9."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
PROC = Path("/proc")
SERVER_NAMES = {"postgres", "valkey-server", "redis-server"}


def _end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child calls so that the kernel signals it when its parent dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)

    return arm


def spawn(
    command: Sequence[str],
    *,
    log: int = subprocess.DEVNULL,
    cwd: Path | str = "/",
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
    stdin: int | None = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C reaches only us.

    Call it from the main thread: the kernel ties the death signal to the calling thread.
    """
    uid, gid = user or (None, None)
    return subprocess.Popen(
        list(command),
        stdin=stdin,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(env) if env is not None else None,
        user=uid,
        group=gid,
        extra_groups=[] if user else None,
        start_new_session=True,
        preexec_fn=_end_with_parent(on_parent_death),  # noqa: PLW1509 - one prctl call, no locks
    )


def stop(
    process: subprocess.Popen[bytes], signals: Sequence[signal.Signals], timeout: float
) -> None:
    """Send the signals one by one, each with `timeout` seconds, until the child has ended."""
    for number in signals:
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            continue
    process.wait(timeout)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what a finished or stuck child has left in its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def servers_in(folder: Path) -> list[int]:
    """Return the live servers that work in a folder; a zombie works nowhere."""
    found = []
    for entry in PROC.glob("[0-9]*"):
        try:
            is_server = (entry / "comm").read_text().strip() in SERVER_NAMES
            if is_server and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def end_servers_in(folder: Path, number: signal.Signals, timeout: float = 15) -> bool:
    """Signal the servers that a killed supervisor has left in a folder, and wait for their end.

    Returns whether there were any. Raises TimeoutError.
    """
    folder = folder.resolve()
    left = servers_in(folder)
    if not left:
        return False
    _signal(min(left), number)
    deadline = time.monotonic() + timeout
    while left := servers_in(folder):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {left[0]} still works in {folder}; stop it first")
        time.sleep(0.05)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def is_stopped(pid: int) -> bool:
    """Tell whether a process was stopped by a signal; False where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # The name in brackets may hold anything, brackets and blanks too.
    return stat.rpartition(")")[2].split()[0] == "T"
