"""The open event streams of one web process: one thread reads Redis for all of them.

A stream carries hints (which block changed), never data, so hints of one topic melt into one while
they wait, and a lost connection to Redis is made good by `refresh`: re-read every block.
"""

import json
import logging
import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import RedisError
from redis.retry import Retry

from app.notifications.stream import channel

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
LIFETIME_S = 600.0
SESSION_CHECK_S = 5.0
PEER_CHECK_S = 2.0
MAX_PER_PERSON = 6
MAX_WAITING_TOPICS = 200
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
LONGEST_PAUSE_S = 5.0
RETRY_MS = 3_000
# Told to a stream that gave way to a newer one, so that two tabs do not push each other out.
PUSHED_OUT_RETRY_MS = 60_000
RESYNC = "refresh"


class _Ending:
    """Tells whether the process is about to end; the web server knows."""

    is_near: Callable[[], bool] = staticmethod(lambda: False)


def end_when(is_near: Callable[[], bool]) -> None:
    """Have streams and reader end soon after this first returns True."""
    _Ending.is_near = staticmethod(is_near)


class TooManyStreamsError(Exception):
    """This process has no thread left for one stream more."""


class Client:
    """One open stream: the topics that wait to be written, each once."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self.pushed_out = False
        self._topics: dict[str, None] = {}
        self._closed = False
        self._changed = threading.Condition()

    def push(self, topic: str) -> None:
        """Add a topic; a reader that is too slow is told to re-read all instead."""
        with self._changed:
            if len(self._topics) >= MAX_WAITING_TOPICS:
                self._topics.clear()
                topic = RESYNC
            if RESYNC not in self._topics:
                self._topics[topic] = None
            self._changed.notify()

    def close(self) -> None:
        """End the stream at the next chance."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def closed(self) -> bool:
        return self._closed

    def take(self, timeout: float) -> list[str]:
        """Wait for topics and take them all; empty after the time-out or when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._topics or self._closed, timeout)
            topics = list(self._topics)
            self._topics.clear()
            return topics


class Hub:
    """Passes hints from Redis to the streams of this process."""

    def __init__(self, redis_url: str, capacity: int) -> None:
        self._redis_url = redis_url
        self._capacity = capacity
        self._lock = threading.Lock()
        self._clients: dict[int, list[Client]] = defaultdict(list)
        self._count = 0
        self._reader: threading.Thread | None = None
        self._reader_pid = 0

    @property
    def count(self) -> int:
        """How many streams are open."""
        return self._count

    def join(self, user_id: int) -> Client:
        """Open a stream for a person; their oldest one gives way beyond MAX_PER_PERSON.

        Raises TooManyStreamsError when the process is full.
        """
        with self._lock:
            own = self._clients.get(user_id, [])
            oldest = [client for client in own if not client.pushed_out]
            if len(oldest) >= MAX_PER_PERSON:
                oldest[0].pushed_out = True
                oldest[0].close()
            if self._count >= self._capacity:
                raise TooManyStreamsError
            client = Client(user_id)
            self._clients[user_id].append(client)
            self._count += 1
            self._start_reader()
        return client

    def leave(self, client: Client) -> None:
        """Forget a stream; a second call changes nothing."""
        client.close()
        with self._lock:
            own = self._clients.get(client.user_id, [])
            if client not in own:
                return
            own.remove(client)
            if not own:
                del self._clients[client.user_id]
            self._count -= 1

    def deliver(self, message: bytes) -> None:
        """Pass one hint to those it is for; what is no hint is dropped."""
        try:
            hint = json.loads(message)
            user_id, topic = hint["user"], str(hint["topic"])
        except (ValueError, TypeError, KeyError):
            log.warning("hint_unreadable length=%s", len(message))
            return
        for client in self._audience(user_id):
            client.push(topic)

    def _audience(self, user_id: int | None) -> list[Client]:
        with self._lock:
            if user_id is not None:
                return list(self._clients.get(user_id, ()))
            return [client for own in self._clients.values() for client in own]

    def _start_reader(self) -> None:
        # A fork carries this object over, but never its thread.
        alive = self._reader is not None and self._reader.is_alive()
        if alive and self._reader_pid == os.getpid():
            return
        self._reader = threading.Thread(target=self._read, name="hints", daemon=True)
        self._reader_pid = os.getpid()
        self._reader.start()

    def _read(self) -> None:
        """Read hints to the end; while Redis is away, try again after growing pauses."""
        pause = 0.2
        was_away = False
        while not _Ending.is_near():
            try:
                with self._connect() as client, client.pubsub() as pubsub:
                    pubsub.subscribe(channel(client))
                    if was_away:
                        log.info("hints_back streams=%s", self._count)
                        self._tell_all(RESYNC)
                    pause, was_away = 0.2, False
                    self._pass_on(pubsub)
            except (RedisError, OSError) as error:
                if not was_away:
                    log.warning("hints_away error=%s", type(error).__name__)
                was_away = True
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    def _pass_on(self, pubsub: PubSub) -> None:
        while not _Ending.is_near():
            message = pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
            if message is not None and message["type"] == "message":
                self.deliver(message["data"])

    def _connect(self) -> Redis:
        return Redis.from_url(
            self._redis_url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=READ_TIMEOUT_S,
            socket_keepalive=True,
            # A connection that died without a word is noticed by this ping.
            health_check_interval=10,
            retry=Retry(NoBackoff(), 0),
        )

    def _tell_all(self, topic: str) -> None:
        for client in self._audience(None):
            client.push(topic)


def write_stream(
    client: Client,
    is_signed_in: Callable[[], bool],
    has_gone: Callable[[], bool] = lambda: False,
    heartbeat_s: float = HEARTBEAT_S,
    lifetime_s: float = LIFETIME_S,
) -> Iterator[str]:
    """Yield a stream's lines until its session ends, the browser goes, or its time is over."""
    started = checked = written = time.monotonic()
    yield f"retry: {RETRY_MS}\n\n"
    while not client.closed:
        topics = client.take(min(PEER_CHECK_S, heartbeat_s))
        now = time.monotonic()
        if now - started >= lifetime_s or has_gone() or _Ending.is_near():
            return
        if now - checked >= min(SESSION_CHECK_S, heartbeat_s):
            checked = now
            if not is_signed_in():
                return
        if topics:
            written = now
            yield "".join(f"data: {json.dumps({'topic': topic})}\n\n" for topic in topics)
        elif now - written >= heartbeat_s:
            written = now
            yield ": still here\n\n"
    if client.pushed_out:
        yield f"retry: {PUSHED_OUT_RETRY_MS}\n\n"


def peer_has_gone(connection: object) -> bool:
    """Tell whether the browser closed its side of the connection."""
    if not isinstance(connection, socket.socket):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, ValueError):
        # Nothing to read, or a TLS connection, which can't be looked at: the next write tells.
        return False
    except OSError:
        return True
