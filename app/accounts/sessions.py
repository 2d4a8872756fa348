"""Who is signed in: sessions begin and end here, and each request is asked for its own.

A page that needs no session works while Redis is down; one that does answers 503. An id that the
server did not make is never taken over, and signing in always makes a new one.
"""

import logging
import time
from typing import cast

from flask import Flask, Response, abort, current_app, flash, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user, login_user
from sqlalchemy.exc import InterfaceError, OperationalError

from app.accounts import impersonation, queries, session_store
from app.accounts.access import GUARD, PUBLIC
from app.accounts.devices import device_name
from app.accounts.models import Role, User
from app.accounts.permissions import Permission
from app.accounts.redirects import local_path
from app.accounts.server_session import current_session
from app.accounts.session_cookies import Limits, RedisSessions
from app.accounts.session_store import StoredSession
from app.config import Config
from app.extensions import csrf, login_manager

log = logging.getLogger(__name__)

WAITING = "second_factor_of"
WAITING_PASSWORD = "password_of"  # noqa: S105 - the name of a step
WAITING_SECONDS = 5 * 60
STAFF_IDLE_SECONDS = 15 * 60
DEVICE_LENGTH = 200
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


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
