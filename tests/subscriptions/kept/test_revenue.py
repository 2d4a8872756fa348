"""What subscriptions that we keep come to a month, as the desk counts it from their invoices."""

from datetime import timedelta
from decimal import Decimal

from app.subscriptions.revenue.recurring import Paying, recurring
from app.subscriptions.revenue.report import recurring_report
from app.subscriptions.revenue.spans import Span
from tests.subscriptions.kept.world import Person, choice


def paying(person: Person) -> Paying:
    now = person.clock.now
    return recurring("USD", [now], now).at[now]


def test_a_subscription_counts_from_its_payment_to_the_end_of_what_is_paid(person: Person) -> None:
    person.fill_wallet("100")
    invoice_id = person.start(choice("pro", extra_bot=2))
    assert paying(person) == Paying()
    assert invoice_id is not None
    start = person.clock.now - timedelta(minutes=1)
    person.pay_from_wallet(invoice_id)
    person.clock.pass_(minutes=1)
    assert paying(person).monthly == {person.id: Decimal(39)}
    person.cancel()
    end = person.kept().period_end
    assert end is not None
    person.clock.reach(end - timedelta(minutes=1))
    assert paying(person).monthly == {person.id: Decimal(39)}
    person.live_on(hours=4)
    assert paying(person) == Paying()
    moved = recurring_report("USD", Span(start, person.clock.now, person.clock.now)).whole
    assert (moved.new, moved.churned) == (Decimal(0), Decimal(0))


def test_a_larger_plan_counts_once_its_difference_is_paid(person: Person) -> None:
    person.fill_wallet("200")
    person.subscribe()
    person.clock.pass_(days=10)
    invoice_id = person.change(choice("premium"))
    assert invoice_id is not None
    assert paying(person).monthly == {person.id: Decimal(29)}
    person.pay_from_wallet(invoice_id)
    person.clock.pass_(minutes=1)
    # Cents of the parts come to a few cents of the whole.
    assert abs(paying(person).monthly[person.id] - 79) < Decimal("0.05")
    person.live_on(days=25)
    assert paying(person).monthly == {person.id: Decimal(79)}


def test_a_bot_that_is_rented_within_a_period_counts_in_full(person: Person) -> None:
    person.fill_wallet("200")
    person.subscribe()
    person.clock.pass_(days=20)
    invoice_id = person.change(choice("pro", extra_bot=1))
    assert invoice_id is not None
    person.pay_from_wallet(invoice_id)
    person.clock.pass_(minutes=1)
    assert abs(paying(person).monthly[person.id] - 34) < Decimal("0.05")


def test_a_renewal_that_nobody_pays_is_at_risk_and_then_lost(person: Person) -> None:
    person.fill_wallet("30")
    person.subscribe()
    end = person.kept().period_end
    assert end is not None
    person.live_on(seconds=(end - person.clock.now + timedelta(days=2)).total_seconds())
    assert paying(person) == Paying({person.id: Decimal(29)}, Decimal(29), 1)
    person.live_on(days=16)
    assert paying(person) == Paying()
