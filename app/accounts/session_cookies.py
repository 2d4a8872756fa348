"""How a browser's cookies lead to its session, and how they are set and dropped."""

import logging
from dataclasses import dataclass
from typing import Any, cast

from flask import Flask, Response, request
from flask.sessions import SessionInterface, SessionMixin
from flask.wrappers import Request
from redis.exceptions import RedisError

from app.accounts.server_session import ServerSession
from app.accounts.session_tokens import Pair
from app.queues import QueueName, enqueue_once

log = logging.getLogger(__name__)

SECURE_COOKIE = "__Host-session"
LOCAL_COOKIE = "session"
SECURE_REFRESH = "__Host-refresh"
LOCAL_REFRESH = "refresh"
WARN_JOB = "app.accounts.jobs.warn_of_reuse"
# A background stream is no sign that a person is there.
QUIET_ENDPOINTS = frozenset({"pages.events"})
# Below this neither cookies nor sessions exist: programs come with tokens.
COOKIELESS = "/api/"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a signed-in session may live, in seconds, and how its cookie is named."""

    idle_s: int
    absolute_s: int
    secure: bool

    @property
    def cookie(self) -> str:
        return SECURE_COOKIE if self.secure else LOCAL_COOKIE

    @property
    def refresh_cookie(self) -> str:
        return SECURE_REFRESH if self.secure else LOCAL_REFRESH


class RedisSessions(SessionInterface):
    """Flask's way to open and keep sessions, backed by Redis."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        if request.path.startswith(COOKIELESS):
            return ServerSession()
        names = self.limits.cookie, self.limits.refresh_cookie
        return ServerSession(*(request.cookies.get(name) or None for name in names))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        own = cast(ServerSession, session)
        if (not own.loaded and not own.ended) or request.path.startswith(COOKIELESS):
            return
        response.vary.add("Cookie")
        try:
            if not own.ended:
                own.keep(quiet=request.endpoint in QUIET_ENDPOINTS)
        except RedisError as error:
            log.warning("session_not_kept error=%s", type(error).__name__)
            return
        if own.robbed_user_id is not None:
            warn_of_reuse(own.robbed_user_id)
        if own.stored is not None and own.tokens_changed:
            self._set_cookies(response, own.pair)
        elif own.ended or own.lost:
            self._drop_cookies(response)

    def _set_cookies(self, response: Response, pair: Pair) -> None:
        flags = self._flags()
        response.set_cookie(self.limits.cookie, pair.access, **flags)
        if pair.refresh:
            response.set_cookie(self.limits.refresh_cookie, pair.refresh, **flags)
        elif self.limits.refresh_cookie in request.cookies:
            response.delete_cookie(self.limits.refresh_cookie, **flags)

    def _drop_cookies(self, response: Response) -> None:
        for name in (self.limits.cookie, self.limits.refresh_cookie):
            if name == self.limits.cookie or name in request.cookies:
                response.delete_cookie(name, **self._flags())

    def _flags(self) -> dict[str, Any]:
        return {"path": "/", "secure": self.limits.secure, "httponly": True, "samesite": "Lax"}


def warn_of_reuse(user_id: int) -> None:
    """Let a mail tell that a used refresh token came again and its session was ended."""
    log.warning("refresh_token_reused user=%s address=%s", user_id, request.remote_addr)
    enqueue_once(QueueName.MESSAGES, WARN_JOB, user_id, key=f"reuse-{user_id}", slot_seconds=60)
