"""Register, confirm, log in and out, profile, settings, first-run set-up."""

import logging
from dataclasses import replace

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import captcha, captcha_pages, checks, invites, queries, service, session_store
from app.accounts import setup as first_run
from app.accounts.access import proves_again, public, requires
from app.accounts.captcha import Action
from app.accounts.cards import profile_cards
from app.accounts.form_pages import attach, form_page
from app.accounts.forms import ConfirmForm, LoginForm, ProfileForm, RegisterForm, SetupForm
from app.accounts.openid import service as openid
from app.accounts.passkeys import pages as passkey_pages
from app.accounts.permissions import Permission
from app.accounts.redirects import wanted_page
from app.accounts.rules import ProfileChange
from app.accounts.server_session import session_key
from app.accounts.service import Attempt, NewPerson
from app.accounts.sessions import ask_second_factor, sign_in, sign_out
from app.accounts.texts import FINDINGS, SUBJECTS
from app.config import current_config
from app.errors import DomainError, Forbidden, InvalidInput, NotFound
from app.extensions import limiter
from app.i18n import describe
from app.notifications.service import texts_can_leave
from app.transactions import transaction

log = logging.getLogger(__name__)

blueprint = Blueprint("accounts", __name__)

ATTEMPT = "confirming"
SETUP_CLOSED = "botyard_setup_closed"
SETUP_CODE_SHOWN = "botyard_setup_code_shown"


def _succeeded(response: Response) -> bool:
    return response.status_code in {302, 303}


def _failed(response: Response) -> bool:
    return not _succeeded(response)


@blueprint.route("/register", methods=["GET", "POST"])
@public
@limiter.limit("60 per hour", methods=["POST"])
@limiter.limit("5 per hour", methods=["POST"], deduct_when=_succeeded)
def register() -> ResponseReturnValue:
    """Make an account; the answer is the same for a known address."""
    if current_user.is_authenticated:
        return redirect(wanted_page())
    form = RegisterForm()
    if form.validate_on_submit() and captcha_pages.passes(form, Action.REGISTER):
        try:
            with transaction():
                attempt = service.register(
                    replace(_new_person(form), invite=form.invite.data or "")
                )
        except InvalidInput as error:
            attach(form, error)
        else:
            keep_attempt(attempt)
            return redirect(url_for("accounts.confirm", next=request.args.get("next")), 303)
    return form_page(
        "accounts/register.html",
        form,
        captcha=captcha_pages.widget(Action.REGISTER),
        needs_invite=invites.is_needed(),
        providers=openid.providers(),
    )


@blueprint.route("/confirm", methods=["GET", "POST"])
@public
@limiter.limit("30 per hour", methods=["POST"])
def confirm() -> ResponseReturnValue:
    """Take the mailed code; the right one signs in."""
    if current_user.is_authenticated and current_user.has_proved_mail:
        return redirect(wanted_page(), 303)
    attempt = _kept_attempt()
    if attempt is None and not current_user.is_authenticated:
        return redirect(url_for("accounts.login"), 303)
    form = ConfirmForm()
    if attempt is not None and form.validate_on_submit():
        with transaction():
            user = service.confirm(attempt, form.code.data or "")
        if user is not None:
            sign_in(user)
            flash(_("Your address is confirmed. Welcome!"), "success")
            return redirect(wanted_page(), 303)
        form.code.errors = [
            _(
                "This code does not fit. A code works once, for ten minutes and five tries; "
                "ask for a new one if in doubt."
            )
        ]
    email = attempt.email if attempt is not None else current_user.email
    return form_page(
        "accounts/confirm.html",
        form,
        email=email,
        code_sent=attempt is not None,
        mail_caught=not (current_config().smtp_url or current_config().is_production),
    )


@blueprint.post("/confirm/resend")
@public
@limiter.limit("20 per hour")
def resend() -> ResponseReturnValue:
    """Mail a new code."""
    attempt = _kept_attempt()
    if attempt is None and not current_user.is_authenticated:
        return redirect(url_for("accounts.login"), 303)
    try:
        with transaction():
            if attempt is not None:
                attempt = service.send_code(attempt)
            else:
                attempt = service.send_own_code(current_user.id)
    except DomainError as error:
        flash(describe(error), "warning")
    else:
        keep_attempt(attempt)
        flash(_("A new code is on its way."), "info")
    return redirect(url_for("accounts.confirm", next=request.args.get("next")), 303)


@blueprint.route("/login", methods=["GET", "POST"])
@public
@limiter.limit("60 per minute", methods=["POST"])
@limiter.limit("10 per minute", methods=["POST"], deduct_when=_failed)
def login() -> ResponseReturnValue:
    """Sign in and go on where somebody wanted to go."""
    target = wanted_page()
    if current_user.is_authenticated:
        return redirect(target, 303)
    form = LoginForm()
    address, email = request.remote_addr or "", (form.email.data or "").strip().lower()
    # A page without form data asks for what this address has earned.
    asked = not _redis_is_away() and captcha.is_asked_at_log_in(address, email)
    if form.validate_on_submit() and (not asked or captcha_pages.passes(form, Action.LOG_IN)):
        try:
            with transaction():
                user, is_enough = service.authenticate(
                    form.email.data or "", form.password.data or "", request.remote_addr or ""
                )
        except (InvalidInput, Forbidden) as error:
            attach(form, error)
            captcha.note_failed_log_in(address, email)
            asked = captcha.is_asked_at_log_in(address, email)
        else:
            if is_enough:
                sign_in(user)
                return redirect(target, 303)
            ask_second_factor(user.id)
            return redirect(url_for("factors.log_in", next=request.args.get("next")), 303)
    return form_page(
        "accounts/login.html",
        form,
        captcha=captcha_pages.widget(Action.LOG_IN, asked=asked),
        passkeys_possible=passkey_pages.are_possible(),
        providers=openid.providers(),
    )


@blueprint.post("/logout")
@public
def logout() -> ResponseReturnValue:
    """End this session; a second press changes nothing."""
    sign_out()
    flash(_("You are logged out."), "info")
    return redirect(url_for("accounts.login"), 303)


@blueprint.route("/profile", methods=["GET", "POST"])
@requires(Permission.CABINET)
def profile() -> ResponseReturnValue:
    """Show and change the own profile."""
    own = queries.own_profile(current_user.id)
    form = ProfileForm(obj=own)
    if form.validate_on_submit():
        try:
            with transaction():
                service.change_profile(current_user.id, _profile_change(form))
        except InvalidInput as error:
            attach(form, error)
        else:
            flash(_("Your profile is saved."), "success")
            return redirect(url_for("accounts.profile"), 303)
    cards, values = profile_cards(current_user.id)
    return form_page(
        "accounts/profile.html",
        form,
        own=own,
        cards=cards,
        texts_can_leave=texts_can_leave(),
        **values,
    )


@blueprint.get("/settings")
@requires(Permission.CABINET)
def settings() -> ResponseReturnValue:
    """Lead to everything that can be set."""
    return render_template("accounts/settings.html", providers=openid.providers())


@blueprint.get("/profile/sessions")
@requires(Permission.CABINET)
def sessions() -> ResponseReturnValue:
    """Show where the person is signed in."""
    return render_template(
        "accounts/sessions.html",
        sessions=session_store.list_sessions(current_user.id),
        count=session_store.count_sessions(current_user.id),
        most=session_store.LISTED,
        own_key=session_key(),
    )


@blueprint.post("/profile/sessions/end")
@requires(Permission.CABINET)
@proves_again
def end_session() -> ResponseReturnValue:
    """Sign one other device out, or all of them."""
    key = request.form.get("key", "")
    if key:
        session_store.end_own(current_user.id, key)
        flash(_("That device is signed out."), "success")
    else:
        session_store.end_all(current_user.id, keep=session_key())
        flash(_("All other devices are signed out."), "success")
    return redirect(url_for("accounts.sessions"), 303)


@blueprint.route("/setup", methods=["GET", "POST"])
@public
@limiter.limit("30 per hour", methods=["POST"])
def setup() -> ResponseReturnValue:
    """Make the first administrator, once."""
    _require_open_setup()
    form = SetupForm()
    if form.validate_on_submit():
        try:
            with transaction():
                user = first_run.complete(
                    form.code.data or "", _new_person(form), request.remote_addr or ""
                )
        except InvalidInput as error:
            attach(form, error)
        else:
            sign_in(user)
            flash(_("The set-up is done. You are the administrator."), "success")
            return redirect(url_for("pages.dashboard"), 303)
    _show_setup_code()
    return form_page("accounts/setup.html", form)


@blueprint.get("/setup/checks")
@public
@limiter.limit("30 per minute")
def setup_checks() -> ResponseReturnValue:
    """Show whether secrets, mail, address and exchanges are as they should be."""
    _require_open_setup()
    findings = checks.check_installation(request.host)
    return render_template(
        "accounts/_setup_checks.html", findings=findings, texts=FINDINGS, subjects=SUBJECTS
    )


@blueprint.before_app_request
def _lead_to_setup() -> ResponseReturnValue | None:
    """Lead whoever opens a fresh installation to its set-up."""
    if request.endpoint != "pages.home" or SETUP_CLOSED in current_app.extensions:
        return None
    if queries.is_fresh():
        return redirect(url_for("accounts.setup"))
    if not queries.setup_is_open():
        current_app.extensions[SETUP_CLOSED] = True
    return None


def _redis_is_away() -> bool:
    # The page opens without it; the form does not.
    return request.method == "GET" and not session_store.is_reachable()


def _require_open_setup() -> None:
    if not queries.setup_is_open():
        raise NotFound("setup_done")


def _show_setup_code() -> None:
    # Once a process: whoever opens the page again and again does not fill the log.
    code = first_run.setup_code()
    if current_app.extensions.get(SETUP_CODE_SHOWN) != code:
        current_app.extensions[SETUP_CODE_SHOWN] = code
        log.warning("first-run set-up waits at /setup and asks for %s", code)


def _new_person(form: RegisterForm | SetupForm) -> NewPerson:
    return NewPerson(
        email=form.email.data or "",
        password=form.password.data or "",
        language=str(get_locale()),
        timezone=form.timezone.data or "",
    )


def _profile_change(form: ProfileForm) -> ProfileChange:
    return ProfileChange(
        name=form.name.data or "",
        language=form.language.data,
        timezone=form.timezone.data,
        contacts=form.contacts.data or "",
        experience=form.experience.data,
        theme=form.theme.data,
        palette=form.palette.data,
        density=form.density.data,
    )


def keep_attempt(attempt: Attempt) -> None:
    """Remember in this browser which confirmation waits for its code."""
    session[ATTEMPT] = {"email": attempt.email, "code_id": attempt.code_id}


def _kept_attempt() -> Attempt | None:
    kept = session.get(ATTEMPT)
    return Attempt(kept["email"], kept["code_id"]) if kept else None
