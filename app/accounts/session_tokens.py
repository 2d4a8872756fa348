"""What the cookies hold: a short access token, and a refresh token that renews both.

Redis keeps hashes only. A refresh token is used once: its successors are derived from it, so that
two requests that come with the same one at the same moment, or one whose answer was lost, get the
same pair. Who comes with it later than that holds a copy, and the whole session ends.
"""

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

from app.config import current_config
from app.extensions import redis_client

ACCESS_SECONDS = 15 * 60
# Two tabs, a live stream, an answer that never arrived.
GRACE_SECONDS = 30
TOKEN_BYTES = 32

# Decides between requests that come with the same refresh token at once.
_ROTATE = """
local key = redis.call('GET', KEYS[1])
if not key then return {'unknown', '', ''} end
local family = 'family:' .. key
local current = redis.call('HGET', family, 'refresh')
if not current then return {'unknown', '', ''} end
local now = tonumber(ARGV[2])
if current == ARGV[1] then
  local left = math.max(1, redis.call('TTL', family))
  redis.call('HSET', family, 'refresh', ARGV[3], 'previous', ARGV[1], 'rotated', ARGV[2])
  redis.call('SET', 'refresh:' .. ARGV[3], key, 'EX', left)
  redis.call('SET', 'access:' .. ARGV[4], key .. ':' .. ARGV[5], 'EX', ARGV[6])
  return {'renewed', key, ''}
end
local rotated = tonumber(redis.call('HGET', family, 'rotated') or '0')
if redis.call('HGET', family, 'previous') == ARGV[1] and now - rotated <= tonumber(ARGV[7]) then
  return {'renewed', key, ''}
end
local user = redis.call('HGET', family, 'user')
redis.call('DEL', family, 'session:' .. key)
redis.call('ZREM', 'sessions:' .. user, key)
return {'reused', key, user}
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """The tokens of one browser; a visitor who is not signed in has no refresh token."""

    access: str
    refresh: str | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of a refresh token: a new pair for a session, or whose session just ended."""

    key: str
    pair: Pair | None
    robbed_user_id: int | None = None


def hash_of(token: str) -> str:
    """Return the name under which a token stands in Redis."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def issue(key: str, user_id: int | None, seconds: int) -> Pair:
    """Make the tokens of a session that lives `seconds` at most."""
    access = secrets.token_urlsafe(TOKEN_BYTES)
    pipeline = redis_client.client.pipeline()
    if user_id is None:
        _put_access(pipeline, access, key, seconds)
        pipeline.execute()
        return Pair(access)
    refresh = secrets.token_urlsafe(TOKEN_BYTES)
    family = _family(key)
    _put_access(pipeline, access, key, ACCESS_SECONDS)
    pipeline.set(_refresh(hash_of(refresh)), key, ex=seconds)
    pipeline.hset(family, mapping={"refresh": hash_of(refresh), "user": user_id})
    pipeline.expire(family, seconds)
    pipeline.execute()
    return Pair(access, refresh)


def key_of(access: str) -> str | None:
    """Return the session that an access token opens, None when it has run out."""
    raw: Any = redis_client.client.get(_access(hash_of(access)))
    if raw is None:
        return None
    key, _, ends = raw.decode().partition(":")
    return key if time.time() < float(ends) else None


def renew(refresh: str) -> Renewal | None:
    """Trade a refresh token for a new pair; None when it opens nothing.

    A token that was traded before ends its session: somebody has a copy of it.
    """
    pair = Pair(_derived(refresh, "access"), _derived(refresh, "refresh"))
    now = time.time()
    name = hash_of(refresh)
    answer: Any = redis_client.client.eval(
        _ROTATE,
        1,
        _refresh(name),
        name,
        now,
        hash_of(pair.refresh or ""),
        hash_of(pair.access),
        now + ACCESS_SECONDS,
        ACCESS_SECONDS,
        GRACE_SECONDS,
    )
    outcome, key, user = (part.decode() for part in answer)
    if outcome == "renewed":
        return Renewal(key, pair)
    return Renewal(key, None, int(user)) if outcome == "reused" else None


def replace(key: str, old: Pair, user_id: int, seconds: int) -> Pair:
    """Give a session new tokens; the old ones are dead at once."""
    names = [_access(hash_of(old.access))]
    if old.refresh:
        names.append(_refresh(hash_of(old.refresh)))
    redis_client.client.delete(*names)
    return issue(key, user_id, seconds)


def families(keys: list[str]) -> list[str]:
    """Return the names of what is kept about the refresh tokens of sessions."""
    return [_family(key) for key in keys]


def _put_access(pipeline: Any, access: str, key: str, seconds: int) -> None:
    value = f"{key}:{time.time() + seconds}"
    pipeline.set(_access(hash_of(access)), value, ex=seconds)


def _derived(refresh: str, what: str) -> str:
    # Only who knows the server's key can tell the successor of a token.
    message = f"{what}|{refresh}".encode(errors="replace")
    key = current_config().secret_key.encode()
    digest = hmac.new(key, message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _access(name: str) -> str:
    return f"access:{name}"


def _refresh(name: str) -> str:
    return f"refresh:{name}"


def _family(key: str) -> str:
    return f"family:{key}"
