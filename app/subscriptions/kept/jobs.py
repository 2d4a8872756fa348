"""Queue entry points: what time brings about, charges of what is kept, and orders of others.

Each run does what is due now, in small transactions: it may run twice, be missed, or die between
any two lines, and the next one goes on where it stopped.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from app.db import utc_now
from app.errors import Conflict, DomainError, Unavailable
from app.payments import checkouts, paying, wallet_rail
from app.payments.checkouts import Want
from app.subscriptions.kept import charges, reminders, renewing, service
from app.subscriptions.kept.charges import Charge
from app.subscriptions.periods import Period
from app.subscriptions.terms import Choice
from app.transactions import transaction
from app.wallet.service import WALLET

log = logging.getLogger(__name__)

T = TypeVar("T")


def renew_due() -> None:
    """Take the money that is due, open the invoices of coming periods, and end what is over."""
    # First the money: who pays in time is never overdue, not even for a moment.
    _ask_again()
    _charge_due()
    _each(_due_subscriptions(), renewing.tend)
    # What was opened late, after a run that was missed, is due at once.
    _charge_due()


def pay_overdue(user_id: int) -> None:
    """Pay what somebody owes as soon as their wallet has it; again: nothing."""
    for invoice_id in _ask_again(user_id):
        _charge(invoice_id)


def remind() -> None:
    """Send the reminders whose time has come, each once."""
    with transaction():
        now = utc_now()
        invoices, trials = reminders.due_invoices(now), reminders.due_trials(now)
    _each(invoices, reminders.remind_of_invoice)
    _each(trials, reminders.remind_of_trial)


def subscribe(user_id: int, plan: str, period: str, key: str) -> None:
    """Take out a subscription for somebody; the same message again changes nothing.

    The owner gets a mail with the invoice and pays it however they like.
    """
    with transaction():
        choice = Choice(plan, Period.parse(period))
        service.start(user_id, choice, WALLET, f"job:{key}", notify=True)


def _due_subscriptions() -> list[int]:
    with transaction():
        return renewing.due_ids(utc_now())


def _ask_again(user_id: int | None = None) -> list[int]:
    """Let the money be asked for at once that a wallet has by now; return whose invoices it is."""
    with transaction():
        found = charges.payable_again(utc_now(), user_id)
    _each(found, charges.ask_again)
    return found


def _charge_due() -> None:
    with transaction():
        due = charges.due_invoices(utc_now())
    for invoice_id in due:
        try:
            _charge(invoice_id)
        except Exception as error:
            log.exception("charge_failed invoice=%s error=%s", invoice_id, type(error).__name__)


def _charge(invoice_id: int) -> None:
    with transaction():
        charge = charges.charge_of(invoice_id, utc_now())
    if charge is None:
        return
    failure = _take(charge)
    if failure is not None:
        with transaction():
            charges.plan_next_try(invoice_id, failure)


def _take(charge: Charge) -> str | None:
    """Ask for the money; return why it was a try in vain, "" for none at all, None to ask again."""

    def want() -> Want:
        return checkouts.want_invoice(charge.id, charge.invoice_id)

    try:
        if charge.rail == WALLET:
            with transaction():
                wallet_rail.pay_invoice(charge.id, charge.invoice_id)
        elif charge.is_saved:
            # A refusal is noted, and the next try planned, together with the payment that failed.
            paying.charge_saved(charge, charge.rail, want)
    except Unavailable as error:
        log.warning("rail_away invoice=%s error=%s", charge.invoice_id, error.code)
        return None
    except DomainError as error:
        return error.code if isinstance(error, Conflict) else ""
    return ""


def _each(ids: Sequence[T], work: Callable[[T], None]) -> None:
    """Do the same for each in a transaction of its own; one that fails stops no other."""
    for one in ids:
        try:
            with transaction():
                work(one)
        except Exception as error:
            log.exception("not_tended about=%s error=%s", one, type(error).__name__)
