"""Processes of the product, forked from one that has loaded it: a start costs a tenth.

Only the loading is spared: a child runs the file or module of its command line from the first line.
`make run` and the real command lines are tested by tests/dev and tests/foundation.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND_TIMEOUT_S = 60
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.loaded"])


class Started:
    """A process of the product; the same handle as that of `subprocess.Popen`."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._process = _context.Process(
            target=_run, args=(list(words), dict(environment), str(log)), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code; raise `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self.send_signal(signal.SIGKILL)


def start(
    words: Sequence[str], environment: Mapping[str, str], log: Path | str = os.devnull
) -> Started:
    """Start `python WORDS` in the checkout: a file, or `-m` and a module.

    It has this environment and nothing else; what it writes goes to `log`.
    """
    return Started(words, environment, Path(log))


def run(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a command that has to succeed, and return what it wrote."""
    with tempfile.NamedTemporaryFile("r") as log:
        code = start(words, environment, log.name).wait(COMMAND_TIMEOUT_S)
        written = log.read()
    assert code == 0, written
    return written


def _run(words: list[str], environment: dict[str, str], log: str) -> None:
    # A group of its own, as a terminal would give it.
    os.setsid()
    os.chdir(ROOT)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number in (1, 2):
        os.dup2(output, number)
    os.environ.clear()
    os.environ.update(environment)
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
