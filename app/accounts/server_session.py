"""The session of one request, kept by the server and read only when it is asked for."""

import logging
import time
from collections.abc import Iterator
from typing import Any, cast

from flask import session
from flask.sessions import SessionMixin
from redis.exceptions import RedisError

from app.accounts import session_store, session_tokens
from app.accounts.session_store import StoredSession
from app.accounts.session_tokens import Pair

log = logging.getLogger(__name__)

ANONYMOUS_SECONDS = 3600
# "Last seen" is written again only when it is this much older, so that most requests write nothing.
SEEN_STEP_S = 30


class ServerSession(SessionMixin):
    """The session of one request; it reads Redis at first use."""

    def __init__(self, access: str | None = None, refresh: str | None = None) -> None:
        self.given = bool(access or refresh)
        self.modified = False
        self.unavailable = False
        self.tokens_changed = False
        self.ended = False
        # Whose session ended just now because a used refresh token came again.
        self.robbed_user_id: int | None = None
        self._pair = Pair(access or "", refresh)
        self._key: str | None = None
        self._loaded = False
        self._stored: StoredSession | None = None
        self._draft: dict[str, Any] = {}

    @property
    def pair(self) -> Pair:
        """The tokens for this browser's cookies."""
        return self._pair

    @property
    def key(self) -> str | None:
        """The name of the stored session, None when there is none."""
        return self._key if self.stored else None

    @property
    def loaded(self) -> bool:
        return self._loaded

    @property
    def stored(self) -> StoredSession | None:
        if not self._loaded:
            self._loaded = True
            self._load()
        return self._stored

    @property
    def proved_at(self) -> float:
        """When the person last proved who it is, in seconds since the epoch."""
        return self.stored.proved if self.stored else 0.0

    @property
    def has_second_factor(self) -> bool:
        """Whether the person gave a second factor in this session."""
        return self.stored is not None and self.stored.second_factor

    @property
    def lost(self) -> bool:
        """The browser sent tokens, but their session has run out or was ended."""
        return self.given and self.stored is None and not self.unavailable and not self.ended

    def begin(self, stored: StoredSession) -> None:
        """Replace this session by a new one with new tokens, and end the old one."""
        old = self.stored
        if old is not None and self._key:
            session_store.end(self._key, old.user_id)
        self._key = session_store.new_key()
        self._stored, self._draft = stored, {}
        self._loaded = self.modified = True
        self.ended = False

    def restart(self, data: dict[str, Any]) -> None:
        """End this session and begin one of a visitor, with new tokens, that holds `data`."""
        self.end()
        self._draft, self._pair = data, Pair("")
        self._loaded, self.given, self.ended = True, False, False

    def write(self) -> None:
        """Store the new session now, so that a failure is seen before the answer is made."""
        if self._stored is None or self._key is None:
            raise RuntimeError("begin() comes first")
        session_store.create(self._key, self._stored)
        self._pair = session_tokens.issue(self._key, self._stored.user_id, self._stored.absolute_s)
        self.tokens_changed, self.modified = True, False

    def prove(self, *, second_factor: bool) -> None:
        """Note that the person has just proved who it is, and give the session new tokens."""
        stored = self.stored
        if stored is None or self._key is None or stored.user_id is None:
            raise RuntimeError("nobody is signed in")
        stored.proved = time.time()
        stored.second_factor = stored.second_factor or second_factor
        session_store.replace(self._key, stored)
        left = max(1, int(stored.created + stored.absolute_s - time.time()))
        self._pair = session_tokens.replace(self._key, self._pair, stored.user_id, left)
        self.tokens_changed = True

    def end(self) -> None:
        """End this session for good."""
        stored = self.stored
        if stored is not None and self._key:
            session_store.end(self._key, stored.user_id)
        self._key, self._stored, self._draft = None, None, {}
        self.modified, self.ended = False, True

    def keep(self, quiet: bool) -> None:
        """Store what changed; nothing is stored for a visitor without data."""
        if self._stored is None:
            if self._draft and not self.unavailable:
                self._start_anonymous()
            return
        now = time.time()
        seen_again = not quiet and now - self._stored.seen >= SEEN_STEP_S
        if not (self.modified or seen_again):
            return
        if not quiet:
            self._stored.seen = now
        if self._key:
            session_store.replace(self._key, self._stored)

    def _start_anonymous(self) -> None:
        now = time.time()
        self._key = session_store.new_key()
        self._stored = StoredSession(
            created=now,
            seen=now,
            idle_s=ANONYMOUS_SECONDS,
            absolute_s=ANONYMOUS_SECONDS,
            data=self._draft,
        )
        self.write()

    def _load(self) -> None:
        if not self.given:
            return
        try:
            self._key = self._find_key()
            self._stored = session_store.load(self._key) if self._key else None
        except RedisError as error:
            self.unavailable = True
            log.warning("session_unavailable error=%s", type(error).__name__)

    def _find_key(self) -> str | None:
        key = session_tokens.key_of(self._pair.access) if self._pair.access else None
        if key is not None or self._pair.refresh is None:
            return key
        renewal = session_tokens.renew(self._pair.refresh)
        if renewal is None:
            return None
        if renewal.pair is None:
            self.robbed_user_id = renewal.robbed_user_id
            return None
        self._pair, self.tokens_changed = renewal.pair, True
        return renewal.key

    @property
    def _data(self) -> dict[str, Any]:
        stored = self.stored
        return stored.data if stored is not None else self._draft

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._data[name] = value
        self.modified = True

    def __delitem__(self, name: str) -> None:
        del self._data[name]
        self.modified = True

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


def current_session() -> ServerSession:
    """Return the session of this request with all that ours can do."""
    return cast(ServerSession, cast(Any, session)._get_current_object())


def session_key() -> str | None:
    """Return the name of this request's session, for `session_store.is_alive`."""
    return current_session().key
