"""One supervised child: its log file, its restarts with growing pauses, its end."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dev import processes

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 10.0
# Who lived this long has recovered; the next pause is short again.
RECOVERED_S = 60.0
# Whoever was stopped (SIGSTOP, Ctrl-Z) for so long is not coming back: long enough to look at it,
# and to see that its bots are told to be stale.
FROZEN_S = 240.0
LOG_LIMIT_BYTES = 20_000_000
LINES_AT_ONCE = 5
ALARMS = (" ERROR ", " CRITICAL ")

Say = Callable[[str], None]


class Log:
    """A log file of bounded size whose alarms are shown on the console."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._read = path.stat().st_size
        self._rest = b""

    def fileno(self) -> int:
        return self._file.fileno()

    def new_alarms(self) -> list[str]:
        """Return the lines with problems that came since the last call."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            file.seek(self._read)
            fresh = self._rest + file.read(size - self._read)
        self._read = size
        *lines, self._rest = fresh.split(b"\n")
        self._keep_small(size)
        texts = (line.decode(errors="replace") for line in lines)
        return [text for text in texts if any(mark in text for mark in ALARMS)]

    def tail(self, lines: int = LINES_AT_ONCE) -> list[str]:
        """Return the last lines."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 4096))
            return file.read().decode(errors="replace").splitlines()[-lines:]

    def _keep_small(self, size: int) -> None:
        if size < LOG_LIMIT_BYTES:
            return
        # The children append, so the file can be emptied under them.
        self.path.with_name(self.path.name + ".1").write_bytes(self.path.read_bytes())
        self._file.truncate(0)
        self._read = 0


class Child:
    """A process that is started again whenever it ends by itself."""

    def __init__(
        self, name: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Log
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._cwd = cwd
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._start_again_at = 0.0
        self._pause = FIRST_PAUSE_S
        self._stopped_since: float | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process."""
        self._process = processes.spawn(
            self._command, cwd=self._cwd, env=self._env, log=self.log.fileno()
        )
        self._started = time.monotonic()

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def look_after(self, say: Say) -> None:
        """Start the process again after a pause, if it has ended or stands still for too long."""
        if self.is_running():
            self._end_if_frozen(say)
            return
        now = time.monotonic()
        if self._process is not None:
            self._note_the_end(now, say)
        elif now >= self._start_again_at:
            self.start()
            say(f"{self.name} runs again.")

    def ask_to_stop(self) -> None:
        """Let the process finish what it does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait_or_kill(self, deadline: float) -> None:
        """Wait for the end; at the deadline kill it and all that it started."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        processes.kill_group(self._process)
        self._process = None

    def _end_if_frozen(self, say: Say) -> None:
        process = self._process
        if process is None or not processes.is_stopped(process.pid):
            self._stopped_since = None
            return
        now = time.monotonic()
        if self._stopped_since is None:
            self._stopped_since = now
            say(f"{self.name} stands still: somebody stopped it.")
        elif now - self._stopped_since >= FROZEN_S:
            self._stopped_since = None
            say(f"{self.name} stood still for {FROZEN_S:.0f} s and is ended.")
            process.kill()

    def _note_the_end(self, now: float, say: Say) -> None:
        process = self._process
        if process is None:
            return
        processes.kill_group(process)
        if now - self._started >= RECOVERED_S:
            self._pause = FIRST_PAUSE_S
        say(f"{self.name} ended ({_cause(process.returncode)}); next start in {self._pause:.0f} s.")
        for line in self.log.tail():
            say(f"    {line}")
        self._process = None
        self._start_again_at = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)


def _cause(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
