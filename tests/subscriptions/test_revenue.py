"""Recurring revenue and income as they are read from invoices and payments."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.accounts.models import User
from app.db import db, utc_now
from app.errors import InvalidInput
from app.payments import invoices
from app.payments.mirroring import UNNAMED
from app.payments.models import Dispute
from app.payments.rules import LineKind
from app.subscriptions.models import KeptSubscription, RailSubscription
from app.subscriptions.periods import Period, Unit
from app.subscriptions.queries import price_on_sale
from app.subscriptions.revenue import income, spans
from app.subscriptions.revenue.income import Income, break_even, grouped, rental_income
from app.subscriptions.revenue.recurring import Paying, currencies, recurring
from app.subscriptions.revenue.report import recurring_report, trial_cohorts
from app.subscriptions.revenue.spans import Span
from app.subscriptions.service import name_price, seed_plans
from app.transactions import transaction
from tests.factories import make_user
from tests.long import few
from tests.subscriptions.billing import Charge, at, bill, charge, give_back, take_money
from tests.subscriptions.test_revenue_figures import worked

NOW = at("2026-06-20")
APRIL = Span(at("2026-04-01"), at("2026-05-01"), NOW)


@pytest.fixture
def user(database: None) -> User:
    return make_user()


def paying_on(day: str, currency: str = "USD") -> Paying:
    return recurring(currency, [at(day)], NOW).at[at(day)]


def usd(*amounts: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(amount) for amount in amounts)


def a_month_of(user_id: int, day: str) -> str:
    return str(paying_on(day).monthly.get(user_id, 0))


@pytest.mark.parametrize(
    ("amount", "start", "end", "expected"),
    few(
        [
            ("29.00", "2026-01-05", "2026-02-05", "29.00"),
            ("290.00", "2026-01-05", "2027-01-05", "24.17"),
            ("290.00", "2024-02-29", "2025-02-28", "24.17"),
            ("90.00", "2026-01-05", "2026-04-05", "30.00"),
            ("5.00", "2026-01-05", "2026-01-12", "21.67"),
            ("10.00", "2026-03-05", "2026-04-02", "10.83"),
            ("1.00", "2026-01-05", "2026-01-06", "30.42"),
            # What began on the last of a month goes on to the last of shorter ones, and back.
            ("29.00", "2026-01-31", "2026-02-28", "29.00"),
            ("29.00", "2026-02-28", "2026-03-31", "29.00"),
            ("29.00", "2026-02-28", "2026-03-30", "29.00"),
            ("90.00", "2026-02-28", "2026-05-31", "30.00"),
        ],
        3,
    ),
)
def test_every_period_comes_to_a_month(
    user: User, amount: str, start: str, end: str, expected: str
) -> None:
    bill(user.id, charge(amount, start, end))
    assert a_month_of(user.id, start) == expected


def monthly_price(plan: str) -> int:
    """Return the id of the price on sale of a month of a plan, once there are plans."""
    with transaction():
        seed_plans()
    price = price_on_sale(plan, Period.parse("month"), "USD", utc_now())
    assert price is not None
    return price.id


def test_a_known_price_says_how_long_its_period_is(user: User) -> None:
    price = monthly_price("pro")
    # 28 days can be a month or four weeks, 31 days that begin in April neither.
    for start, end in (("2026-03-05", "2026-04-02"), ("2026-04-02", "2026-05-03")):
        bill(user.id, replace(charge("29.00", start, end), price_id=price))
        assert a_month_of(user.id, start) == "29.00"
    bill(user.id, charge("14.50", "2026-04-17T12:00", "2026-05-03", LineKind.PRORATION))
    assert a_month_of(user.id, "2026-04-20") == "58.00"


@pytest.mark.shared
@pytest.mark.parametrize("case", worked(list), ids=lambda case: case["name"])
def test_amounts_of_the_worked_vectors_come_to_a_month(
    database: None, case: dict[str, Any]
) -> None:
    found = []
    start = at("2026-04-01")
    for one in case["input"]:
        person = make_user()
        end = Period(one["interval_count"], Unit(one["interval"])).after(start)
        cents = Decimal(one["amount"] - one["tax"]) / 100
        part = Decimal(one["prorate_factor"])
        when = start
        if part == 1:
            bill(person.id, Charge(str(cents), start, end), tax=str(Decimal(one["tax"]) / 100))
        else:
            when = start + (end - start) / int(part)
            bill(person.id, Charge("0", start, end))
            bill(person.id, Charge(str(cents), when, end, LineKind.PRORATION))
            # Who has never paid for a whole period is no customer yet.
            bill(person.id, Charge("1", at("2020-01-01"), at("2020-02-01")))
        monthly = recurring("USD", [when], NOW).at[when].monthly[person.id]
        found.append(int(monthly * 100))
    assert found == case["expect"]


def test_discounts_lower_it_and_tax_does_not_count(user: User) -> None:
    bill(user.id, charge("20.00", "2026-04-01", "2026-05-01"), discount="10.00", tax="1.90")
    assert a_month_of(user.id, "2026-04-15") == "10.00"


def test_tax_inside_the_price_does_not_count(user: User) -> None:
    lines = [
        charge("2160.00", "2026-01-01", "2027-01-01"),
        # The line with which a copied invoice tells what the provider's lines do not.
        Charge("-360.00", None, None, LineKind.OTHER, "", UNNAMED),
    ]
    bill(user.id, lines, tax="360.00")
    assert a_month_of(user.id, "2026-04-15") == "150.00"


def test_it_counts_from_the_start_of_a_period_to_its_end(user: User) -> None:
    bill(user.id, charge("29.00", "2026-04-05", "2026-05-05"))
    days = ("2026-04-04", "2026-04-05", "2026-05-04", "2026-05-05")
    assert [a_month_of(user.id, day) for day in days] == ["0", "29.00", "29.00", "0"]


def test_a_larger_plan_counts_from_its_change_on(user: User) -> None:
    bill(user.id, charge("20.00", "2026-04-01", "2026-05-01"))
    parts = [
        charge("-10.00", "2026-04-16", "2026-05-01", LineKind.PRORATION),
        charge("25.00", "2026-04-16", "2026-05-01", LineKind.PRORATION, "plan:premium"),
    ]
    bill(user.id, parts)
    assert [a_month_of(user.id, day) for day in ("2026-04-15", "2026-04-16")] == ["20.00", "50.00"]


def test_a_larger_plan_of_a_provider_counts_as_its_price_to_the_cent(user: User) -> None:
    pro, premium = monthly_price("pro"), monthly_price("premium")
    start, middle, end, last = "2026-04-01", "2026-04-16T07:13:21", "2026-05-01", "2026-06-01"
    bill(user.id, replace(charge("29.00", start, end), price_id=pro))
    part = (at(end) - at(middle)) / (at(end) - at(start))
    parts = [
        replace(charge(f"{price * part:.2f}", middle, end, LineKind.PRORATION), price_id=known)
        for price, known in ((-29, pro), (79, premium))
    ]
    # What is changed at the provider may stand on the invoice of the next period.
    bill(user.id, [*parts, replace(charge("79.00", end, last), price_id=premium)])
    days = ("2026-04-16", "2026-04-17", "2026-05-02")
    assert [a_month_of(user.id, day) for day in days] == ["29.00", "79.00", "79.00"]
    # And it may be taken back there, by the same invoice or a later one.
    back = [
        replace(charge(amount, "2026-05-11", last, LineKind.PRORATION), price_id=known)
        for amount, known in (("-53.52", premium), ("19.65", pro))
    ]
    bill(user.id, back)
    assert a_month_of(user.id, "2026-05-12") == "29.00"


@pytest.mark.parametrize("middle", ["2026-04-16T07:13:21", "2026-04-29T23:10:00"])
@pytest.mark.parametrize(
    ("percent", "expected"), [("20", "63.20"), ("12.5", "69.12"), ("33", "52.93")]
)
def test_cents_of_a_discount_on_a_part_are_not_multiplied(
    user: User, middle: str, percent: str, expected: str
) -> None:
    """What it comes to after a change is what the renewal tells."""
    pro, premium = monthly_price("pro"), monthly_price("premium")
    start, end, last = "2026-04-01", "2026-05-01", "2026-06-01"

    def bill_lowered(amount: Decimal, *lines: Charge) -> None:
        bill(user.id, lines, discount=f"{amount * Decimal(percent) / 100:.2f}")

    part = Decimal(f"{79 * ((at(end) - at(middle)) / (at(end) - at(start))):.2f}")
    bill_lowered(Decimal(29), replace(charge("29.00", start, end), price_id=pro))
    bill_lowered(
        part,
        replace(charge(str(part), middle, end, LineKind.PRORATION), price_id=premium),
        replace(charge("-0.50", middle, end, LineKind.PRORATION), price_id=pro),
    )
    bill_lowered(Decimal(79), replace(charge("79.00", end, last), price_id=premium))
    assert [a_month_of(user.id, day) for day in ("2026-04-30", "2026-05-02")] == [expected] * 2


def test_a_price_that_does_not_explain_a_part_is_not_believed(user: User) -> None:
    """The price at the provider was made by hand and named for one of ours that costs 29."""
    price = monthly_price("pro")
    bill(user.id, charge("0", "2026-04-01", "2026-05-01"))
    bill(user.id, charge("1", "2020-04-01", "2020-05-01"))
    part = charge("10.00", "2026-04-16", "2026-05-01", LineKind.PRORATION)
    bill(user.id, replace(part, price_id=price))
    assert a_month_of(user.id, "2026-04-20") == "20.00"


def test_a_discount_lowers_charges_and_not_what_is_credited(user: User) -> None:
    pro = monthly_price("pro")
    whole = replace(charge("29.00", "2026-04-01", "2026-05-01"), price_id=pro)
    bill(user.id, whole, discount="14.50")
    parts = [
        replace(charge("-7.25", "2026-04-16", "2026-05-01", LineKind.PRORATION), price_id=pro),
        charge("39.50", "2026-04-16", "2026-05-01", LineKind.PRORATION, "plan:premium"),
    ]
    bill(user.id, parts, discount="19.75")
    days = ("2026-04-10", "2026-04-17")
    assert [a_month_of(user.id, day) for day in days] == ["14.50", "39.50"]


def test_what_is_paid_once_and_trials_and_voided_renewals_count_nothing(user: User) -> None:
    bill(user.id, Charge("500.00", at("2026-04-01"), None))
    bill(user.id, charge("0", "2026-04-01", "2026-05-01"))
    voided = bill(user.id, charge("29.00", "2026-04-01", "2026-05-01"), paid=False)
    with transaction():
        invoices.void(invoices.lock(voided), "paused")
    assert paying_on("2026-04-15") == Paying()


def test_an_overdue_renewal_is_at_risk_until_the_grace_is_over(user: User) -> None:
    now = utc_now()
    start = now - timedelta(days=1)
    bill(user.id, Charge("29.00", start - timedelta(days=30), start))
    open_id = bill(user.id, Charge("29.00", start, start + timedelta(days=30)), paid=False)
    later = [now + timedelta(days=days) for days in (1, 13, 15)]
    found = recurring("USD", later, later[-1])
    assert [found.at[day].customers_at_risk for day in later] == [1, 1, 0]
    assert [user.id in found.at[day].monthly for day in later] == [True, True, False]
    with transaction():
        invoices.pay(invoices.lock(open_id), "paid")
    found = recurring("USD", later, later[-1])
    assert [user.id in found.at[day].monthly for day in later] == [True, True, True]
    assert found.at[later[0]].at_risk == 0


def test_an_overdue_renewal_that_is_given_up_is_lost_at_once(user: User) -> None:
    now = utc_now()
    bill(user.id, Charge("29.00", now - timedelta(days=31), now - timedelta(days=1)))
    renewal = Charge("29.00", now - timedelta(days=1), now + timedelta(days=29))
    open_id = bill(user.id, renewal, paid=False)
    with transaction():
        invoices.give_up(invoices.lock(open_id), "nobody pays")
    day = utc_now() + timedelta(hours=4)
    assert recurring("USD", [day], day).at[day] == Paying()


def test_an_unpaid_first_invoice_or_change_of_plan_counts_nothing(user: User) -> None:
    now = utc_now()
    end = now + timedelta(days=30)
    bill(user.id, Charge("29.00", now, end), paid=False)
    day = now + timedelta(hours=1)
    assert recurring("USD", [day], day).at[day] == Paying()
    bill(user.id, Charge("29.00", now - timedelta(days=1), end))
    bill(user.id, Charge("20.00", now, end, LineKind.PRORATION), paid=False)
    assert recurring("USD", [day], day).at[day].customers_at_risk == 0


def test_a_renewal_that_is_being_written_is_not_lost(user: User) -> None:
    bill(user.id, charge("29.00", "2026-05-19T23:00", "2026-06-19T23:00"))
    assert recurring("USD", [NOW], NOW).at[NOW].monthly == {user.id: Decimal(29)}
    later = NOW + timedelta(hours=3)
    assert recurring("USD", [later], later).at[later] == Paying()
    bill(user.id, charge("49.00", "2026-06-19T23:00", "2026-07-19T23:00"))
    assert recurring("USD", [NOW], NOW).at[NOW].monthly == {user.id: Decimal(49)}


def test_currencies_never_meet(user: User) -> None:
    bill(user.id, charge("29.00", "2026-04-01", "2026-05-01"))
    bill(make_user().id, charge("29.00", "2026-04-01", "2026-05-01"))
    bill(user.id, charge("10.00", "2026-04-01", "2026-05-01"), currency="EUR")
    assert currencies() == ("USD", "EUR")
    assert paying_on("2026-04-15", "EUR").monthly == {user.id: Decimal(10)}
    assert sum(paying_on("2026-04-15").monthly.values()) == 58


def test_a_month_with_every_movement(database: None) -> None:
    people = {name: make_user().id for name in "ABCDE"}
    for name, before in {"A": "20.00", "B": "50.00"}.items():
        bill(people[name], charge(before, "2026-03-10", "2026-04-10"))
    bill(people["C"], charge("200.00", "2026-01-10", "2027-01-10"))
    bill(people["E"], charge("20.00", "2025-09-10", "2025-10-10"))
    bill(people["A"], charge("50.00", "2026-04-10", "2026-05-10"))
    bill(people["D"], charge("16.00", "2026-04-12", "2026-05-12"))
    bill(people["E"], charge("20.00", "2026-04-20", "2026-05-20"))
    found = recurring_report("USD", APRIL)
    moved = found.whole
    assert (moved.start, moved.end) == (Decimal("86.67"), Decimal("102.67"))
    assert (moved.new, moved.expansion, moved.churned) == usd("16", "30", "50")
    assert (moved.reactivation, moved.contraction) == usd("20", "0")
    assert moved.net_new == moved.end - moved.start == 16
    assert [month.moved for month in found.months] == [moved]
    september, january, march, april = found.cohorts
    # Who comes back counts again, with the month of the first payment.
    assert (september.month, september.size) == (at("2025-09-01"), 1)
    assert september.staying == (1, 0, 0, 0, 0, 0, 0, 1)
    assert (january.size, january.staying) == (1, (1, 1, 1, 1))
    assert (march.size, march.staying) == (2, (2, 1))
    assert (april.month, april.size, april.staying) == (APRIL.start, 1, (1,))


def test_months_of_a_longer_time_add_up(user: User) -> None:
    bill(user.id, charge("29.00", "2026-02-10", "2026-03-10"))
    bill(user.id, charge("49.00", "2026-03-10", "2026-04-10"))
    found = recurring_report("USD", Span(at("2026-02-01"), at("2026-05-01"), NOW))
    kinds = [(one.moved.new, one.moved.expansion, one.moved.churned) for one in found.months]
    assert kinds == [usd("29", "0", "0"), usd("0", "20", "0"), usd("0", "0", "49")]
    assert (found.whole.net_new, found.whole.churned) == usd("0", "0")


def test_trials_convert_however_late(database: None) -> None:
    began, people = at("2026-04-03"), [make_user() for _ in range(3)]
    with transaction():
        for person in people:
            db.session.add(
                RailSubscription(
                    user_id=person.id, rail="stripe", external_id=f"sub_{person.id}",
                    state="active", price_ref="p", quantity=1, started_at=began,
                    period_end=at("2026-05-03"), trial_end=at("2026-04-17"),
                    is_collection_paused=False, has_pending_update=False,
                )
            )  # fmt: skip
        kept = make_user()
        db.session.add(
            KeptSubscription(
                key="trial", user_id=kept.id, rail="demo", state="trialing", period="month",
                currency="USD", started_at=began, anchor=began, period_start=began,
                period_end=at("2026-04-17"), trial_end=at("2026-04-17"),
            )
        )  # fmt: skip
    bill(people[0].id, charge("0", "2026-04-03", "2026-04-17"))
    bill(people[0].id, charge("29.00", "2026-06-01", "2026-07-01"))
    bill(people[1].id, charge("0", "2026-04-03", "2026-04-17"))
    bill(people[2].id, charge("29.00", "2025-06-01", "2025-07-01"))
    [cohort] = trial_cohorts(APRIL)
    assert (cohort.month, cohort.begun, cohort.paid) == (APRIL.start, 4, 1)


def test_income_is_net_of_refunds_and_fees_in_the_month_they_happened(user: User) -> None:
    with transaction():
        seed_plans()
    invoice_id = bill(user.id, charge("29.00", "2026-04-01", "2026-05-01"))
    payment_id = take_money(invoice_id, "29.00", fee="1.14", settled="2026-04-01")
    give_back(payment_id, "9.00", "2026-05-02")
    [row] = rental_income(APRIL)
    assert (row.month, row.currency, row.code, row.name) == (APRIL.start, "USD", "pro", "Pro")
    assert (row.kind, row.period) == ("plan", Period(1, Unit.MONTH))
    assert row.income == Income(Decimal(29), Decimal(0), Decimal("1.14"))
    assert row.income.net == Decimal("27.86")
    [back] = rental_income(Span(at("2026-05-01"), at("2026-06-01"), NOW))
    assert back.income == Income(Decimal(0), Decimal(9), Decimal(0))


def test_income_is_shared_out_over_the_lines_without_tax(user: User) -> None:
    lines = [
        charge("30.00", "2026-04-01", "2026-05-01"),
        charge("5.00", "2026-04-01", "2026-05-01", LineKind.BOT, "addon:extra_bot"),
        Charge("15.00", None, None, LineKind.COURSE, "course:1"),
    ]
    invoice_id = bill(user.id, lines, tax="10.00", discount="10.00")
    take_money(invoice_id, "50.00", fee="2.00", settled="2026-04-01")
    rows = rental_income(APRIL)
    by_kind = grouped(rows, lambda row: row.kind)
    assert by_kind == {
        "bot": Income(Decimal("4.00"), Decimal(0), Decimal("0.20")),
        "plan": Income(Decimal("24.00"), Decimal(0), Decimal("1.20")),
    }
    assert grouped(rows, lambda row: row.currency)["USD"].net == Decimal("26.60")


def test_a_lost_dispute_is_money_that_went_back(user: User) -> None:
    payment_id = take_money(
        bill(user.id, charge("29.00", "2026-04-01", "2026-05-01")), "29.00", settled="2026-04-01"
    )
    with transaction():
        db.session.add(
            Dispute(
                payment_id=payment_id, rail="demo", external_id="d", state="lost",
                amount=Decimal(29), currency="USD", fee=Decimal(15), created_at=at("2026-04-05"),
                closed_at=at("2026-04-25"),
            )
        )  # fmt: skip
    assert grouped(rental_income(APRIL), lambda row: row.code) == {
        "pro": Income(Decimal(29), Decimal(29), Decimal(15))
    }


def test_a_price_of_a_provider_is_known_by_its_plan(user: User) -> None:
    with transaction():
        seed_plans()
        name_price("stripe", "price_123", "premium", Period(1, Unit.MONTH))
    line = charge("99.00", "2026-04-01", "2026-05-01", subject="price:price_123")
    invoice_id = bill(user.id, line)
    with transaction():
        invoices.lock(invoice_id).rail = "stripe"
    take_money(invoice_id, "99.00", rail="stripe", settled="2026-04-01")
    assert [row.code for row in rental_income(APRIL)] == ["premium"]


def test_each_payment_tells_gross_fee_and_net(user: User) -> None:
    invoice_id = bill(user.id, charge("29.00", "2026-04-01", "2026-05-01"))
    take_money(invoice_id, "29.00", fee="1.14", settled="2026-04-02")
    take_money(invoice_id, "9.00", rail="wallet", settled="2026-04-01")
    found = [(one.gross, one.fee, one.net) for one in income.payments_of(APRIL)]
    assert found == [usd("29", "1.14", "27.86"), usd("9", "0", "9")]
    # What is paid from the wallet has come before.
    [total] = income.payment_sums(APRIL)
    assert (total.payments, total.people) == (1, 1)
    assert (total.gross, total.fees, total.net) == usd("29", "1.14", "27.86")


def test_so_many_customers_cover_the_costs() -> None:
    assert break_even(Decimal(1000), Decimal(29), Decimal("0.04")) == 36
    assert break_even(Decimal(0), Decimal(29), Decimal(0)) == 0
    assert break_even(Decimal(1000), None, Decimal(0)) is None


def test_spans_are_cut_at_the_months() -> None:
    span = spans.days(at("2026-01-20").date(), at("2026-03-01").date(), NOW)
    assert span.bounds == tuple(
        at(day) for day in ("2026-01-20", "2026-02-01", "2026-03-01", "2026-03-02")
    )
    assert span.last_day == at("2026-03-01").date()
    assert spans.last_month(NOW) == Span(at("2026-05-01"), at("2026-06-01"), NOW)
    assert spans.last_months(12, NOW).start == at("2025-07-01")
    assert spans.this_month(NOW).months == ((at("2026-06-01"), NOW),)


@pytest.mark.parametrize(
    ("first", "last"),
    [("2026-03-01", "2026-02-01"), ("2026-06-01", "2026-06-21"), ("1999-01-01", "1999-02-01"),
     ("2010-01-01", "2026-01-01")],
)  # fmt: skip
def test_spans_that_cannot_be_counted_are_refused(first: str, last: str) -> None:
    with pytest.raises(InvalidInput):
        spans.days(at(first).date(), at(last).date(), NOW)
