"""Pages of the second factor: at the log-in, in the settings, and the step-up before what lasts."""

import segno
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import identity, second_factor, service
from app.accounts.access import lacks_factor, proves_again, public, requires
from app.accounts.factor_forms import EmptyForm, FactorForm, ProveForm
from app.accounts.form_pages import attach, form_page
from app.accounts.passkeys import pages as passkey_pages
from app.accounts.permissions import Permission
from app.accounts.redirects import local_path, wanted_page
from app.accounts.server_session import current_session
from app.accounts.sessions import sign_in, waiting_log_in
from app.errors import Conflict, DomainError, Forbidden, InvalidInput, TooManyTries
from app.extensions import limiter
from app.i18n import describe
from app.transactions import transaction

blueprint = Blueprint("factors", __name__)


@blueprint.route("/login/code", methods=["GET", "POST"])
@public
@limiter.limit("60 per minute", methods=["POST"])
def log_in() -> ResponseReturnValue:
    """Take the second factor of a log-in whose password was right."""
    target = wanted_page()
    if current_user.is_authenticated:
        return redirect(target, 303)
    waiting = waiting_log_in()
    if waiting is None:
        return redirect(url_for("accounts.login", next=request.args.get("next")), 303)
    form = FactorForm()
    if form.validate_on_submit():
        try:
            with transaction():
                user = service.finish_log_in(
                    *waiting, form.code.data or "", request.remote_addr or ""
                )
        except (InvalidInput, Forbidden) as error:
            attach(form, error)
        else:
            sign_in(user, second_factor=True)
            return redirect(target, 303)
    return form_page(
        "accounts/login_code.html",
        form,
        may_use_passkey=passkey_pages.offers(waiting[0]),
        has_app=_name_code(form, waiting[0]),
    )


@blueprint.get("/settings/second-factor")
@requires(Permission.CABINET, without_factor=True)
def index() -> ResponseReturnValue:
    """Show whether the second factor is on, or how to turn it on."""
    return _page(FactorForm(formdata=None))


@blueprint.post("/settings/second-factor/begin")
@requires(Permission.CABINET, without_factor=True)
@proves_again
@limiter.limit("30 per hour")
def begin() -> ResponseReturnValue:
    """Make a secret and show it."""
    try:
        with transaction():
            second_factor.begin(current_user.id)
    except (Conflict, Forbidden) as error:
        flash(describe(error), "warning")
    return redirect(url_for("factors.index"), 303)


@blueprint.post("/settings/second-factor")
@requires(Permission.CABINET, without_factor=True)
@proves_again
@limiter.limit("60 per hour")
def confirm() -> ResponseReturnValue:
    """Turn the factor on with the first code, and show the recovery codes this once."""
    form = FactorForm()
    codes: list[str] = []
    if form.validate_on_submit():
        try:
            with transaction():
                codes = second_factor.confirm(
                    current_user.id, form.code.data or "", request.remote_addr or ""
                )
        except Conflict:
            # The form was sent twice, or the page is old: show what holds now.
            return redirect(url_for("factors.index"), 303)
        except (InvalidInput, TooManyTries) as error:
            attach(form, error)
        else:
            current_session().prove(second_factor=True)
    return _page(form, codes)


@blueprint.post("/settings/second-factor/codes")
@requires(Permission.CABINET)
@proves_again
@limiter.limit("30 per hour")
def renew_codes() -> ResponseReturnValue:
    """Replace the recovery codes, and show the new ones this once."""
    try:
        with transaction():
            codes = second_factor.renew_recovery_codes(current_user.id, request.remote_addr or "")
    except Conflict:
        return redirect(url_for("factors.index"), 303)
    return _page(FactorForm(formdata=None), codes)


@blueprint.route("/settings/second-factor/off", methods=["GET", "POST"])
@requires(Permission.CABINET)
@proves_again
def turn_off() -> ResponseReturnValue:
    """Ask once, then ask for no second factor any more."""
    form = EmptyForm()
    if form.validate_on_submit():
        try:
            with transaction():
                second_factor.turn_off(current_user.id, request.remote_addr or "")
        except Forbidden as error:
            flash(describe(error), "warning")
        else:
            flash(_("The app is not asked any more."), "success")
        return redirect(url_for("factors.index"), 303)
    standing = second_factor.standing(current_user.id)
    return form_page("accounts/factor_off.html", form, standing=standing)


@blueprint.route("/prove", methods=["GET", "POST"])
@requires(Permission.CABINET, without_factor=True)
@limiter.limit("60 per hour", methods=["POST"])
def prove() -> ResponseReturnValue:
    """Ask for the password, and for the second factor if it is on, before something that lasts."""
    target = local_path(request.args.get("next"), url_for("accounts.settings"))
    form = ProveForm()
    asks_code = second_factor.is_on(current_user.id)
    if form.validate_on_submit():
        try:
            _check_proof(form, asks_code)
        except DomainError as error:
            attach(form, error)
        else:
            current_session().prove(second_factor=asks_code)
            return redirect(target, 303)
    return form_page(
        "accounts/prove.html",
        form,
        asks_code=asks_code,
        may_use_passkey=passkey_pages.offers(current_user.id),
        has_app=_name_code(form, current_user.id),
        has_password=identity.has_password(current_user.id),
    )


def _name_code(form: FactorForm | ProveForm, user_id: int) -> bool:
    """Call the code what it is for somebody without the app; tell whether there is one."""
    has_app = second_factor.standing(user_id).has_app
    if not has_app:
        form.code.label.text = _("Recovery code")
    return has_app


def _check_proof(form: ProveForm, asks_code: bool) -> None:
    """Take a passkey instead of all else, instead of the code only if it checked nobody."""
    user_id, password = current_user.id, form.password.data or ""
    if form.credential.data:
        if not passkey_pages.proves(user_id, form.credential.data):
            identity.check_password(user_id, password)
        return
    with transaction():
        identity.check_password(user_id, password)
        if asks_code:
            second_factor.check(user_id, form.code.data or "", request.remote_addr or "")


def _page(form: FactorForm, codes: list[str] | None = None) -> ResponseReturnValue:
    waiting = second_factor.waiting(current_user.id)
    page = render_template(
        "accounts/second_factor.html",
        form=form,
        codes=codes or [],
        standing=second_factor.standing(current_user.id),
        waiting=waiting,
        picture=segno.make(waiting.uri, error="m").svg_data_uri(scale=5, light="white")
        if waiting
        else "",
        must_enrol=lacks_factor(),
        may_turn_off=second_factor.may_turn_off(current_user.id),
    )
    return page, 422 if form.errors else 200
