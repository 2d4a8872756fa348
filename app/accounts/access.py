"""Route guards: every route names its permission or says that it is public."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import abort
from flask_login import current_user

from app.accounts.permissions import Permission, may
from app.extensions import login_manager

P = ParamSpec("P")
R = TypeVar("R")

GUARD = "botyard_guard"
PUBLIC = "public"


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Mark a route that anybody may call."""
    setattr(view, GUARD, PUBLIC)
    return view


def requires(permission: Permission) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let people with the permission pass: visitors are asked to log in, others get 403."""

    def guard(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            if not current_user.is_authenticated:
                return login_manager.unauthorized()  # type: ignore[no-any-return]
            if not may(current_user.role, permission):
                abort(403)
            return view(*args, **kwargs)

        setattr(guarded, GUARD, permission)
        return guarded

    return guard


def current_may(permission: Permission) -> bool:
    """Tell a template or view whether the signed-in person has a right."""
    return current_user.is_authenticated and may(current_user.role, permission)
