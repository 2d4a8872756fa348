"""A process that has loaded the product and forks workers of it, so that a restart costs nothing.

Each child runs the product's own worker.py; only its start is spared, and patience is shortened:
what the product waits for minutes, it waits for a moment here.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import worker
from tests.chaos.crash_points import Crash, arm

ROOT = Path(__file__).resolve().parents[2]
CALL_TIMEOUT_MS = 700
# It loads the product first.
ANSWERS_WITHIN_S = 90


class ForkServer:
    """The hand on the process."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.fork_server", str(log)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._say({"role": "ready"})

    def start(self, role: str, name: str, crash: Crash | None = None) -> int:
        """Start a worker in that place; return its process id."""
        asked = {"role": role, "name": name, "crash": (crash or Crash()).told()}
        return int(self._say(asked)["pid"])

    def stop(self) -> None:
        """End it; workers are ended by whoever started them."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _say(self, values: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("no pipes")
        stdin.write(json.dumps(values).encode() + b"\n")
        stdin.flush()
        # One line answers each one, so that nothing waits in the buffer of this pipe.
        ready, _, _ = select.select([stdout], [], [], ANSWERS_WITHIN_S)
        if not ready:
            raise TimeoutError(f"the process that forks workers does not answer {values}")
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer


def shorten_patience() -> None:
    """Make moments of what the product waits for minutes."""
    from app.adapters.exchanges import client
    from app.bots import jobs

    client.TIMEOUT_MS = CALL_TIMEOUT_MS
    jobs.PAUSE_WHEN_PUT_OFF_S = 0.2


def main() -> None:
    """Load all that a worker needs, then fork on demand."""
    log = Path(sys.argv[1])
    from app import create_app, schedule  # noqa: F401 - what a scheduler needs
    from app.adapters.exchanges import client, keys
    from app.bots import jobs  # noqa: F401 - what a tick needs

    app = create_app()
    shorten_patience()
    with app.app_context():
        client.share_markets(client.make_client("bybit", keys.ApiKeys("", "")), "bybit")
    # The system takes away whoever died.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = 0 if asked["role"] == "ready" else os.fork()
        if pid == 0 and asked["role"] != "ready":
            _be_worker(app, asked, log)
        sys.stdout.write(json.dumps({"pid": pid}) + "\n")
        sys.stdout.flush()


def _be_worker(app: Any, asked: dict[str, Any], log: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in (1, 2):
        os.dup2(output, number)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    from app.logs import set_up_logging

    set_up_logging()
    arm(Crash(**asked["crash"]))
    try:
        worker._run_for_ever(worker.ROLES[asked["role"]], app, asked["name"])
    finally:
        os._exit(0 if threading.active_count() else 1)


if __name__ == "__main__":
    main()
