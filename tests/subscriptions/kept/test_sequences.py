"""Whatever a customer, their bank, staff and time do, in any order, the books and rights agree."""

import contextlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.db import db
from app.errors import DomainError
from app.payments import service as payments
from app.payments.models import Payment
from app.payments.rules import RefundTarget
from app.subscriptions import queries
from app.subscriptions.kept.rules import InvoiceKind, Reason
from app.subscriptions.models import KeptState, KeptSubscription
from app.subscriptions.periods import YEAR
from app.subscriptions.terms import Choice
from app.transactions import transaction
from tests.examples import tried
from tests.subscriptions.kept.world import DECLINED, PAYS, Person, choice

GRACE = timedelta(days=14)
CHOICES = (
    choice("pro"),
    choice("premium"),
    choice("pro", extra_bot=1),
    choice(None, extra_bot=2),
    choice("pro", YEAR),
)

Step = Callable[[Person], None]


def start(wanted: Choice, rail: str) -> Step:
    def step(person: Person) -> None:
        person.start(wanted, rail)

    return step


def change(wanted: Choice) -> Step:
    def step(person: Person) -> None:
        person.change(wanted)

    return step


def live(days: int) -> Step:
    def step(person: Person) -> None:
        person.live_on(days=days)

    return step


def pay(person: Person) -> None:
    """Pay what is open from a wallet that has enough, or had enough."""
    standing = person.standing()
    if standing is not None and standing.pay_invoice_id is not None:
        person.pay_from_wallet(standing.pay_invoice_id)


def pay_by_card(person: Person) -> None:
    standing = person.standing()
    if standing is not None and standing.pay_invoice_id is not None:
        person.pay_by_card(standing.pay_invoice_id)


def top_up(person: Person) -> None:
    person.fill_wallet("60")


def decline(person: Person) -> None:
    person.change_card(DECLINED)


def accept(person: Person) -> None:
    person.change_card(PAYS)


def cancel(person: Person) -> None:
    person.cancel()


def undo(person: Person) -> None:
    person.undo()


def refund(person: Person) -> None:
    """Let staff give the last payment back."""
    paid = [one for one in person.payments() if one.state == "succeeded"]
    if paid:
        key, amount = f"{person.id}-{len(paid)}", paid[-1].amount
        with transaction():
            payments.refund(0, key, paid[-1].id, amount, RefundTarget.WALLET, "as asked")


STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(start, st.sampled_from(CHOICES), st.sampled_from(["wallet", "demo"])),
    st.builds(change, st.sampled_from(CHOICES)),
    st.builds(live, st.sampled_from([1, 5, 12, 25])),
    st.sampled_from([pay, pay_by_card, top_up, decline, accept, cancel, undo, refund]),
)


def check(person: Person) -> None:
    """Hold what must always be true of one person's subscriptions."""
    db.session.rollback()
    rows = db.session.scalars(
        select(KeptSubscription).where(KeptSubscription.user_id == person.id)
    ).all()
    alive = [kept for kept in rows if kept.state != KeptState.ENDED]
    assert len(alive) <= 1
    _check_invoices(person, list(rows))
    _check_money(person)
    _check_access(person, alive)


def _check_invoices(person: Person, rows: list[KeptSubscription]) -> None:
    invoices = person.invoices()
    waiting = Counter(one.kept_id for one in invoices if one.state == "open")
    assert not waiting or max(waiting.values()) == 1
    reasons = [Reason.parse(one.key) for one in invoices if one.state == "paid"]
    periods = Counter(
        (one.kept_id, one.number) for one in reasons if one and one.kind is InvoiceKind.PERIOD
    )
    assert not periods or max(periods.values()) == 1, "a period was paid twice"
    for kept in rows:
        assert sorted(number for owner, number in periods if owner == kept.id) == list(
            range(1, kept.number + 1)
        )


def _check_money(person: Person) -> None:
    paid: Counter[int] = Counter()
    for one in db.session.scalars(select(Payment).where(Payment.user_id == person.id)):
        if one.state == "succeeded" and one.surplus != one.amount:
            paid[one.invoice_id or 0] += 1
            assert one.amount - one.surplus == next(
                invoice.total for invoice in person.invoices() if invoice.id == one.invoice_id
            )
    for invoice in person.invoices():
        assert paid[invoice.id] == (invoice.state == "paid" and invoice.total > 0)
    assert person.wallet() >= Decimal(0)


def _check_access(person: Person, alive: list[KeptSubscription]) -> None:
    now, wanted = person.clock.now, "free"
    for kept in alive:
        end = kept.period_end
        lasts = end is not None and (
            end > now
            or (kept.state == KeptState.PAST_DUE and end + GRACE > now)
            or (kept.state == KeptState.ACTIVE and not kept.cancel_at_period_end)
        )
        standing = person.standing()
        if standing and kept.state != KeptState.INCOMPLETE and lasts:
            wanted = standing.plan_code or "free"
    assert queries.limits_of(person.id).plan == wanted


@settings(
    tried(3),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=4, max_size=12))
def test_books_and_rights_agree_after_every_step(person: Person, steps: list[Step]) -> None:
    somebody = Person(person.clock)
    somebody.fill_wallet("120")
    for step in [start(CHOICES[0], "wallet"), pay, *steps]:
        with contextlib.suppress(DomainError):
            step(somebody)
        check(somebody)
        somebody.run()
        check(somebody)
