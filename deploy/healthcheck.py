"""Is this container's process well? `python healthcheck.py web|ticks|jobs|scheduler|feed`."""

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import RedisError
from rq import Worker

LATE_S = 60.0
TIMEOUT_S = 4
HEARTBEATS = {"scheduler": "scheduler:heartbeat", "feed": "feed:heartbeat"}


def main(role: str) -> int:
    """Return the exit code: 0 is healthy."""
    problem = _web() if role == "web" else _process(role)
    if problem:
        print(f"{role}: {problem}", file=sys.stderr)
    return 1 if problem else 0


def _web() -> str:
    port = (os.environ.get("BIND") or "0.0.0.0:8000").rpartition(":")[2]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S):
            return ""
    except urllib.error.URLError as error:
        return str(error)


def _process(role: str) -> str:
    client = Redis.from_url(os.environ["REDIS_URL"], socket_timeout=TIMEOUT_S)
    try:
        return _heartbeat(client, HEARTBEATS[role]) if role in HEARTBEATS else _worker(client)
    except RedisError as error:
        return f"Redis does not answer: {type(error).__name__}"


def _heartbeat(client: Redis, key: str) -> str:
    beat = client.get(key)
    if beat is None:
        return "never seen"
    age = time.time() - float(beat)
    return "" if age <= LATE_S else f"last seen {age:.0f} s ago"


def _worker(client: Redis) -> str:
    here = [worker for worker in Worker.all(client) if worker.hostname == socket.gethostname()]
    beats = [worker.last_heartbeat for worker in here if worker.last_heartbeat]
    if not beats:
        return "no worker of this container is registered"
    last = max(beat if beat.tzinfo else beat.replace(tzinfo=UTC) for beat in beats)
    age = (datetime.now(UTC) - last).total_seconds()
    return "" if age <= LATE_S else f"last seen {age:.0f} s ago"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
