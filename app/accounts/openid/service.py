"""Signing in by a provider: the trip there and back, and what becomes of who comes back.

Who somebody is follows from issuer and subject, never from the address alone: an address that has
an account here opens it only after the person has logged in and connected the two.
"""

from dataclasses import dataclass

from app.accounts import audit, emails, invites, limits, passwords, queries, second_factor, service
from app.accounts.models import Role, User
from app.accounts.openid import flows, links
from app.accounts.openid.flows import NOBODY, Purpose, Trip
from app.accounts.rules import MAX_NAME_LENGTH
from app.accounts.service import Attempt, NewPerson
from app.adapters import openid
from app.adapters.openid import Errand, Person
from app.config import SignInProvider, current_config
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.names import is_visible
from app.notifications.service import send_mail

PATH = "/login/with/{}/back"


@dataclass(frozen=True, slots=True)
class Welcome:
    """A new account: its owner is in, or proves the address first."""

    user: User | None
    attempt: Attempt | None


def providers() -> tuple[SignInProvider, ...]:
    """Return by whom people may sign in here."""
    return current_config().sign_in_providers


def provider_named(name: str) -> SignInProvider:
    """Return a provider; raise NotFound for a name that is not configured."""
    found = next((one for one in providers() if one.name == name), None)
    if found is None:
        raise NotFound("unknown_provider")
    return found


# There and back ---------------------------------------------------------------------------------


def send_away(name: str, session: str, base: str, target: str, user_id: int = NOBODY) -> str:
    """Return where the browser goes to log in; with a person, to connect that log-in.

    `base` is the address of the site for this browser. Raises Unavailable for a provider that is
    down. Call it outside a transaction: it waits for the provider.
    """
    provider = provider_named(name)
    purpose = Purpose.CONNECT if user_id else Purpose.LOG_IN
    state, trip = flows.begin(purpose, name, session, user_id, target)
    return openid.address_of(provider, _errand(state, trip, base))


def take_trip(name: str, session: str, state: str, user_id: int) -> Trip:
    """Return the trip that ends here; raise Forbidden for one that did not begin here."""
    trip = flows.end(state, session)
    stranger = trip is not None and trip.purpose is Purpose.CONNECT and trip.user_id != user_id
    if trip is None or trip.provider != name or stranger:
        raise Forbidden("sign_in_expired")
    return trip


def ask_who(trip: Trip, state: str, base: str, code: str, error: str, issuer: str) -> Person:
    """Ask the provider who came back with this code.

    Raises Forbidden when the person or the provider said no, and Unavailable for a provider that
    is down. Call it outside a transaction: it waits for the provider.
    """
    provider = provider_named(trip.provider)
    if error or not code:
        raise Forbidden("sign_in_denied" if error == "access_denied" else "sign_in_refused")
    # Another provider's answer must not be traded here (RFC 9207).
    if issuer and issuer != provider.issuer:
        raise Forbidden("sign_in_refused")
    return openid.person_of(provider, _errand(state, trip, base), code)


# Log-in and registration ------------------------------------------------------------------------


def log_in(person: Person, address: str) -> tuple[User, bool] | None:
    """Return whose account this log-in opens, and whether it is enough; None when it opens none.

    Where it is not enough a second factor follows. Raises Forbidden for a blocked person.
    """
    link = links.owner_of(person.issuer, person.subject)
    if link is None:
        return None
    user = queries.user_by_id(link.user_id)
    if not user.is_active:
        raise Forbidden("account_blocked")
    link.last_used_at = utc_now()
    link.email = _plain_email(person)
    limits.know_place(user.email, address)
    is_enough = not second_factor.is_on(user.id)
    if is_enough:
        service.note_log_in(user, address)
    return user, is_enough


def check_may_register(person: Person) -> None:
    """Raise Forbidden without an address, and Conflict for a proved one that has an account.

    An address that the provider has not proved is not looked up: the answer would tell anybody
    who has an account here.
    """
    email = _plain_email(person)
    if not email:
        raise Forbidden("sign_in_without_email")
    if person.email_verified and queries.user_by_email(email) is not None:
        raise Conflict("address_has_account")


def register(person: Person, new: NewPerson, address: str) -> Welcome:
    """Make an account without a password that this log-in opens.

    It is confirmed only if the provider has proved the address; else a code is mailed, and the
    answer is the same for an address that has an account. Raises InvalidInput for an invitation
    that does not work, Conflict for a proved address that has an account by now.
    """
    check_may_register(person)
    email = _plain_email(person)
    invite = invites.open_invite(new.invite) if invites.is_needed() else None
    may_mail = limits.is_within(limits.REGISTRATION_MAILS, email)
    limits.is_within(limits.RESEND, email)  # counts this mail, so that the next one waits
    user = service.insert_user(email, passwords.NO_PASSWORD, new, Role.CUSTOMER)
    if user is None:
        return _address_in_use(person, email, may_mail)
    if links.insert_link(user.id, person.issuer, person.subject, email) is None:
        # The same form twice, or in two windows: the first one made the account.
        raise Conflict("sign_in_taken")
    if invite is not None:
        invites.use(invite, user.id)
    after = {"issuer": person.issuer}
    audit.record(
        "accounts.registered_by", "user", user.id, actor_id=user.id, after=after, address=address
    )
    if not person.email_verified:
        return Welcome(None, Attempt(email, service.mail_code(user) if may_mail else None))
    user.confirmed_at = utc_now()
    limits.know_place(email, address)
    service.note_log_in(user, address)
    return Welcome(user, None)


# Connecting -------------------------------------------------------------------------------------


def connect(user_id: int, person: Person, address: str) -> None:
    """Let a log-in elsewhere open this account; a second time changes nothing.

    Raises Conflict when it opens another account.
    """
    second_factor.lock_factors(user_id)
    link_id = links.insert_link(user_id, person.issuer, person.subject, _plain_email(person))
    if link_id is None:
        link = links.owner_of(person.issuer, person.subject)
        if link is None or link.user_id != user_id:
            raise Conflict("sign_in_taken")
        return
    label = links.own_link(user_id, link_id).label
    _note("accounts.sign_in_added", link_id, label, user_id, address)
    send_mail(queries.user_by_id(user_id), "sign_in_added", label=label)


def disconnect(user_id: int, link_id: int, address: str) -> None:
    """Let a log-in elsewhere open this account no more; raise Forbidden for the only way in."""
    second_factor.lock_factors(user_id)
    row = links.row_of(user_id, link_id)
    links.refuse_last_way_in(user_id)
    label = links.label_of(row)
    db.session.delete(row)
    db.session.flush()
    _note("accounts.sign_in_removed", link_id, label, user_id, address)
    send_mail(queries.user_by_id(user_id), "sign_in_removed", label=label)


def usable_name(person: Person) -> str:
    """Return what a provider calls somebody, if a profile here takes it as a name."""
    name = person.name.strip()
    return name if len(name) <= MAX_NAME_LENGTH and is_visible(name) else ""


def _address_in_use(person: Person, email: str, may_mail: bool) -> Welcome:
    if person.email_verified:
        raise Conflict("address_has_account")
    owner = queries.user_by_email(email)
    if owner is not None and may_mail:
        send_mail(owner, "already_registered")
    return Welcome(None, Attempt(email, None))


def _note(action: str, link_id: int, label: str, user_id: int, address: str) -> None:
    after = {"provider": label}
    audit.record(action, "sign_in", link_id, actor_id=user_id, after=after, address=address)


def _errand(state: str, trip: Trip, base: str) -> Errand:
    return Errand(state, trip.nonce, trip.verifier, base + PATH.format(trip.provider))


def _plain_email(person: Person) -> str:
    """Return the address as accounts have it; empty when it can't be one."""
    try:
        return emails.normalise(person.email) if person.email else ""
    except InvalidInput:
        return ""
