"""Sessions in Redis, under names that open nothing; `session_tokens` leads to them.

Each person's sessions also stand in a sorted set, so that they are listed and ended without a scan.
"""

import json
import secrets
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError

from app.accounts.session_tokens import families
from app.extensions import redis_client

KEY_BYTES = 32
# As many as one page shows, and as many as one command takes.
LISTED = 50
BATCH = 1000


@dataclass(slots=True)
class StoredSession:
    """What the server keeps of one session; times are seconds since the epoch."""

    created: float
    seen: float
    idle_s: int
    absolute_s: int
    user_id: int | None = None
    address: str = ""
    device: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    # When the person last proved who it is, and whether with a second factor.
    proved: float = 0
    second_factor: bool = False

    @property
    def ends_at(self) -> float:
        return min(self.seen + self.idle_s, self.created + self.absolute_s)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as its owner may see it; `key` names it and opens nothing."""

    key: str
    created_at: datetime
    seen_at: datetime
    address: str
    device: str


def new_key() -> str:
    """Make a name for a session."""
    return secrets.token_hex(KEY_BYTES)


def is_reachable() -> bool:
    """Tell whether sessions can be read now."""
    try:
        return bool(redis_client.client.ping())
    except RedisError:
        return False


def load(key: str) -> StoredSession | None:
    """Read a session; None when it is unknown, was ended or has run out."""
    raw: Any = redis_client.client.get(_session(key))
    return _read(raw)


def create(key: str, stored: StoredSession) -> None:
    """Store a new session."""
    pipeline = redis_client.client.pipeline()
    pipeline.set(_session(key), _dump(stored), ex=_seconds_left(stored))
    if stored.user_id is not None:
        listing = _listing(stored.user_id)
        pipeline.zadd(listing, {key: stored.created + stored.absolute_s})
        pipeline.zremrangebyscore(listing, "-inf", time.time())
        pipeline.expire(listing, stored.absolute_s)
    pipeline.execute()


def replace(key: str, stored: StoredSession) -> bool:
    """Write a session again unless it was ended meanwhile; tell whether it still lives."""
    return bool(
        redis_client.client.set(_session(key), _dump(stored), ex=_seconds_left(stored), xx=True)
    )


def end(key: str, user_id: int | None) -> None:
    """End one session now."""
    pipeline = redis_client.client.pipeline()
    pipeline.delete(_session(key), *families([key]))
    if user_id is not None:
        pipeline.zrem(_listing(user_id), key)
    pipeline.execute()


def end_all(user_id: int, keep: str | None = None) -> int:
    """End every session of a person, except the one named `keep`; return how many."""
    keys = [key for key in _keys(user_id) if key != keep]
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        pipeline = redis_client.client.pipeline()
        pipeline.delete(*map(_session, batch), *families(batch))
        pipeline.zrem(_listing(user_id), *batch)
        pipeline.execute()
    return len(keys)


def list_sessions(user_id: int, limit: int = LISTED) -> list[SessionInfo]:
    """Return a person's living sessions that began last, the last used first."""
    sessions: list[SessionInfo] = []
    keys = _keys(user_id)
    for start in range(0, len(keys), BATCH):
        sessions += _living(keys[start : start + BATCH])
        if len(sessions) >= limit:
            break
    return sorted(sessions[:limit], key=lambda session: session.seen_at, reverse=True)


def count_sessions(user_id: int) -> int:
    """Return how many sessions a person may have open; a few of them may have run out."""
    return redis_client.client.zcard(_listing(user_id))


def end_own(user_id: int, key: str) -> bool:
    """End one session if it belongs to this person; tell whether it did."""
    if redis_client.client.zscore(_listing(user_id), key) is None:
        return False
    end(key, user_id)
    return True


def is_alive(key: str) -> bool:
    """Tell whether a session still lives, without prolonging it."""
    return load(key) is not None


def _keys(user_id: int) -> list[str]:
    members: Any = redis_client.client.zrevrange(_listing(user_id), 0, -1)
    return [member.decode() for member in members]


def _living(keys: list[str]) -> list[SessionInfo]:
    texts: Any = redis_client.client.mget([_session(key) for key in keys])
    return [
        SessionInfo(
            key=key,
            created_at=datetime.fromtimestamp(stored.created, UTC),
            seen_at=datetime.fromtimestamp(stored.seen, UTC),
            address=stored.address,
            device=stored.device,
        )
        for key, text in zip(keys, texts, strict=True)
        if (stored := _read(text)) is not None
    ]


def _read(text: bytes | None) -> StoredSession | None:
    if text is None:
        return None
    stored = StoredSession(**json.loads(text))
    return stored if time.time() < stored.ends_at else None


def _session(key: str) -> str:
    return f"session:{key}"


def _listing(user_id: int) -> str:
    return f"sessions:{user_id}"


def _seconds_left(stored: StoredSession) -> int:
    return max(1, int(stored.ends_at - time.time()))


def _dump(stored: StoredSession) -> str:
    # Texts that wait for a language (flashed messages) become plain here.
    return json.dumps(asdict(stored), default=str)
