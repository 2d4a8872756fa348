"""The hub and one stream's lines, with a real Redis."""

import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from redis import Redis

from app.notifications.stream import channel, hint, hint_everybody
from app.pages import stream
from app.pages.rules import stream_capacity
from app.pages.stream import RESYNC, Client, Hub, TooManyStreamsError, write_stream
from dev.valkey import ValkeyServer


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def hub(redis_url: str, redis_db: Redis) -> Iterator[Hub]:
    end_other_readers(redis_db)
    hub = Hub(redis_url, capacity=20)
    yield hub
    end(hub)


def end_other_readers(redis: Redis) -> None:
    """Let nobody listen: an app of an earlier test may have left its reader in this process.

    Who waits for a listener would take that one for its own and speak before its own listens.
    """
    stream.end_when(lambda: True)
    assert wait_for(lambda: not is_listening(redis), 10)
    stream.end_when(lambda: False)


def end(hub: Hub) -> None:
    """End a hub's reader as the end of its process would."""
    stream.end_when(lambda: True)
    if hub._reader is not None:
        hub._reader.join(timeout=10)
    stream.end_when(lambda: False)


def message(user_id: int | None, topic: str) -> bytes:
    return json.dumps({"user": user_id, "topic": topic}).encode()


def subscribers(redis: Redis) -> int:
    ((_, count),) = redis.pubsub_numsub(channel(redis))
    return int(count)


def is_listening(redis: Redis) -> bool:
    return subscribers(redis) > 0


# --- one stream -----------------------------------------------------------------------------------


def test_hints_of_one_topic_melt_into_one_while_they_wait() -> None:
    client = Client(1)
    for topic in ("bot:1", "dashboard", "bot:1", "bot:1"):
        client.push(topic)
    assert client.take(0) == ["bot:1", "dashboard"]
    assert client.take(0) == []


def test_a_reader_that_is_too_slow_is_told_to_read_all_again() -> None:
    client = Client(1)
    for number in range(10 * stream.MAX_WAITING_TOPICS):
        client.push(f"price:{number}")
    topics = client.take(0)
    assert RESYNC in topics and len(topics) <= stream.MAX_WAITING_TOPICS


def test_waiting_ends_at_once_with_a_hint_or_the_end() -> None:
    for act in (lambda client: client.push("bot:1"), Client.close):
        client = Client(1)
        timer = threading.Timer(0.1, act, (client,))
        timer.start()
        started = time.monotonic()
        client.take(10)
        assert time.monotonic() - started < 5
        timer.join()


def test_a_stream_writes_its_hints_and_a_sign_of_life_when_silent() -> None:
    client = Client(1)
    client.push("bot:7")
    lines = write_stream(client, is_signed_in=lambda: True, heartbeat_s=0.05)
    assert next(lines) == "retry: 3000\n\n"
    assert next(lines) == 'data: {"topic": "bot:7"}\n\n'
    assert next(lines).startswith(": ")


@pytest.mark.parametrize(
    ("signed_in", "gone", "lifetime"), [(False, False, 60), (True, True, 60), (True, False, 0)]
)
def test_a_stream_ends_with_session_browser_or_time(
    signed_in: bool, gone: bool, lifetime: float
) -> None:
    lines = write_stream(
        Client(1),
        is_signed_in=lambda: signed_in,
        has_gone=lambda: gone,
        heartbeat_s=0.01,
        lifetime_s=lifetime,
    )
    assert list(lines) == ["retry: 3000\n\n"]


def test_a_busy_stream_still_notices_the_end_of_its_session() -> None:
    client, signed_in = Client(1), [True, False]
    lines = write_stream(client, is_signed_in=lambda: signed_in.pop(0), heartbeat_s=0.01)
    for number in range(10_000):
        client.push(f"price:{number}")
        time.sleep(0.005)
        if next(lines, None) is None:
            return
    pytest.fail("the stream outlived its session")


def test_the_end_of_a_connection_is_seen() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        assert not stream.peer_has_gone(ours)
        theirs.sendall(b"x")
        assert not stream.peer_has_gone(ours)
        ours.recv(1)
        theirs.close()
        assert stream.peer_has_gone(ours)
    assert stream.peer_has_gone(ours)
    assert not stream.peer_has_gone(None)


# --- the hub --------------------------------------------------------------------------------------


def test_hints_reach_only_the_person_they_are_for(hub: Hub) -> None:
    own, other = hub.join(1), hub.join(2)
    hub.deliver(message(1, "bot:1"))
    hub.deliver(message(None, "price:5"))
    assert own.take(0) == ["bot:1", "price:5"]
    assert other.take(0) == ["price:5"]


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'"x"', b"1", b"\xff", b'{"user": 1}'])
def test_garbage_is_dropped(hub: Hub, garbage: bytes) -> None:
    client = hub.join(1)
    hub.deliver(garbage)
    assert client.take(0) == []


def test_beyond_the_limit_a_persons_oldest_stream_gives_way(hub: Hub) -> None:
    first, *others = [hub.join(1) for _ in range(stream.MAX_PER_PERSON)]
    assert not first.closed
    hub.join(1)
    assert first.closed and not any(client.closed for client in others)
    lines = list(write_stream(first, is_signed_in=lambda: True))
    assert lines[-1] == "retry: 60000\n\n"


def test_a_full_process_takes_no_stream_until_one_leaves(redis_url: str) -> None:
    hub = Hub(redis_url, capacity=2)
    first = hub.join(1)
    hub.join(2)
    with pytest.raises(TooManyStreamsError):
        hub.join(3)
    hub.leave(first)
    hub.leave(first)
    assert hub.count == 1
    hub.join(3)
    assert hub.count == 2
    end(hub)


def test_pages_always_keep_sixteen_threads() -> None:
    assert [stream_capacity(threads) for threads in (1, 16, 17, 18, 64)] == [1, 1, 1, 2, 48]


def test_one_connection_serves_all_streams(app: Flask, redis_db: Redis, hub: Hub) -> None:
    clients = [hub.join(number) for number in range(10)]
    assert wait_for(lambda: is_listening(redis_db))
    assert subscribers(redis_db) == 1
    hint(3, "bot:3", "dashboard")
    hint_everybody(["price:1"])
    assert wait_for(lambda: len(clients[3]._topics) == 3)
    assert [list(client._topics) for client in clients[:4]] == [
        ["price:1"],
        ["price:1"],
        ["price:1"],
        ["bot:3", "dashboard", "price:1"],
    ]


def test_installations_on_one_redis_do_not_hear_each_other(redis_db: Redis, hub: Hub) -> None:
    client = hub.join(1)
    assert wait_for(lambda: is_listening(redis_db))
    redis_db.publish("hints:99", message(1, "bot:99"))
    redis_db.publish(channel(redis_db), message(1, "bot:1"))
    assert client.take(5) == ["bot:1"]


def test_a_restart_of_redis_is_survived_and_made_good(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path / "valkey", durable=False)
    server.start()
    hub = Hub(server.url(), capacity=5)
    try:
        client = hub.join(1)
        with Redis.from_url(server.url()) as redis:
            assert wait_for(lambda: is_listening(redis))
        server.halt()
        time.sleep(0.5)
        assert client.take(0) == []
        server.restart()
        assert wait_for(lambda: RESYNC in client._topics, 15)
        client.take(0)
        with Redis.from_url(server.url()) as redis:
            redis.publish(channel(redis), message(1, "bot:1"))
        assert client.take(5) == ["bot:1"]
    finally:
        end(hub)
        server.remove()


def test_a_stream_opened_while_redis_is_away_gets_hints_later(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path / "valkey", durable=False)
    server.start()
    server.halt()
    hub = Hub(server.url(), capacity=5)
    try:
        client = hub.join(1)
        time.sleep(0.5)
        server.restart()
        assert wait_for(lambda: RESYNC in client._topics, 15)
    finally:
        end(hub)
        server.remove()


def said(reader: int) -> bytes:
    """Return what a process has written into a pipe; nothing if it never does."""
    ready, _, _ = select.select([reader], [], [], 20)
    return os.read(reader, 100) if ready else b""


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_reads_for_itself(redis_db: Redis, hub: Hub) -> None:
    hub.join(1)
    assert wait_for(lambda: is_listening(redis_db))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens: no second test run goes on here.
        try:
            client = hub.join(2)
            os.write(writer, b"ready")
            os.write(writer, json.dumps(client.take(10)).encode())
        finally:
            os._exit(0)
    try:
        assert said(reader) == b"ready"
        assert wait_for(lambda: subscribers(redis_db) == 2)
        redis_db.publish(channel(redis_db), message(2, "bot:9"))
        assert json.loads(said(reader)) == ["bot:9"]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
