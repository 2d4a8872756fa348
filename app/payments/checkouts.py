"""Pages of a rail to pay on: at most one open for each thing, however often somebody clicks.

The row comes first and its id makes the key at the rail, so that a call whose answer was lost is
sent again and makes nothing twice.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert

from app.accounts.locks import lock_person
from app.accounts.queries import is_gone
from app.adapters.payments.port import Created
from app.db import db, utc_now
from app.errors import Conflict, NotFound
from app.events import publish
from app.money import Money
from app.payments import customers, invoices
from app.payments.events import PageClosed
from app.payments.models import Checkout, Invoice
from app.payments.rules import PAYABLE, CheckoutState, InvoiceState, Purpose
from app.queues import QueueName, enqueue_once
from app.transactions import after_commit

# Until the rail has said how long its page works.
PROVISIONAL = timedelta(hours=1)
# A charge whose answer was lost is asked for again under the same key, however long that takes:
# under another one the money would be taken twice.
CHARGE_LASTS = timedelta(days=30)
# A page that was made just now is looked at again and again; later only its end is.
FRESH = timedelta(minutes=15)
BATCH = 50
CLOSE_JOB = "app.payments.jobs.close_page"
# How our words for pages begin.
PREFIX = "checkout:"


@dataclass(frozen=True, slots=True)
class Want:
    """What somebody wants to pay: `subject` tells apart what may be paid for side by side."""

    purpose: Purpose
    money: Money
    description: str
    subject: str = ""
    invoice_id: int | None = None
    content: Mapping[str, Any] | None = None
    lasts: timedelta = PROVISIONAL


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done next: go to `url`, or have the rail make the page of `checkout_id`."""

    checkout_id: int
    customer_id: str | None
    url: str | None

    @property
    def reference(self) -> str:
        """Return our word for the page, which is its key at the rail too."""
        return reference_of(self.checkout_id)


def reference_of(checkout_id: int) -> str:
    """Return our word for a page."""
    return f"{PREFIX}{checkout_id}"


def want_invoice(user_id: int, invoice_id: int) -> Want:
    """Return what paying a person's own open invoice takes, under its lock."""
    invoice = own_invoice(user_id, invoice_id)
    if invoice.state not in PAYABLE:
        raise Conflict("invoice_not_open", state=invoice.state)
    if invoice.external_id is not None:
        # Paid here, its provider would go on asking for the money.
        raise Conflict("invoice_at_provider")
    return Want(
        purpose=Purpose.INVOICE,
        money=Money(invoice.total, invoice.currency),
        description=invoice.number or "",
        subject=f"invoice:{invoice.id}",
        invoice_id=invoice.id,
    )


def as_charge(want: Want) -> Want:
    """Return what is wanted as a charge without a page: no page for the same takes its place."""
    return dataclasses.replace(want, subject=f"charge:{want.subject}", lasts=CHARGE_LASTS)


def own_invoice(user_id: int, invoice_id: int) -> Invoice:
    """Return a person's own issued invoice under its lock; raise NotFound for any other."""
    invoice = invoices.lock(invoice_id)
    if invoice.user_id != user_id or invoice.state == InvoiceState.DRAFT:
        raise NotFound("unknown_invoice")
    return invoice


def prepare(user_id: int, rail: str, want: Want) -> Step:
    """Store the page that is to be made, or find the open one of the same rail and amount.

    Raises Conflict for who is being erased: nobody would take the page back.
    """
    lock_person(user_id)
    if is_gone(user_id):
        raise Conflict("account_is_leaving")
    checkout = _open_one(user_id, want)
    if checkout is not None and not _fits(checkout, rail, want):
        replace(checkout)
        checkout = None
    if checkout is None:
        checkout = _store(user_id, rail, want)
    customer = customers.customer_of(user_id, rail)
    return Step(checkout.id, customer, checkout.url)


def record(checkout_id: int, created: Created) -> str | None:
    """Note the page that a rail has made, and return where it is.

    None if nobody needs it any more: it was made too late and is taken back at its rail.
    """
    checkout = lock(checkout_id)
    checkout.external_id, checkout.url = created.external_id, created.url
    checkout.expires_at = created.expires_at
    if created.customer_id:
        customers.remember(checkout.user_id, checkout.rail, created.customer_id)
    if checkout.state == CheckoutState.EXPIRED:
        _have_closed(checkout_id)
        return None
    return created.url


def refuse(checkout_id: int, code: str) -> None:
    """Note that a rail will not make the page."""
    checkout = lock(checkout_id)
    checkout.failure = code
    close(checkout, CheckoutState.FAILED)


def close(checkout: Checkout, state: CheckoutState) -> None:
    """End a page; nobody is led to it any more."""
    checkout.state, checkout.closed_at = state.value, utc_now()
    db.session.flush()
    is_nothing = state is not CheckoutState.COMPLETED
    publish(PageClosed(reference_of(checkout.id), checkout.user_id, is_nothing))


def replace(checkout: Checkout) -> None:
    """End a page that nobody needs any more, here and, after the commit, at its rail."""
    close(checkout, CheckoutState.EXPIRED)
    db.session.flush()
    if checkout.external_id:
        _have_closed(checkout.id)


def _have_closed(checkout_id: int) -> None:
    after_commit(
        lambda: enqueue_once(
            QueueName.PAYMENTS, CLOSE_JOB, checkout_id, key=f"close-page-{checkout_id}"
        )
    )


def page_of(checkout_id: int) -> tuple[str, str]:
    """Return the rail of a page and its id there; raise NotFound where the rail has made none."""
    checkout = db.session.get(Checkout, checkout_id)
    if checkout is None or checkout.external_id is None:
        raise NotFound("unknown_checkout")
    return checkout.rail, checkout.external_id


def find(rail: str, external_id: str | None, reference: str) -> Checkout | None:
    """Return the page that a rail speaks of, by its id there or by our own word."""
    known = [Checkout.external_id == external_id] if external_id else []
    number = reference.removeprefix(PREFIX)
    if reference.startswith(PREFIX) and number.isdecimal() and len(number) <= len(str(2**62)):
        known.append(Checkout.id == int(number))
    if not known:
        return None
    return db.session.scalar(
        select(Checkout).where(Checkout.rail == rail, or_(*known)).order_by(Checkout.id).limit(1)
    )


def to_look_at(now: datetime) -> list[tuple[str, str]]:
    """Return open pages (rail, id there) that are young or over: their callbacks may be lost."""
    rows = db.session.execute(
        select(Checkout.rail, Checkout.external_id)
        .where(
            Checkout.state == CheckoutState.OPEN.value,
            Checkout.external_id.is_not(None),
            or_(Checkout.created_at > now - FRESH, Checkout.expires_at < now),
        )
        .order_by(Checkout.expires_at)
        .limit(BATCH)
    )
    return [(rail, str(external_id)) for rail, external_id in rows]


def expire_unmade(now: datetime) -> None:
    """Close pages that no rail has ever made."""
    for checkout in db.session.scalars(
        select(Checkout)
        .where(
            Checkout.state == CheckoutState.OPEN.value,
            Checkout.external_id.is_(None),
            Checkout.expires_at < now,
        )
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ):
        close(checkout, CheckoutState.EXPIRED)


def _open_one(user_id: int, want: Want) -> Checkout | None:
    return db.session.scalar(
        select(Checkout)
        .where(
            Checkout.user_id == user_id,
            Checkout.purpose == want.purpose.value,
            Checkout.subject == want.subject,
            Checkout.state == CheckoutState.OPEN.value,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _fits(checkout: Checkout, rail: str, want: Want) -> bool:
    same = (checkout.rail, checkout.amount, checkout.currency) == (
        rail,
        want.money.amount,
        want.money.currency,
    )
    same_content = checkout.content == (dict(want.content) if want.content is not None else None)
    return same and same_content and checkout.expires_at > utc_now()


def _store(user_id: int, rail: str, want: Want) -> Checkout:
    made = db.session.scalar(
        insert(Checkout)
        .values(
            user_id=user_id,
            purpose=want.purpose.value,
            subject=want.subject,
            invoice_id=want.invoice_id,
            rail=rail,
            amount=want.money.amount,
            currency=want.money.currency,
            content=dict(want.content) if want.content is not None else None,
            expires_at=utc_now() + want.lasts,
        )
        .on_conflict_do_nothing()
        .returning(Checkout.id)
    )
    if made is None:
        # Somebody else has stored one just now: two clicks at once lead to one page.
        found = _open_one(user_id, want)
        if found is None or not _fits(found, rail, want):
            raise Conflict("checkout_taken")
        return found
    return lock(made)


def lock(checkout_id: int) -> Checkout:
    """Return a page under its row's lock, and its owner's."""
    lock_person(db.session.get_one(Checkout, checkout_id).user_id)
    return db.session.get_one(Checkout, checkout_id, with_for_update=True, populate_existing=True)
