"""Pages of signing in by a provider: there, back, a new account, and what is connected."""

import time
from dataclasses import asdict
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    flash,
    make_response,
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

from app.accounts import identity, invites
from app.accounts.access import proves_again, public, requires
from app.accounts.form_pages import attach, form_page
from app.accounts.openid import links, service
from app.accounts.openid.flows import NOBODY, Purpose, Trip
from app.accounts.openid.forms import WelcomeForm
from app.accounts.permissions import Permission
from app.accounts.redirects import local_path, wanted_page
from app.accounts.routes import keep_attempt
from app.accounts.server_session import session_key
from app.accounts.service import NewPerson
from app.accounts.sessions import ask_second_factor, sign_in
from app.adapters.openid import Person
from app.config import current_config
from app.errors import Conflict, DomainError, Forbidden, InvalidInput
from app.extensions import limiter
from app.i18n import describe
from app.transactions import transaction

blueprint = Blueprint("openid", __name__)

NEW = "sign_in_person"
NEW_SECONDS = 600


def _succeeded(response: Response) -> bool:
    return response.status_code == 303  # noqa: PLR2004 - see other


@blueprint.post("/login/with/<provider>")
@public
@limiter.limit("30 per minute")
def log_in(provider: str) -> ResponseReturnValue:
    """Send the browser to a provider to log in."""
    if current_user.is_authenticated:
        return redirect(url_for("pages.dashboard"), 303)
    target = local_path(request.form.get("next"), url_for("pages.dashboard"))
    return _send_away(provider, target)


@blueprint.post("/settings/sign-in/<provider>/connect")
@requires(Permission.CABINET)
@proves_again
@limiter.limit("60 per hour")
def connect(provider: str) -> ResponseReturnValue:
    """Send the browser to a provider so that its log-in opens this account too."""
    return _send_away(provider, url_for("openid.index"), current_user.id)


@blueprint.get("/login/with/<provider>/back")
@public
@limiter.limit("60 per minute")
def back(provider: str) -> ResponseReturnValue:
    """Take the browser back; the address holds a code that works once, in this session only."""
    user_id = current_user.id if current_user.is_authenticated else NOBODY
    state = request.args.get("state", "")
    try:
        trip = service.take_trip(provider, _session(), state, user_id)
        person = service.ask_who(
            trip,
            state,
            _own_address(),
            request.args.get("code", ""),
            request.args.get("error", ""),
            request.args.get("iss", ""),
        )
        return _arrive(trip, person)
    except DomainError as error:
        flash(describe(error), "warning")
        home = "openid.index" if user_id else "accounts.login"
        known = error.code == "address_has_account"
        return redirect(url_for(home, next=url_for("openid.index") if known else None), 303)


@blueprint.route("/register/with", methods=["GET", "POST"])
@public
@limiter.limit("60 per hour", methods=["POST"])
@limiter.limit("5 per hour", methods=["POST"], deduct_when=_succeeded)
def register() -> ResponseReturnValue:
    """Ask whether to make an account for somebody who came by a provider, and make it."""
    person = _kept_person()
    if current_user.is_authenticated or person is None:
        return redirect(url_for("accounts.register"), 303)
    form = WelcomeForm()
    if form.validate_on_submit():
        try:
            with transaction():
                welcome = service.register(
                    person, _new_person(form, person), request.remote_addr or ""
                )
        except InvalidInput as error:
            attach(form, error)
        except (Conflict, Forbidden) as error:
            flash(describe(error), "warning")
            return redirect(url_for("accounts.login", next=url_for("openid.index")), 303)
        else:
            return _welcome(welcome)
    return form_page(
        "accounts/openid/register.html", form, arrival=person, needs_invite=invites.is_needed()
    )


@blueprint.get("/settings/sign-in")
@requires(Permission.CABINET)
def index() -> ResponseReturnValue:
    """Show which log-ins elsewhere open this account."""
    return render_template(
        "accounts/openid/index.html",
        links=links.own_links(current_user.id),
        providers=service.providers(),
        has_password=identity.has_password(current_user.id),
    )


@blueprint.route("/settings/sign-in/<int:link_id>/remove", methods=["GET", "POST"])
@requires(Permission.CABINET)
@proves_again
def disconnect(link_id: int) -> ResponseReturnValue:
    """Ask once, then let a log-in elsewhere open this account no more."""
    if request.method == "GET":
        link = links.own_link(current_user.id, link_id)
        return render_template("accounts/openid/remove.html", link=link)
    try:
        with transaction():
            service.disconnect(current_user.id, link_id, request.remote_addr or "")
    except Forbidden as error:
        flash(describe(error), "warning")
    else:
        flash(_("That log-in opens this account no more."), "success")
    return redirect(url_for("openid.index"), 303)


def _send_away(name: str, target: str, user_id: int = NOBODY) -> ResponseReturnValue:
    provider = service.provider_named(name)
    try:
        url = service.send_away(name, _session(), _own_address(), target, user_id)
    except DomainError as error:
        flash(describe(error), "warning")
        return redirect(url_for("openid.index" if user_id else "accounts.login"), 303)
    page = render_template("accounts/openid/away.html", provider=provider, url=url)
    response = make_response(page)
    # Not a redirect: the policy of our pages lets no form lead to another site.
    response.headers["Refresh"] = f"0; url={url}"
    return response


def _arrive(trip: Trip, person: Person) -> ResponseReturnValue:
    address = request.remote_addr or ""
    if trip.purpose is Purpose.CONNECT:
        with transaction():
            service.connect(trip.user_id, person, address)
        flash(_("From now on that log-in opens this account too."), "success")
        return redirect(trip.target, 303)
    with transaction():
        found = service.log_in(person, address)
    if found is None:
        service.check_may_register(person)
        session[NEW] = {"person": asdict(person), "began": time.time()}
        return redirect(url_for("openid.register", next=_unusual(trip.target)), 303)
    user, is_enough = found
    if is_enough:
        sign_in(user)
        return redirect(trip.target, 303)
    ask_second_factor(user.id)
    return redirect(url_for("factors.log_in", next=trip.target), 303)


def _welcome(welcome: service.Welcome) -> ResponseReturnValue:
    session.pop(NEW, None)
    if welcome.user is not None:
        sign_in(welcome.user)
        flash(_("Your address is confirmed. Welcome!"), "success")
        return redirect(wanted_page(), 303)
    if welcome.attempt is not None:
        keep_attempt(welcome.attempt)
    return redirect(url_for("accounts.confirm", next=request.args.get("next")), 303)


def _unusual(target: str) -> str | None:
    return None if target == url_for("pages.dashboard") else target


def _kept_person() -> Person | None:
    kept = session.get(NEW)
    if kept is None or time.time() - kept["began"] > NEW_SECONDS:
        return None
    return Person(**kept["person"])


def _new_person(form: WelcomeForm, person: Person) -> NewPerson:
    return NewPerson(
        email=person.email,
        password="",
        language=str(get_locale()),
        timezone=form.timezone.data or "",
        name=service.usable_name(person),
        invite=form.invite.data or "",
    )


def _session() -> str:
    """Return the name of this browser's session, to which a trip is bound."""
    key = session_key()
    if key is None:
        raise Forbidden("sign_in_expired")
    return key


def _own_address() -> str:
    """Return the beginning of our addresses for this browser: the site's, or the desk's own."""
    config, host = current_config(), request.host.lower()
    is_desk = config.admin_host in {host, host.partition(":")[0]}
    return f"{urlsplit(config.base_url).scheme}://{host}" if is_desk else config.base_url
