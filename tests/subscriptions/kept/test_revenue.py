"""What subscriptions that we keep come to a month, as the desk counts it from their invoices."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from app.payments import service
from app.payments.rules import RefundTarget
from app.subscriptions.kept import gifts
from app.subscriptions.kept import service as kept
from app.subscriptions.revenue.recurring import Paying, recurring
from app.subscriptions.revenue.report import recurring_report
from app.subscriptions.revenue.spans import Span
from app.transactions import transaction
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
    # Cents of the parts are not multiplied: what counts is the price.
    assert paying(person).monthly == {person.id: Decimal(79)}
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
    assert paying(person).monthly == {person.id: Decimal(34)}


def test_a_renewal_that_nobody_pays_is_at_risk_and_then_lost(person: Person) -> None:
    person.fill_wallet("30")
    person.subscribe()
    end = person.kept().period_end
    assert end is not None
    person.live_on(seconds=(end - person.clock.now + timedelta(days=2)).total_seconds())
    assert paying(person) == Paying({person.id: Decimal(29)}, Decimal(29), 1)
    person.live_on(days=16)
    assert paying(person) == Paying()


def take(person: Person, invoice_id: int | None) -> None:
    """Pay an invoice from the wallet, and look at it a minute later."""
    assert invoice_id is not None
    person.pay_from_wallet(invoice_id)
    person.clock.pass_(minutes=1)


def a_month(person: Person) -> Decimal | None:
    return paying(person).monthly.get(person.id)


def test_bots_without_a_plan_count_in_full_though_bought_within_a_period(person: Person) -> None:
    person.fill_wallet("200")
    person.subscribe(choice(None, extra_bot=1))
    person.clock.pass_(days=15)
    take(person, person.change(choice(None, extra_bot=3)))
    assert a_month(person) == 15
    person.clock.pass_(days=5)
    take(person, person.change(choice("pro", extra_bot=3)))
    assert a_month(person) == 44


def test_a_larger_plan_counts_its_price_though_nothing_of_the_old_one_was_credited(
    person: Person,
) -> None:
    """All of its money had gone back."""
    person.fill_wallet("200")
    person.subscribe()
    with transaction():
        payment = person.payments()[0].id
        service.refund(0, "r", payment, Decimal(29), RefundTarget.WALLET, "as asked")
    person.clock.pass_(days=15)
    take(person, person.change(choice("premium")))
    assert person.invoices()[-1].lines[0].amount == 0
    assert a_month(person) == 79


@pytest.mark.long
def test_a_change_over_two_paid_periods_counts_once(person: Person) -> None:
    person.fill_wallet("200")
    person.subscribe()
    person.live_on(days=26)
    take(person, person.standing().pay_invoice_id)  # type: ignore[union-attr]
    take(person, person.change(choice("premium")))
    assert a_month(person) == 79
    person.clock.pass_(days=10)
    assert a_month(person) == 79


@pytest.mark.long
def test_a_plan_that_was_paid_late_counts_from_then_on(person: Person) -> None:
    person.fill_wallet("30")
    person.subscribe()
    person.live_on(days=60)
    assert a_month(person) is None
    person.fill_wallet("100")
    take(person, person.invoices()[-1].id)
    start = person.clock.now
    for days in (0, 15, 10):
        person.clock.pass_(days=days)
        assert a_month(person) == 29
    assert recurring("USD", [start - timedelta(days=5)], start).at[start - timedelta(days=5)] == (
        Paying()
    )
    person.live_on(days=15)
    assert a_month(person) == 29


def test_money_that_came_for_nothing_is_no_revenue(person: Person) -> None:
    person.fill_wallet("100")
    person.subscribe()
    person.clock.pass_(days=10)
    invoice_id = person.change(choice("premium"))
    assert invoice_id is not None
    with transaction():
        service.write_off(0, invoice_id, "nobody pays")
    take(person, invoice_id)
    assert (person.plan(), a_month(person)) == ("pro", Decimal(29))


def be_given(person: Person, days: int) -> datetime:
    """Get days after the paid ones; return when they begin."""
    end = person.kept().period_end
    assert end is not None
    with transaction():
        gifts.give_days(0, person.id, end + timedelta(days=days), end, "an outage")
    return end


def reach(person: Person, moment: datetime, **more: float) -> None:
    person.live_on(seconds=(moment - person.clock.now + timedelta(**more)).total_seconds())


@pytest.mark.long
def test_a_larger_plan_in_given_days_counts_its_price(person: Person) -> None:
    person.fill_wallet("300")
    person.subscribe()
    reach(person, be_given(person, 12), hours=4)
    assert a_month(person) == 29
    take(person, person.change(choice("premium")))
    assert a_month(person) == 79
    person.live_on(days=13)
    assert a_month(person) == 79


def test_given_days_keep_the_customer_at_the_price_that_was_paid(person: Person) -> None:
    """Twice, over the end of a month, and with a bot: nobody left, and nobody came back."""
    person.fill_wallet("100")
    person.subscribe(choice("pro", extra_bot=1))
    start = person.clock.now + timedelta(minutes=1)
    first, second = be_given(person, 12), be_given(person, 20)
    reach(person, first, hours=4)
    assert a_month(person) == 34
    reach(person, second, days=19)
    assert a_month(person) == 34
    reach(person, second, days=20, hours=4)
    assert (person.state(), a_month(person)) == ("active", Decimal(34))
    now = person.clock.now
    moved = recurring_report("USD", Span(start, now, now))
    for month in (moved.whole, *(one.moved for one in moved.months)):
        assert {month.net_new, month.churned, month.reactivation} == {Decimal(0)}


@pytest.mark.parametrize("how", ["nobody pays", "ended"])
def test_given_days_end_with_the_subscription(person: Person, how: str) -> None:
    person.fill_wallet("29")
    person.subscribe()
    end = be_given(person, 12)
    if how == "ended":
        reach(person, end, days=3)
        with transaction():
            kept.cancel(person.id, at_once=True)
        reach(person, end, days=3, hours=4)
    else:
        reach(person, end, days=12 + 13)
        assert paying(person) == Paying({person.id: Decimal(29)}, Decimal(29), 1)
        reach(person, end, days=12 + 15)
    assert paying(person) == Paying()
