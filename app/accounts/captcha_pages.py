"""The captcha in pages: what a form shows, what it sent, and where challenges come from."""

from dataclasses import dataclass

from flask import Blueprint, g, jsonify, request
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from app.accounts import captcha
from app.accounts.access import public
from app.accounts.captcha import Action, Provider
from app.accounts.form_pages import attach
from app.accounts.server_session import session_key
from app.adapters.recaptcha import SCRIPT, SOURCES
from app.config import current_config
from app.errors import InvalidInput, NotFound
from app.extensions import limiter

blueprint = Blueprint("captcha", __name__)

ALTCHA_FIELD = "altcha"
RECAPTCHA_FIELD = "g-recaptcha-response"


@dataclass(frozen=True, slots=True)
class Widget:
    """What a template shows in a form."""

    provider: Provider
    action: Action
    site_key: str = ""
    script: str = ""


@blueprint.get("/captcha/<action>")
@public
@limiter.limit("60 per minute")
def challenge(action: str) -> ResponseReturnValue:
    """Return the work for one form, bound to this session."""
    if action not in set(Action) or captcha.provider() is not Provider.ALTCHA:
        raise NotFound("unknown_action")
    return jsonify(captcha.challenge(Action(action), session_key() or ""))


def widget(action: Action, *, asked: bool = True) -> Widget | None:
    """Return what the form shows, None when it asks for nothing."""
    chosen = captcha.provider() if asked else Provider.OFF
    if chosen is Provider.OFF:
        return None
    if chosen is Provider.RECAPTCHA:
        g.script_sources = SOURCES
        return Widget(chosen, action, current_config().recaptcha_site_key or "", SCRIPT)
    return Widget(chosen, action)


def passes(form: FlaskForm, action: Action) -> bool:
    """Check what the form sent; say above the form what is wrong."""
    is_altcha = captcha.provider() is Provider.ALTCHA
    answer = request.form.get(ALTCHA_FIELD if is_altcha else RECAPTCHA_FIELD, "")
    try:
        captcha.check(answer, action, session_key() or "", request.remote_addr or "")
    except InvalidInput as error:
        attach(form, error)
        return False
    return True
