"""Pages of passkeys: the list, adding, naming and removing, and the ways in."""

from typing import Any

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import second_factor
from app.accounts.access import lacks_factor, proves_again, public, requires
from app.accounts.factor_forms import PasswordForm
from app.accounts.form_pages import attach, form_page
from app.accounts.passkeys import pages, service
from app.accounts.passkeys.challenges import Purpose
from app.accounts.passkeys.forms import AnswerForm, NameForm, NewPasskeyForm
from app.accounts.permissions import Permission
from app.accounts.redirects import wanted_page
from app.accounts.server_session import current_session
from app.accounts.sessions import ask_password, sign_in, waiting_log_in, waiting_password
from app.errors import Conflict, DomainError, Forbidden, InvalidInput
from app.extensions import limiter
from app.i18n import describe
from app.transactions import transaction

blueprint = Blueprint("passkeys", __name__)


@blueprint.get("/settings/passkeys")
@requires(Permission.CABINET, without_factor=True)
def index() -> ResponseReturnValue:
    """Show the person's passkeys."""
    return _list_page()


@blueprint.route("/settings/passkeys/new", methods=["GET", "POST"])
@requires(Permission.CABINET, without_factor=True)
@proves_again
@limiter.limit("60 per hour", methods=["POST"])
def add() -> ResponseReturnValue:
    """Ask for a name, let the browser make a passkey, and keep it."""
    form = NewPasskeyForm()
    if form.validate_on_submit():
        try:
            with transaction():
                codes = service.add(
                    current_user.id,
                    form.name.data or "",
                    form.credential.data or "",
                    pages.browser(),
                )
        except DomainError as error:
            attach(form, error)
        else:
            current_session().prove(second_factor=True)
            flash(_("The passkey is added. From now on it opens your account."), "success")
            return _list_page(codes) if codes else redirect(url_for("passkeys.index"), 303)
    return form_page("accounts/passkeys/new.html", form, possible=pages.are_possible())


@blueprint.post("/settings/passkeys/new/options")
@requires(Permission.CABINET, without_factor=True)
@proves_again
@limiter.limit("60 per hour")
def options_to_add() -> ResponseReturnValue:
    """Answer what the browser needs to make a passkey."""
    return jsonify(service.options_to_add(current_user.id, pages.browser()))


@blueprint.route("/settings/passkeys/<int:passkey_id>/name", methods=["GET", "POST"])
@requires(Permission.CABINET)
def rename(passkey_id: int) -> ResponseReturnValue:
    """Give a passkey another name."""
    passkey = service.own_passkey(current_user.id, passkey_id)
    form = NameForm(obj=passkey)
    if form.validate_on_submit():
        try:
            with transaction():
                service.rename(current_user.id, passkey_id, form.name.data or "")
        except InvalidInput as error:
            attach(form, error)
        else:
            return redirect(url_for("passkeys.index"), 303)
    return form_page("accounts/passkeys/rename.html", form, passkey=passkey)


@blueprint.route("/settings/passkeys/<int:passkey_id>/remove", methods=["GET", "POST"])
@requires(Permission.CABINET)
@proves_again
def remove(passkey_id: int) -> ResponseReturnValue:
    """Ask once, then let a passkey open nothing any more."""
    if request.method == "GET":
        passkey = service.own_passkey(current_user.id, passkey_id)
        return render_template("accounts/passkeys/remove.html", passkey=passkey)
    try:
        with transaction():
            service.remove(current_user.id, passkey_id, request.remote_addr or "")
    except Forbidden as error:
        flash(describe(error), "warning")
    else:
        flash(_("The passkey is removed. Delete it on your device too."), "success")
    return redirect(url_for("passkeys.index"), 303)


# Ways in ----------------------------------------------------------------------------------------


@blueprint.post("/login/passkey/options")
@public
@limiter.limit("60 per minute")
def options_to_log_in() -> ResponseReturnValue:
    """Answer what the browser needs to log in by whichever passkey it has."""
    return jsonify(service.options_to_log_in(pages.browser()))


@blueprint.post("/login/passkey")
@public
@limiter.limit("60 per minute")
def log_in() -> ResponseReturnValue:
    """Log in by a passkey alone; the password is asked too if it checked nobody."""
    target = wanted_page()
    if current_user.is_authenticated:
        return redirect(target, 303)
    try:
        with transaction():
            proof = service.log_in(_answer(), pages.browser())
    except (Forbidden, Conflict) as error:
        return _refused(error, "accounts.login")
    if proof is None:
        return _refused(InvalidInput("passkey_refused"), "accounts.login")
    if proof.verified:
        sign_in(proof.user, second_factor=True)
        return redirect(target, 303)
    ask_password(proof.user.id)
    return redirect(url_for("passkeys.password", next=request.args.get("next")), 303)


@blueprint.route("/login/passkey/password", methods=["GET", "POST"])
@public
@limiter.limit("60 per minute", methods=["POST"])
def password() -> ResponseReturnValue:
    """Take the password beside a passkey that checked nobody."""
    if current_user.is_authenticated:
        return redirect(wanted_page(), 303)
    waiting = waiting_password()
    if waiting is None:
        return redirect(url_for("accounts.login", next=request.args.get("next")), 303)
    form = PasswordForm()
    if form.validate_on_submit():
        try:
            with transaction():
                user = service.finish_log_in(
                    *waiting, form.password.data or "", request.remote_addr or ""
                )
        except (InvalidInput, Forbidden) as error:
            attach(form, error)
        else:
            sign_in(user, second_factor=True)
            return redirect(wanted_page(), 303)
    return form_page("accounts/passkeys/password.html", form)


@blueprint.post("/login/code/passkey/options")
@public
@limiter.limit("60 per minute")
def options_for_second_step() -> ResponseReturnValue:
    """Answer what the browser needs to use a passkey after the password."""
    waiting = waiting_log_in()
    if waiting is None:
        raise Forbidden("log_in_again")
    return jsonify(service.options_for(Purpose.SECOND_FACTOR, waiting[0], pages.browser()))


@blueprint.post("/login/code/passkey")
@public
@limiter.limit("60 per minute")
def second_step() -> ResponseReturnValue:
    """Take a passkey as the second factor of a log-in whose password was right."""
    if current_user.is_authenticated:
        return redirect(wanted_page(), 303)
    waiting = waiting_log_in()
    if waiting is None:
        return redirect(url_for("accounts.login", next=request.args.get("next")), 303)
    try:
        with transaction():
            user = service.second_step(*waiting, _answer(), pages.browser())
    except (Forbidden, Conflict) as error:
        return _refused(error, "factors.log_in")
    if user is None:
        return _refused(InvalidInput("passkey_refused"), "factors.log_in")
    sign_in(user, second_factor=True)
    return redirect(wanted_page(), 303)


@blueprint.post("/prove/passkey/options")
@requires(Permission.CABINET, without_factor=True)
@limiter.limit("60 per hour")
def options_to_prove() -> ResponseReturnValue:
    """Answer what the browser needs to prove by a passkey who is there."""
    return jsonify(service.options_for(Purpose.PROVE, current_user.id, pages.browser()))


def _answer() -> str:
    return AnswerForm().credential.data or ""


def _refused(error: DomainError, endpoint: str) -> ResponseReturnValue:
    flash(describe(error), "warning")
    return redirect(url_for(endpoint, next=request.args.get("next")), 303)


def _list_page(codes: list[str] | None = None) -> ResponseReturnValue:
    values: dict[str, Any] = {
        "codes": codes or [],
        "passkeys": service.own_passkeys(current_user.id),
        "standing": second_factor.standing(current_user.id),
        "possible": pages.are_possible(),
        "must_enrol": lacks_factor(),
        "most": service.MOST,
    }
    return render_template("accounts/passkeys/index.html", **values)
