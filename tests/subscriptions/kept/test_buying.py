"""A subscription begins: invoice, payment, plan; twice, wrongly, too late, and to try."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select, update

from app.accounts.deletion.events import PersonErasing
from app.accounts.models import User
from app.db import db
from app.errors import Conflict, InvalidInput, NotFound
from app.events import publish
from app.payments import service as payments
from app.payments.models import Checkout, Invoice
from app.payments.rules import RefundTarget
from app.subscriptions import buying, history, queries, rights
from app.subscriptions.buying import Goal, Way
from app.subscriptions.kept import jobs, service
from app.subscriptions.models import KeptSubscription, Plan
from app.subscriptions.periods import LIFETIME, MONTH
from app.subscriptions.promotions import service as promotions
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.terms import Discount, Verb
from app.transactions import transaction
from tests.subscriptions.kept.world import (
    DECLINED,
    Person,
    choice,
    subscribe_at_provider,
    usd,
)


def test_who_chooses_a_plan_gets_an_invoice_and_the_plan_once_it_is_paid(person: Person) -> None:
    invoice_id = person.start()
    assert person.plan() == "free"
    standing = person.standing()
    assert standing is not None
    assert (standing.state, standing.pay_invoice_id) == ("incomplete", invoice_id)
    assert standing.may == {Verb.PAY, Verb.CANCEL}
    (invoice,) = person.invoices()
    line = invoice.lines[0]
    assert (invoice.total, line.subject, line.kind) == (Decimal(29), "plan:pro", "plan")
    assert line.description == "Pro, 1 month"
    person.fill_wallet("40")
    assert person.pay_from_wallet(invoice.id)
    assert person.plan() == "pro"
    standing = person.standing()
    assert standing is not None and standing.period_end is not None
    assert standing.state == "active"
    assert standing.period_end == MONTH.after(person.kept().anchor or person.clock.now)
    assert (standing.next_charge, standing.next_at) == (usd("29"), standing.period_end)
    assert standing.may == {Verb.CHANGE, Verb.CANCEL}
    told = [change.what for change in history.history_of(person.id)]
    assert told == ["paid", "ordered"]


def test_a_card_of_the_demonstration_pays_and_is_kept_for_later(person: Person) -> None:
    person.subscribe(rail="demo")
    assert (person.state(), person.plan()) == ("active", "pro")
    assert person.kept().rail == "demo"


def test_a_declined_card_leaves_the_plan_and_the_invoice_as_they_are(person: Person) -> None:
    invoice_id = person.start(rail="demo")
    assert invoice_id is not None
    person.pay_by_card(invoice_id, DECLINED)
    standing = person.standing()
    assert standing is not None
    assert (standing.state, standing.failure) == ("incomplete", "card_declined")
    assert (person.plan(), person.mails()) == ("free", [])
    person.pay_by_card(invoice_id)
    assert (person.state(), person.plan()) == ("active", "pro")


def test_two_clicks_make_one_subscription_and_one_invoice(person: Person) -> None:
    first = person.start(key="form-1")
    assert person.start(key="form-1") == first
    assert person.start(key="form-2") == first, "the same choice in another window"
    assert db.session.scalar(select(func.count(Invoice.id))) == 1


def test_a_key_of_somebody_else_is_refused(person: Person) -> None:
    person.start(key="form-1")
    other = Person(person.clock)
    with pytest.raises(Conflict, match="subscription_moved"):
        other.start(key="form-1")
    for key in ("", "x" * 101, "a\x00"):
        with pytest.raises(InvalidInput, match="bad_subscription_key"), transaction():
            service.start(other.id, choice(), "wallet", key)


def test_another_choice_before_payment_takes_the_place_of_the_first(person: Person) -> None:
    first, second = person.start(), person.start(choice("premium"))
    assert first != second
    states = {invoice.id: invoice.state for invoice in person.invoices()}
    assert (states[first or 0], states[second or 0]) == ("void", "open")
    person.fill_wallet("100")
    with pytest.raises(Conflict, match="invoice_not_open"):
        person.pay_from_wallet(first or 0)
    person.pay_from_wallet(second or 0)
    assert person.plan() == "premium"


def test_nobody_has_two_subscriptions(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe()
    with pytest.raises(Conflict, match="subscription_exists"):
        person.start(choice("premium"))
    other = Person(person.clock)
    subscribe_at_provider(other, "past_due")
    with pytest.raises(Conflict, match="subscription_exists"):
        other.start()


def test_money_for_an_order_beside_one_of_a_provider_goes_to_the_wallet(person: Person) -> None:
    invoice_id = person.start() or 0
    subscribe_at_provider(person)
    person.fill_wallet("29")
    person.pay_from_wallet(invoice_id)
    assert (person.wallet(), person.state()) == (Decimal(29), "none")


def test_a_trial_here_takes_back_the_page_of_a_provider_for_another_one(person: Person) -> None:
    with transaction():
        db.session.execute(update(Plan).where(Plan.code == "pro").values(trial_days=7))
        db.session.add(
            Checkout(
                user_id=person.id, purpose="subscription", subject="subscription", rail="stripe",
                amount=Decimal(29), currency="USD", expires_at=person.clock.now + timedelta(days=1),
            )
        )  # fmt: skip
    with transaction():
        user = db.session.get_one(User, person.id)
        db.session.expunge(user)
    assert buying.begin(user, choice(), "wallet", "form-1") == Way(Goal.PLAN)
    db.session.rollback()
    assert person.state() == "trialing"
    assert db.session.scalar(select(Checkout.state)) == "expired"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (choice("free"), "not_sold"),
        (choice("gold"), "not_sold"),
        (choice("g\x00ld"), "not_sold"),
        (choice("pro", LIFETIME), "not_sold"),
        (choice(None), "nothing_chosen"),
        (choice("extra_bot"), "unknown_plan"),
        (choice("pro", pro=1), "unknown_plan"),
        (choice("pro", extra_bot=0), "bad_addon_count"),
        (choice("pro", extra_bot=101), "bad_addon_count"),
        (choice(None, LIFETIME, extra_bot=1), "not_sold"),
    ],
)
def test_what_is_not_sold_is_refused(person: Person, wanted: object, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        person.start(wanted)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=code):
        service.quote(person.id, wanted)  # type: ignore[arg-type]
    assert person.invoices() == []


def test_bots_are_rented_beside_a_plan_and_without_one(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe(choice(None, extra_bot=2))
    limits = queries.limits_of(person.id)
    assert (limits.plan, limits.max_bots, limits.max_live_bots) == ("free", 5, 2)
    (invoice,) = person.invoices()
    line = invoice.lines[0]
    assert (invoice.total, line.kind, line.quantity) == (Decimal(10), "bot", 2)
    assert (line.subject, line.description) == ("addon:extra_bot", "Extra bot × 2, 1 month")
    other = Person(person.clock)
    other.fill_wallet("100")
    other.subscribe(choice("pro", extra_bot=1))
    assert queries.limits_of(other.id).max_live_bots == 11


def test_an_invoice_that_nobody_pays_in_a_day_is_taken_back(person: Person) -> None:
    invoice_id = person.start()
    person.clock.pass_(hours=23)
    person.run()
    assert person.state() == "incomplete"
    person.clock.pass_(hours=2)
    person.run()
    person.run()
    assert person.state() == "none"
    assert [one.state for one in person.invoices()] == ["void"]
    assert person.start() not in {invoice_id, None}, "and may be ordered anew"


def test_staff_take_a_first_invoice_back_and_the_order_ends(person: Person) -> None:
    invoice_id = person.start()
    with transaction():
        payments.void_invoice(0, invoice_id or 0, "a mistake")
    assert person.state() == "none"


def test_a_canceled_order_ends_at_once_and_its_invoice_is_void(person: Person) -> None:
    person.start()
    person.cancel()
    assert person.state() == "none"
    assert [one.state for one in person.invoices()] == ["void"]
    with pytest.raises(NotFound, match="no_subscription"):
        person.cancel()


@pytest.mark.long
def test_who_leaves_owes_nothing_and_has_nothing(person: Person) -> None:
    person.fill_wallet("29")
    person.subscribe()
    person.live_on(days=25)
    assert [one.state for one in person.invoices()] == ["paid", "open"]
    with transaction():
        publish(PersonErasing(person.id))
    assert [one.state for one in person.invoices()] == ["paid", "void"]
    assert (person.state(), person.plan()) == ("none", "free")
    other = Person(person.clock)
    other.start()
    with transaction():
        publish(PersonErasing(other.id))
    assert [one.state for one in other.invoices()] == ["void"]


def test_a_refund_by_staff_is_no_cancellation(person: Person) -> None:
    """C38: money that goes back does not end a subscription by itself."""
    person.fill_wallet("29")
    person.subscribe()
    (payment,) = person.payments()
    with transaction():
        payments.refund(0, "form", payment.id, payment.amount, RefundTarget.WALLET, "as asked")
    assert person.wallet() == Decimal(29)
    assert (person.state(), person.plan()) == ("active", "pro")


def test_what_staff_gave_stays_beside_a_smaller_paid_plan(person: Person) -> None:
    with transaction():
        rights.give_plan(None, person.id, "premium", None, "a gift")
    person.fill_wallet("29")
    person.subscribe()
    assert (person.plan(), person.state()) == ("premium", "active")
    with transaction():
        rights.end_plan(None, person.id, "no gift any more")
    assert person.plan() == "pro"


def test_bil11_a_message_sent_twice_makes_one_subscription_and_one_invoice(
    person: Person,
) -> None:
    jobs.subscribe(person.id, "pro", "month", "bus-1")
    jobs.subscribe(person.id, "pro", "month", "bus-1")
    (invoice,) = person.invoices()
    assert (invoice.state, person.state()) == ("open", "incomplete")
    assert person.mails() == ["invoice_issued"]
    person.fill_wallet("29")
    person.pay_from_wallet(invoice.id)
    jobs.subscribe(person.id, "pro", "month", "bus-1")
    assert len(person.invoices()) == 1
    assert db.session.scalar(select(func.count(KeptSubscription.id))) == 1


def test_bil22_after_payment_the_profile_is_pro(person: Person) -> None:
    person.subscribe(rail="demo")
    summary = queries.plan_summary(person.id)
    assert (summary.name, summary.is_free, summary.until) == ("Pro", False, None)
    assert queries.limits_of(person.id).max_live_bots == 10


def test_a_quote_says_what_is_to_be_paid_and_when_again(person: Person) -> None:
    quote = service.quote(person.id, choice("pro", extra_bot=2))
    assert quote.due_now == quote.next_charge == usd("39")
    assert [line.description for line in quote.lines] == [
        "Pro, 1 month",
        "Extra bot × 2, 1 month",
    ]
    assert quote.next_at == MONTH.after(quote.takes_effect)


def test_what_costs_nothing_begins_at_once(person: Person) -> None:
    with transaction():
        promotions.make(None, Terms(Discount("ALL", percent=Decimal(100))))
        free = replace(choice(), promo="all")
        assert service.start(person.id, free, "wallet", "k") is None
    assert (person.state(), person.plan()) == ("active", "pro")
    assert [one.state for one in person.invoices()] == ["paid"]
