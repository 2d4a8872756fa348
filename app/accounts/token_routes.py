"""The page of access tokens: list, create, revoke."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import tokens
from app.accounts.access import requires
from app.accounts.form_pages import UNPROCESSABLE, attach
from app.accounts.permissions import Permission
from app.accounts.token_forms import SCOPE_LABELS, TokenForm
from app.errors import Conflict, DomainError, Forbidden, InvalidInput, TooManyTries
from app.extensions import limiter
from app.transactions import transaction

blueprint = Blueprint("tokens", __name__)


@blueprint.get("/settings/tokens")
@requires(Permission.CABINET)
def index() -> ResponseReturnValue:
    """Show the person's tokens and the form of a new one."""
    return _page(_fresh_form())


@blueprint.post("/settings/tokens")
@requires(Permission.CABINET)
@limiter.limit("60 per hour")
def create() -> ResponseReturnValue:
    """Make a token and show it, for this once."""
    form = TokenForm()
    if not form.validate_on_submit():
        return _page(form), UNPROCESSABLE
    try:
        with transaction():
            secret = tokens.create_token(current_user.id, _wish(form), form.password.data or "")
    except (InvalidInput, Conflict, Forbidden, TooManyTries) as error:
        _attach(form, error)
        return _page(form), UNPROCESSABLE
    return _page(_fresh_form(), secret)


@blueprint.route("/settings/tokens/<int:token_id>/revoke", methods=["GET", "POST"])
@requires(Permission.CABINET)
def revoke(token_id: int) -> ResponseReturnValue:
    """Ask once, then end a token at once."""
    if request.method == "GET":
        token = tokens.own_token(current_user.id, token_id)
        return render_template("accounts/revoke_token.html", token=token)
    with transaction():
        tokens.revoke_token(current_user.id, token_id)
    flash(_("The token is revoked: programs with it are refused from now on."), "success")
    return redirect(url_for("tokens.index"), 303)


def _page(form: TokenForm, secret: str = "") -> str:
    return render_template(
        "accounts/tokens.html",
        form=form,
        secret=secret,
        tokens=tokens.own_tokens(current_user.id),
        scope_labels=SCOPE_LABELS,
        most=tokens.MOST_LIVE,
    )


def _fresh_form() -> TokenForm:
    form = TokenForm(formdata=None)
    form.form_key.data = tokens.new_form_key()
    return form


def _wish(form: TokenForm) -> tokens.Wish:
    days = form.days.data or ""
    return tokens.Wish(
        label=form.label.data or "",
        scopes=tuple(form.scopes.data or ()),
        days=int(days) if days in set(map(str, tokens.LIVES)) else 0,
        form_key=form.form_key.data or "",
    )


def _attach(form: TokenForm, error: DomainError) -> None:
    if error.code == "token_form_used":
        form.form_key.data = tokens.new_form_key()
    attach(form, error)
