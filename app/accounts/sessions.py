"""Sessions kept by the server, read only when a request asks for them.

A page that needs no session works while Redis is down; one that does answers 503. An id that the
server did not make is never taken over, and signing in always makes a new one.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from flask import Flask, Response, abort, current_app, flash, g, redirect, request, session, url_for
from flask.sessions import SessionInterface, SessionMixin
from flask.typing import ResponseReturnValue
from flask.wrappers import Request
from flask_babel import gettext as _
from flask_login import current_user, login_user
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from app.accounts import impersonation, queries, session_store, session_tokens
from app.accounts.access import GUARD, PUBLIC
from app.accounts.devices import device_name
from app.accounts.models import Role, User
from app.accounts.permissions import Permission
from app.accounts.redirects import local_path
from app.accounts.session_store import StoredSession
from app.accounts.session_tokens import Pair
from app.config import Config
from app.extensions import csrf, login_manager
from app.queues import QueueName, enqueue_once

log = logging.getLogger(__name__)

SECURE_COOKIE = "__Host-session"
LOCAL_COOKIE = "session"
SECURE_REFRESH = "__Host-refresh"
LOCAL_REFRESH = "refresh"
WAITING = "second_factor_of"
WAITING_PASSWORD = "password_of"  # noqa: S105 - the name of a step
WAITING_SECONDS = 5 * 60
WARN_JOB = "app.accounts.jobs.warn_of_reuse"
ANONYMOUS_SECONDS = 3600
STAFF_IDLE_SECONDS = 15 * 60
# "Last seen" is written again only when it is this much older, so that most requests write nothing.
SEEN_STEP_S = 30
DEVICE_LENGTH = 200
# A background stream is no sign that a person is there.
QUIET_ENDPOINTS = frozenset({"pages.events"})
# Below this neither cookies nor sessions exist: programs come with tokens.
COOKIELESS = "/api/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


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


def init_sessions(app: Flask, config: Config) -> None:
    """Join server-side sessions and the loading of people to the app."""
    limits = Limits(
        idle_s=int(config.session_idle.total_seconds()),
        absolute_s=int(config.session_absolute.total_seconds()),
        secure=config.https,
    )
    app.session_interface = RedisSessions(limits)
    app.before_request(_refuse_writes_without_session)
    app.before_request(_look_who_is_shown)
    app.jinja_env.globals["acting"] = impersonation.current
    app.jinja_env.filters["device_name"] = device_name
    # Sessions end with their own limits; flask-login's own check of the address would only weaken.
    login_manager.session_protection = None
    login_manager.user_loader(_load_user)
    login_manager.unauthorized_handler(_ask_to_log_in)


def sign_in(user: User, *, second_factor: bool = False) -> None:
    """Make a new session for this person; any earlier session of this browser is dead."""
    limits = cast(RedisSessions, current_app.session_interface).limits
    is_staff = user.role != Role.CUSTOMER.value
    now = time.time()
    own = current_session()
    own.begin(
        StoredSession(
            created=now,
            seen=now,
            idle_s=min(limits.idle_s, STAFF_IDLE_SECONDS) if is_staff else limits.idle_s,
            absolute_s=limits.absolute_s,
            user_id=user.id,
            address=request.remote_addr or "",
            device=request.user_agent.string[:DEVICE_LENGTH],
            proved=now,
            second_factor=second_factor,
        )
    )
    login_user(user)
    own.write()
    log.info(
        "logged_in user=%s address=%s second_factor=%s",
        user.id, request.remote_addr, int(second_factor),
    )  # fmt: skip


def ask_second_factor(user_id: int) -> None:
    """Remember for a few minutes that this browser gave somebody's password."""
    _wait(WAITING, user_id)


def waiting_log_in() -> tuple[int, float] | None:
    """Return who gave the password in this browser and when; None when it is too long ago."""
    return _waiting(WAITING)


def ask_password(user_id: int) -> None:
    """Remember for a few minutes that this browser used a passkey that checked nobody."""
    _wait(WAITING_PASSWORD, user_id)


def waiting_password() -> tuple[int, float] | None:
    """Return whose passkey this browser used and when; None when it is too long ago."""
    return _waiting(WAITING_PASSWORD)


def _wait(step: str, user_id: int) -> None:
    current_session().restart({step: {"user_id": user_id, "began": time.time()}})


def _waiting(step: str) -> tuple[int, float] | None:
    kept = session.get(step)
    if kept is None or time.time() - kept["began"] > WAITING_SECONDS:
        return None
    return kept["user_id"], kept["began"]


def sign_out() -> None:
    """End this browser's session; its old cookie opens nothing any more."""
    current_session().end()
    g._login_user = login_manager.anonymous_user()


def current_session() -> ServerSession:
    """Return the session of this request with all that ours can do."""
    return cast(ServerSession, cast(Any, session)._get_current_object())


def session_key() -> str | None:
    """Return the name of this request's session, for `session_store.is_alive`."""
    return current_session().key


def _load_user(user_id: str) -> User | None:
    try:
        user = queries.find_user(int(user_id))
    except (OperationalError, InterfaceError):
        # The error page asks again who is there: answer "nobody" instead of failing twice.
        g._login_user = login_manager.anonymous_user()
        raise
    if user is None or not user.is_active or _is_overtaken(user):
        current_session().end()
        return None
    return impersonation.shown_person(user)


def _look_who_is_shown() -> ResponseReturnValue | None:
    # A page that needs no session must not ask for one: only who sent a cookie is looked up.
    if not current_session().given or request.endpoint == "static":
        return None
    if not impersonation.is_noted() or not current_user.is_authenticated:
        return None
    return impersonation.refuse_what_is_closed()


def _is_overtaken(user: User) -> bool:
    """Tell whether the session is from before the moment at which all of them ended."""
    stored = current_session().stored
    if user.sessions_from is None or stored is None:
        return False
    return stored.created < user.sessions_from.timestamp()


def _refuse_writes_without_session() -> ResponseReturnValue | None:
    """Answer a form from before a log-out or a dead session before its token is checked."""
    if request.method in SAFE_METHODS or request.endpoint is None or csrf._is_exempt():
        return None
    own = current_session()
    known = own.stored is not None or (not own.unavailable and session_store.is_reachable())
    if not known:
        # Without sessions no token can be checked: ask to come back, not to send the form again.
        abort(503)
    guard = getattr(current_app.view_functions[request.endpoint], GUARD, None)
    if own.lost:
        return _restart_lost_form(guard)
    # Another tab logged out: its cookie is gone, so the token of this form can't fit any more.
    is_stranger = isinstance(guard, Permission) and not current_user.is_authenticated
    return _ask_to_log_in() if is_stranger else None


def _restart_lost_form(guard: object) -> ResponseReturnValue | None:
    if guard != PUBLIC:
        return _ask_to_log_in()
    methods = request.url_rule.methods if request.url_rule else None
    own_page = request.path if methods and "GET" in methods else url_for("accounts.login")
    flash(_("This page was open for too long. Please send the form again."), "info")
    return redirect(local_path(request.form.get("next"), own_page), 303)


def _ask_to_log_in() -> ResponseReturnValue:
    if current_session().unavailable:
        abort(503)
    if request.headers.get("HX-Request"):
        return Response(status=401, headers={"HX-Redirect": url_for("accounts.login")})
    if request.accept_mimetypes.best in {"application/json", "text/event-stream"}:
        abort(401)
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("accounts.login", next=back), 302 if request.method == "GET" else 303)
