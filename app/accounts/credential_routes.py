"""Pages for a forgotten password, a new password and a new address."""

from flask import Blueprint, flash, make_response, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import captcha_pages, credentials
from app.accounts.access import public, requires
from app.accounts.captcha import Action
from app.accounts.credential_forms import AddressForm, AskResetForm, PasswordForm, ResetForm
from app.accounts.credentials import AddressChange
from app.accounts.form_pages import attach, form_page
from app.accounts.forms import ConfirmForm
from app.accounts.permissions import Permission
from app.accounts.sessions import sign_in, sign_out
from app.config import current_config
from app.errors import Conflict, InvalidInput, TooManyTries
from app.extensions import limiter
from app.transactions import transaction

blueprint = Blueprint("credentials", __name__)

NEW_ADDRESS = "new_address"


@blueprint.route("/reset", methods=["GET", "POST"])
@public
@limiter.limit("20 per hour", methods=["POST"])
def ask_reset() -> ResponseReturnValue:
    """Ask for the mail with which a forgotten password is changed."""
    form = AskResetForm()
    if form.validate_on_submit() and captcha_pages.passes(form, Action.RESET):
        try:
            with transaction():
                credentials.ask_reset(form.email.data or "")
        except InvalidInput as error:
            attach(form, error)
        else:
            return redirect(url_for("credentials.reset_asked"), 303)
    return form_page("accounts/ask_reset.html", form, captcha=captcha_pages.widget(Action.RESET))


@blueprint.get("/reset/asked")
@public
def reset_asked() -> ResponseReturnValue:
    """Say that a mail is on its way if the address is known."""
    return form_page("accounts/reset_asked.html", AskResetForm(), mail_caught=_mail_is_caught())


@blueprint.route("/reset/new", methods=["GET", "POST"])
@public
@limiter.limit("30 per hour", methods=["POST"])
def reset() -> ResponseReturnValue:
    """Take the code of the mailed link and the new password; the log-in comes after it."""
    form = ResetForm()
    if form.validate_on_submit():
        try:
            with transaction():
                credentials.reset_password(
                    form.code.data or "", form.password.data or "", request.remote_addr or ""
                )
        except InvalidInput as error:
            attach(form, error)
        else:
            sign_out()
            flash(_("Your password is changed. Log in with the new one."), "success")
            return redirect(url_for("accounts.login"), 303)
    response = make_response(form_page("accounts/reset.html", form))
    # The link holds a code; no other site may learn it.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.route("/settings/password", methods=["GET", "POST"])
@requires(Permission.CABINET)
@limiter.limit("30 per hour", methods=["POST"])
def change_password() -> ResponseReturnValue:
    """Replace the password; all other devices are signed out."""
    form = PasswordForm()
    if form.validate_on_submit():
        try:
            with transaction():
                user = credentials.change_password(
                    current_user.id,
                    form.current.data or "",
                    form.password.data or "",
                    request.remote_addr or "",
                )
        except (InvalidInput, TooManyTries) as error:
            attach(form, error)
        else:
            sign_in(user)
            flash(_("Your password is changed. All other devices are signed out."), "success")
            return redirect(url_for("accounts.settings"), 303)
    return form_page("accounts/change_password.html", form)


@blueprint.route("/settings/email", methods=["GET", "POST"])
@requires(Permission.CABINET)
@limiter.limit("30 per hour", methods=["POST"])
def change_email() -> ResponseReturnValue:
    """Ask for another address; a code goes there."""
    form = AddressForm()
    if form.validate_on_submit():
        try:
            with transaction():
                change = credentials.ask_new_email(
                    current_user.id, form.email.data or "", form.password.data or ""
                )
        except (InvalidInput, TooManyTries) as error:
            attach(form, error)
        else:
            session[NEW_ADDRESS] = {"email": change.email, "code_id": change.code_id}
            return redirect(url_for("credentials.confirm_email"), 303)
    return form_page("accounts/change_email.html", form)


@blueprint.route("/settings/email/confirm", methods=["GET", "POST"])
@requires(Permission.CABINET)
@limiter.limit("30 per hour", methods=["POST"])
def confirm_email() -> ResponseReturnValue:
    """Take the code that was mailed to the new address."""
    kept = session.get(NEW_ADDRESS)
    if kept is None:
        return redirect(url_for("credentials.change_email"), 303)
    change = AddressChange(kept["email"], kept["code_id"])
    form = ConfirmForm()
    if form.validate_on_submit():
        try:
            with transaction():
                user = credentials.confirm_new_email(
                    current_user.id, change, form.code.data or "", request.remote_addr or ""
                )
        except Conflict as error:
            attach(form, error)
        else:
            if user is not None:
                sign_in(user)
                flash(_("Your address is changed. All other devices are signed out."), "success")
                return redirect(url_for("accounts.settings"), 303)
            form.code.errors = [
                _(
                    "This code does not fit. A code works once, for ten minutes and five tries; "
                    "ask for a new one if in doubt."
                )
            ]
    return form_page(
        "accounts/confirm_new_email.html",
        form,
        email=change.email,
        mail_caught=_mail_is_caught(),
    )


def _mail_is_caught() -> bool:
    config = current_config()
    return not (config.smtp_url or config.is_production)
