"""The steps of an edge that leads somebody to pay: a row, a call to the rail, a row again.

The call stands between two transactions, so that nothing is locked while somebody else works. If
the answer is lost, the next try sends the same key and finds what was made.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from app.adapters.payments import rail_named
from app.adapters.payments.keeping import CardOrder, CardRail
from app.adapters.payments.port import Created, Order, RailState
from app.config import current_config
from app.errors import Conflict, DomainError, NotFound, Unavailable
from app.payments import checkouts, customers
from app.payments.checkouts import Step, Want
from app.payments.settling import take
from app.transactions import transaction


class Payer(Protocol):
    """Who pays."""

    @property
    def id(self) -> int: ...

    @property
    def email(self) -> str: ...

    @property
    def language(self) -> str: ...


def lead_to_page(
    payer: Payer, rail: str, want: Callable[[], Want], back: str, *, save_method: bool = True
) -> str:
    """Return where somebody can pay what they want; two clicks lead to the same page.

    `back` is the path of ours to which the rail leads who does not pay. Raises Unavailable when
    the rail does not answer, and what the rail refuses.
    """
    known = rail_named(rail)
    step, wanted = prepare(payer, rail, want)
    return make_page(step, lambda: known.create(_order(payer, step, wanted, back, save_method)))


def make_page(step: Step, create: Callable[[], Created]) -> str:
    """Return where a page is, after having it made if it is not yet; refused ones are closed.

    Raises Conflict where something else took its place while it was made.
    """
    if step.url:
        return step.url
    try:
        created = create()
    except DomainError as error:
        if not isinstance(error, Unavailable) or error.values.get("is_kept"):
            # The rail would answer the same order in the same way: the next one needs its own key.
            with transaction():
                checkouts.refuse(step.checkout_id, error.code)
        raise
    with transaction():
        url = checkouts.record(step.checkout_id, created)
    if url is None:
        raise Conflict("page_replaced")
    return url


def charge_saved(payer: Payer, rail: str, want: Callable[[], Want]) -> RailState:
    """Take what somebody wants to pay by what the rail keeps of them; return how it went.

    Raises Conflict if nothing is kept there.
    """
    known = rail_named(rail)
    step, wanted = prepare(payer, rail, lambda: checkouts.as_charge(want()))
    if step.customer_id is None:
        with transaction():
            checkouts.refuse(step.checkout_id, "no_saved_method")
        raise Conflict("no_saved_method")
    try:
        order = _order(payer, step, wanted, "/invoices", save_method=True)
        payment = known.charge(replace(order, not_by=customers.disputed_refs(payer.id, rail)))
    except Unavailable:
        raise
    except DomainError as error:
        with transaction():
            checkouts.refuse(step.checkout_id, error.code)
        raise
    with transaction():
        take(rail, payment)
        if payment.state in {RailState.FAILED, RailState.CANCELED}:
            checkouts.refuse(step.checkout_id, payment.failure or payment.state.value)
    return payment.state


def lead_to_cards(payer: Payer, rail: str, back: str) -> str:
    """Return where somebody says by which card they pay from now on; nothing is charged.

    Raises NotFound for a rail that keeps no card without a payment.
    """
    known = rail_named(rail)
    if not isinstance(known, CardRail):
        raise NotFound("unknown_rail")
    with transaction():
        customer = customers.customer_of(payer.id, rail)
    page = known.card_page(CardOrder(payer.id, payer.email, customer, site_url(back)))
    with transaction():
        customers.remember(payer.id, rail, page.customer_id)
    return page.url


def prepare(payer: Payer, rail: str, want: Callable[[], Want]) -> tuple[Step, Want]:
    """Store the page that is to be made for what somebody wants, or find the open one."""
    with transaction():
        wanted = want()
        return checkouts.prepare(payer.id, rail, wanted), wanted


def success_url(step: Step) -> str:
    """Return where a rail leads who has paid; being led there proves nothing."""
    return site_url(f"/checkouts/{step.checkout_id}")


def site_url(path: str) -> str:
    """Return the whole address of a path of ours."""
    return f"{current_config().base_url}{path}"


def _order(payer: Payer, step: Step, wanted: Want, back: str, save_method: bool) -> Order:
    return Order(
        key=step.reference,
        reference=step.reference,
        user_id=payer.id,
        email=payer.email,
        money=wanted.money,
        description=wanted.description,
        language=payer.language,
        success_url=success_url(step),
        cancel_url=site_url(back),
        customer_id=step.customer_id,
        save_method=save_method,
    )
