"""Route guards: every route names its permission or says that it is public."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from flask import abort, current_app, flash, g, redirect, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from app.accounts import second_factor
from app.accounts.models import Role
from app.accounts.permissions import Permission
from app.accounts.redirects import local_path
from app.accounts.roles import Rights, rights_of
from app.extensions import login_manager

P = ParamSpec("P")
R = TypeVar("R")

GUARD = "botyard_guard"
PUBLIC = "public"
# For so long after a log-in or a step-up nobody is asked again.
PROOF_SECONDS = 10 * 60


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a route that anybody may call."""
    setattr(view, GUARD, PUBLIC)
    return view


def requires(
    permission: Permission, *, without_factor: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let people with the permission pass: visitors are asked to log in, others get 403.

    Staff without their second factor reach only what is marked `without_factor`.
    """

    def guard(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            if not current_user.is_authenticated:
                return login_manager.unauthorized()  # type: ignore[no-any-return]
            if lacks_factor() and not without_factor:
                return cast(R, lead_to_factor())
            if permission not in _rights(current_user.role):
                abort(403)
            return view(*args, **kwargs)

        setattr(guarded, GUARD, permission)
        return guarded

    return guard


def proves_again(view: Callable[P, R]) -> Callable[P, R]:
    """Let people pass who have just proved who they are; the others are asked first.

    Stands below `requires`. A form that comes too late has to be sent again.
    """

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        if has_proved():
            return view(*args, **kwargs)
        methods = request.url_rule.methods if request.url_rule else None
        has_page = request.method == "GET" or (methods is not None and "GET" in methods)
        fallback = url_for("accounts.settings")
        before = request.form.get("next") or _page_before()
        back = request.full_path.rstrip("?") if has_page else before
        if request.method != "GET":
            flash(_("Please prove first that it is you, then send the form again."), "info")
        target = url_for("factors.prove", next=local_path(back, fallback))
        return cast(R, redirect(target, 303))

    return guarded


def _page_before() -> str | None:
    """Return the page of ours on which a form stood, if the browser tells and it can be opened."""
    told, ours = request.referrer or "", request.host_url
    urls = current_app.create_url_adapter(request)
    if urls is None or not told.startswith(ours):
        return None
    page = told.removeprefix(ours.rstrip("/"))
    return page if urls.test(page.partition("?")[0], method="GET") else None


def has_proved() -> bool:
    """Tell whether the person has just proved who it is, with a second factor where one is on.

    A session may be older than the factor: then the password alone was given in it.
    """
    own = _own_session()
    if time.time() - float(own.proved_at) > PROOF_SECONDS:
        return False
    return bool(own.has_second_factor) or not second_factor.is_on(current_user.id)


def current_may(permission: Permission) -> bool:
    """Tell a template or view whether the signed-in person has a right."""
    return (
        current_user.is_authenticated
        and not lacks_factor()
        and permission in _rights(current_user.role)
    )


def _rights(role: str) -> Rights:
    """Return what a role may do, read once in a request."""
    known: dict[str, Rights] = g.setdefault("role_rights", {})
    if role not in known:
        known[role] = rights_of(role)
    return known[role]


def lacks_factor() -> bool:
    """Tell whether this is staff who has not given a second factor: nothing is open to them."""
    return (
        current_user.is_authenticated
        and current_user.role != Role.CUSTOMER.value
        and not has_second_factor()
    )


def has_second_factor() -> bool:
    """Tell whether the person gave a second factor in this session."""
    return bool(_own_session().has_second_factor)


def lead_to_factor() -> Response:
    """Lead staff to where they set up their second factor, or give it where it is on already.

    A session that a new password or address began has only the password.
    """
    if not second_factor.is_on(current_user.id):
        return redirect(url_for("factors.index"), 303)
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    target = local_path(back, url_for("pages.dashboard"))
    return redirect(url_for("factors.prove", next=target), 303)


def _own_session() -> Any:
    return cast(Any, session)
