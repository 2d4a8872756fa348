"""What plans say when others announce something."""

from app.accounts.deletion.events import PersonErasing, PersonLeaving
from app.events import on
from app.exchanges.events import AccountConnecting
from app.payments.events import (
    InvoiceClosed,
    InvoicePaid,
    PageClosed,
    PaymentFailed,
    PaymentSettled,
)
from app.payments.rules import Purpose
from app.queues import QueueName, enqueue_once
from app.subscriptions import quotas, rights
from app.subscriptions.kept import following
from app.subscriptions.kept import service as kept
from app.subscriptions.promotions import service as promotions
from app.subscriptions.provider import beside, leaving, promos, subscribing
from app.transactions import after_commit

PAY_JOB = "app.subscriptions.kept.jobs.pay_overdue"


@on(AccountConnecting)
def check_account_limit(event: AccountConnecting) -> None:
    """Refuse an exchange account beyond the plan's limit."""
    quotas.check_may_connect(event.user_id)


@on(PersonErasing)
def end_plan_of_leaver(event: PersonErasing) -> None:
    """End the plan of somebody whose account is erased, and what they pay to us for."""
    kept.end_for_leaver(event.user_id)
    rights.end_for_leaver(event.user_id)
    leaving.order_ends(event.user_id)


@on(InvoicePaid)
def begin_what_is_paid(event: InvoicePaid) -> None:
    """Let a period or a change begin that was paid for."""
    following.follow_paid(event.invoice_id)
    promos.follow_paid(event.invoice_id)
    subscribing.give_way_to_kept(event.user_id)


@on(PageClosed)
def give_code_back(event: PageClosed) -> None:
    """Give a promotion code back whose page nobody has used."""
    if event.came_to_nothing:
        promotions.release(event.reference)


@on(InvoiceClosed)
def drop_what_is_not_paid(event: InvoiceClosed) -> None:
    """Let end what nobody is to pay any more."""
    following.follow_closed(event.invoice_id)


@on(PaymentSettled)
def remember_rail(event: PaymentSettled) -> None:
    """Ask for later periods by the rail that paid, and give back what came for nothing."""
    if event.invoice_id is not None:
        following.follow_settled(event.payment_id, event.invoice_id)
        beside.give_back_late(event.payment_id)


@on(PaymentSettled)
def pay_overdue_from_new_money(event: PaymentSettled) -> None:
    """Ask a wallet that was filled for what is overdue; with Redis down the next run does it."""
    if event.purpose == Purpose.TOP_UP:
        user_id = event.user_id
        key = f"pay-overdue-{user_id}"
        after_commit(lambda: enqueue_once(QueueName.PAYMENTS, PAY_JOB, user_id, key=key))


@on(PaymentFailed)
def plan_next_try(event: PaymentFailed) -> None:
    """Plan when the money of a period is asked for again."""
    if event.invoice_id is not None:
        following.follow_failed(event.invoice_id)


@on(PersonLeaving)
def charge_leaver_no_more(event: PersonLeaving) -> None:
    """Let what a provider keeps for somebody who leaves end with what is paid."""
    leaving.order_ends(event.user_id)
