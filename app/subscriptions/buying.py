"""The way from a choice to paying for it: who keeps the subscription, and where its buyer goes on.

The steps of an edge: what asks a rail stands between two transactions, as in `payments.paying`.
"""

from dataclasses import dataclass
from enum import StrEnum

from app.adapters.payments.port import RailState
from app.errors import Conflict, InvalidInput
from app.money import Money
from app.payments import checkouts, paying, wallet_rail
from app.payments import queries as payments
from app.payments.paying import Payer
from app.subscriptions.kept import queries as kept_queries
from app.subscriptions.kept import service as kept
from app.subscriptions.kept import ways
from app.subscriptions.provider import service as provider
from app.subscriptions.provider import subscribing
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import Choice, Preview, Source, Standing
from app.transactions import transaction
from app.wallet import queries as wallet

WALLET = "wallet"
# Who sells a plan on its own page keeps the subscription too; what is paid once is ours to keep.
KEEPING = frozenset({"stripe"})
INCOMPLETE = "incomplete"
# Of two subscriptions the one that gives something comes first.
_WORTH = ("active", "trialing", "past_due", "paused", "unpaid", INCOMPLETE)


class Goal(StrEnum):
    """Where a buyer goes on: to their plan, to an invoice, to another site, or to change."""

    PLAN = "plan"
    INVOICE = "invoice"
    ELSEWHERE = "elsewhere"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Way:
    """Where a buyer goes on, and a word that tells them why."""

    goal: Goal
    invoice_id: int | None = None
    url: str = ""
    why: str = ""


def ways_to_pay() -> tuple[str, ...]:
    """Return by which rails a plan can be paid for here; the wallet always is one."""
    return (*payments.offered_rails(), WALLET)


def in_wallet(user_id: int) -> Money:
    """Return what somebody's wallet holds in the currency of the prices."""
    return Money(wallet.available(user_id, CURRENCY), CURRENCY)


def standing(user_id: int) -> Standing | None:
    """Return the subscription that somebody has or has ordered, whoever keeps it."""
    found = [one for one in (provider.standing(user_id), kept_queries.standing(user_id)) if one]
    return min(found, key=_rank) if found else None


def begin(person: Payer, choice: Choice, rail: str, key: str) -> Way:
    """Order a plan and lead to where it is paid; the same key leads to the same order.

    An order that is not paid yet gives way to another choice. Who has a subscription is led to
    changing that one, and who owes something for it to paying that first.
    """
    if rail not in ways_to_pay():
        raise InvalidInput("unknown_rail", field="rail")
    present = standing(person.id)
    if present is not None and not may_be_replaced(present):
        return _way_to(present, person)
    if rail in KEEPING and not choice.period.is_endless:
        subscribing.check_code(person.id, choice)
        if present is not None:
            with transaction():
                kept.withdraw(person.id)
        return Way(Goal.ELSEWHERE, url=provider.start(person, choice, "/subscriptions"))
    with transaction():
        invoice_id = kept.start(person.id, choice, rail, key)
        # What is ordered here is not to be begun on the page of a provider too.
        subscribing.give_way_to_kept(person.id)
    return Way(Goal.PLAN) if invoice_id is None else pay(person, invoice_id, rail)


def may_be_replaced(present: Standing) -> bool:
    """Tell whether this is an order of ours that nobody has paid: another may take its place."""
    return present.source is Source.KEPT and present.state == INCOMPLETE


def quote(user_id: int, choice: Choice, rail: str) -> Preview:
    """Return what a choice costs somebody who has no subscription and pays by a rail."""
    if rail in KEEPING and not choice.period.is_endless:
        subscribing.check_code(user_id, choice)
    return kept.quote(user_id, choice)


def preview_change(user_id: int, choice: Choice) -> Preview:
    """Return what another choice means for a running subscription."""
    if _running(user_id).source is Source.PROVIDER:
        return provider.preview_change(user_id, choice)
    return kept.preview_change(user_id, choice)


def change(person: Payer, choice: Choice, token: str) -> Way:
    """Change a running subscription to what was shown, and take what is due now."""
    present = _running(person.id)
    if present.source is Source.PROVIDER:
        url = provider.change(person.id, choice, token)
        return Way(Goal.ELSEWHERE, url=url) if url else Way(Goal.PLAN)
    with transaction():
        invoice_id = kept.change(person.id, choice, token)
    return Way(Goal.PLAN) if invoice_id is None else _take(person, invoice_id, present.rail)


def cancel(user_id: int) -> None:
    """Let a subscription end with its period; an order that is not paid ends at once."""
    present = _present(user_id)
    if present.source is Source.PROVIDER:
        provider.cancel(user_id)
        return
    with transaction():
        if may_be_replaced(present):
            kept.withdraw(user_id, cause="asked")
        else:
            kept.cancel(user_id)


def undo_cancel(user_id: int) -> None:
    """Let a cancelled subscription go on."""
    if _present(user_id).source is Source.PROVIDER:
        provider.undo_cancel(user_id)
        return
    with transaction():
        kept.undo_cancel(user_id)


def pay_by(user_id: int, rail: str) -> None:
    """Let later periods of a subscription that we keep be paid by another way."""
    with transaction():
        ways.pay_by(user_id, rail, actor_id=user_id)


def take_way_back(user_id: int) -> None:
    """Let later periods be paid as before the last change, while nothing was taken since."""
    with transaction():
        ways.take_back(user_id, actor_id=user_id)


def pause(user_id: int) -> None:
    """Stop the charges of a subscription for a while, where its keeper can."""
    _at_provider(user_id)
    provider.pause(user_id)


def resume(user_id: int) -> None:
    """Let a paused subscription go on."""
    _at_provider(user_id)
    provider.resume(user_id)


def portal_url(person: Payer, back: str) -> str:
    """Return the address of the provider's page for a person's cards; never kept or shown."""
    _at_provider(person.id)
    return provider.portal_url(person, back)


def pay(person: Payer, invoice_id: int, rail: str) -> Way:
    """Pay an own invoice from the wallet, or lead to the page of a rail for it."""
    if rail == WALLET:
        with transaction():
            wallet_rail.pay_invoice(person.id, invoice_id)
        return Way(Goal.PLAN)
    url = paying.lead_to_page(
        person,
        rail,
        lambda: checkouts.want_invoice(person.id, invoice_id),
        f"/invoices/{invoice_id}",
    )
    return Way(Goal.ELSEWHERE, url=url)


def _take(person: Payer, invoice_id: int, rail: str) -> Way:
    """Take what a change costs the way the subscription is paid, or lead to where it can be."""
    if rail not in {one.rail for one in payments.saved_methods(person.id)}:
        return pay(person, invoice_id, rail)
    state = paying.charge_saved(person, rail, lambda: checkouts.want_invoice(person.id, invoice_id))
    if state is RailState.SUCCEEDED:
        return Way(Goal.PLAN)
    return Way(Goal.INVOICE, invoice_id=invoice_id)


def _present(user_id: int) -> Standing:
    found = standing(user_id)
    if found is None:
        raise Conflict("no_subscription")
    return found


def _at_provider(user_id: int) -> None:
    if _present(user_id).source is not Source.PROVIDER:
        raise Conflict("not_at_provider")


def _running(user_id: int) -> Standing:
    found = _present(user_id)
    if found.state == INCOMPLETE:
        raise Conflict("subscription_not_paid")
    return found


def _rank(one: Standing) -> int:
    return _WORTH.index(one.state) if one.state in _WORTH else len(_WORTH)


def _way_to(present: Standing, person: Payer) -> Way:
    """Lead to what is there already: to pay it, or to change it."""
    if present.state != INCOMPLETE and not present.is_past_due:
        return Way(Goal.CHANGE)
    if present.pay_invoice_id is not None:
        return Way(Goal.INVOICE, invoice_id=present.pay_invoice_id, why="pay_this_first")
    if present.pay_url:
        return Way(Goal.ELSEWHERE, url=present.pay_url)
    if present.has_portal:
        return Way(Goal.ELSEWHERE, url=provider.portal_url(person, "/subscriptions"))
    return Way(Goal.PLAN, why="pay_this_first")
