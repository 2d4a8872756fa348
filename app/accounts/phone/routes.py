"""Pages of the phone number."""

from flask import Blueprint, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import proves_again, requires
from app.accounts.form_pages import attach, form_page
from app.accounts.forms import ConfirmForm
from app.accounts.permissions import Permission
from app.accounts.phone import service
from app.accounts.phone.forms import PhoneForm
from app.accounts.phone.service import PhoneAttempt
from app.config import current_config
from app.errors import Conflict, DomainError, InvalidInput, TooManyTries
from app.extensions import limiter
from app.i18n import describe
from app.transactions import transaction

blueprint = Blueprint("phone", __name__)

ATTEMPT = "confirming_phone"


@blueprint.route("/settings/phone", methods=["GET", "POST"])
@requires(Permission.CABINET)
@proves_again
@limiter.limit("30 per hour", methods=["POST"])
def index() -> ResponseReturnValue:
    """Show the number, and send a code to another one."""
    own = service.own_phone(current_user.id)
    form = PhoneForm()
    if form.validate_on_submit():
        try:
            return _take(form.phone.data or "", is_offered=own.is_offered)
        except (InvalidInput, TooManyTries, Conflict) as error:
            attach(form, error)
    return form_page("accounts/phone.html", form, own=own)


@blueprint.route("/settings/phone/confirm", methods=["GET", "POST"])
@requires(Permission.CABINET)
@limiter.limit("30 per hour", methods=["POST"])
def confirm() -> ResponseReturnValue:
    """Take the code that was sent to the number."""
    kept = session.get(ATTEMPT)
    if kept is None:
        return redirect(url_for("phone.index"), 303)
    attempt = PhoneAttempt(kept["code_id"], kept["hint"])
    form = ConfirmForm()
    form.code.label.text = _("Code from the text message")
    if form.validate_on_submit():
        with transaction():
            fits = service.confirm(
                current_user.id, attempt, form.code.data or "", request.remote_addr or ""
            )
        if fits:
            session.pop(ATTEMPT, None)
            flash(_("Your number is confirmed."), "success")
            return redirect(url_for("accounts.profile"), 303)
        form.code.errors = [
            _(
                "This code does not fit. A code works once, for ten minutes and five tries; "
                "ask for a new one if in doubt."
            )
        ]
    config = current_config()
    is_caught = not (config.sms_url or config.is_production)
    # Not to be broken in two lines.
    hint = attempt.hint.replace("…", "…\u2060")
    return form_page("accounts/confirm_phone.html", form, hint=hint, is_caught=is_caught)


@blueprint.post("/settings/phone/remove")
@requires(Permission.CABINET)
@proves_again
def remove() -> ResponseReturnValue:
    """Forget the number."""
    try:
        with transaction():
            service.remove(current_user.id, request.remote_addr or "")
    except DomainError as error:
        flash(describe(error), "warning")
        return redirect(url_for("phone.index"), 303)
    flash(_("Your number is removed."), "success")
    return redirect(url_for("accounts.profile"), 303)


def _take(text: str, *, is_offered: bool) -> ResponseReturnValue:
    """Send a code, or keep the number as it is where no code can be sent."""
    address = request.remote_addr or ""
    if is_offered:
        with transaction():
            attempt = service.ask(current_user.id, text, address)
        session[ATTEMPT] = {"code_id": attempt.code_id, "hint": attempt.hint}
        return redirect(url_for("phone.confirm"), 303)
    with transaction():
        service.keep_unconfirmed(current_user.id, text, address)
    flash(_("Your number is saved."), "success")
    return redirect(url_for("accounts.profile"), 303)
