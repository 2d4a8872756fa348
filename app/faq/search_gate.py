"""Much searching from one address asks visitors for the captcha: a program would read it all."""

from flask import request
from flask_login import current_user
from flask_wtf import FlaskForm
from redis.exceptions import RedisError

from app.accounts import captcha, captcha_pages, limits
from app.accounts.captcha import Action, Provider
from app.accounts.captcha_pages import Widget
from app.accounts.limits import Limit

EASY_SEARCHES = Limit("easy-searches", 20, 600)


class SearchForm(FlaskForm):
    """Only the captcha; what is searched stands beside it."""


def is_shut() -> bool:
    """Count a search of a visitor; tell whether the captcha comes first now."""
    if current_user.is_authenticated or captcha.provider() is Provider.OFF:
        return False
    try:
        return not limits.is_within(EASY_SEARCHES, request.remote_addr or "")
    except RedisError:
        # The help is read when all else is away.
        return False


def widget() -> Widget | None:
    """Return the captcha of the search."""
    return captcha_pages.widget(Action.SEARCH)


def opens(form: FlaskForm) -> bool:
    """Check the captcha and let the address search on; say above the form what is wrong."""
    if not (form.validate_on_submit() and captcha_pages.passes(form, Action.SEARCH)):
        return False
    limits.forget(EASY_SEARCHES, request.remote_addr or "")
    return True
