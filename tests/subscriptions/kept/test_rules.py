"""The pure rules: states, periods, parts of prices, tries, reminders, previews."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Conflict
from app.money import Money
from app.subscriptions.kept import rules
from app.subscriptions.kept.rules import (
    STATE_TABLE,
    Course,
    Event,
    InvoiceKind,
    Item,
    Reason,
    Reminder,
    change_lines,
    next_state,
    share,
)
from app.subscriptions.models import KeptState
from app.subscriptions.periods import LIFETIME, MONTH, YEAR
from app.subscriptions.terms import Discount

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
CENTS = st.decimals(Decimal(0), Decimal(5000), places=2)
PARTS = st.fractions(0, 3)


def usd(amount: str | Decimal) -> Money:
    return Money(Decimal(amount), "USD")


def item(price_id: int, amount: str | Decimal, quantity: int = 1, *, addon: bool = False) -> Item:
    return Item(price_id, f"plan{price_id}", "Plan", addon, quantity, usd(amount))


@pytest.mark.parametrize("state", KeptState)
@pytest.mark.parametrize("event", Event)
def test_each_state_answers_each_event_as_the_table_says(state: KeptState, event: Event) -> None:
    if event in STATE_TABLE[state]:
        assert next_state(state, event) in set(KeptState)
    else:
        with pytest.raises(Conflict, match="subscription_moved"):
            next_state(state, event)


def test_the_table_knows_every_state_and_leads_to_each_but_the_two_first() -> None:
    assert set(STATE_TABLE) == set(KeptState)
    reached = {after for moves in STATE_TABLE.values() for after in moves.values()}
    assert reached == {"active", "past_due", "ended"}


def test_what_has_ended_lives_again_only_for_money_that_came_late() -> None:
    assert STATE_TABLE["ended"] == {Event.REVIVED: "active"}
    assert Event.OVER not in STATE_TABLE["past_due"]


def test_an_invoice_tells_its_reason_by_its_key() -> None:
    reason = Reason(12, InvoiceKind.PERIOD, 3, 1)
    assert reason.key == "kept:12:period:3.1"
    assert Reason.parse(reason.key) == reason
    change = Reason(12, InvoiceKind.CHANGE, 3, 2)
    assert Reason.parse(change.key) == change
    for other in ("stripe:in_1", "kept:12", "kept:12:else:3.1", "kept:12:period:3.1 ", ""):
        assert Reason.parse(other) is None


def test_periods_follow_one_another_from_the_anchor() -> None:
    course = Course(MONTH, START, 0)
    assert course.start(1) == START
    assert course.end(1) == course.start(2) == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert course.end(2) == datetime(2026, 3, 31, 12, tzinfo=UTC)
    later = Course(YEAR, START, 4)
    assert (later.start(5), later.end(5)) == (START, START.replace(year=2027))
    life = Course(LIFETIME, START, 0)
    assert (life.start(1), life.end(1)) == (START, None)
    assert life.rests(1, START) == ()


@pytest.mark.parametrize(
    ("seconds", "paid", "part"),
    [
        (0, 1, Fraction(1)),
        (14 * 86400, 1, Fraction(1, 2)),
        (28 * 86400 - 1, 1, Fraction(1, 28 * 86400)),
        (28 * 86400, 1, Fraction(0)),
        (14 * 86400, 2, Fraction(3, 2)),
        (0, 3, Fraction(3)),
        (-86400, 1, Fraction(1)),
        (99 * 86400, 1, Fraction(0)),
        (0, 0, Fraction(0)),
    ],
)
def test_what_is_left_is_counted_by_the_second(seconds: int, paid: int, part: Fraction) -> None:
    rests = Course(MONTH, START, 0).rests(paid, START + timedelta(seconds=seconds))
    assert sum(rest for _number, rest in rests) == part
    # The one that runs is counted in part, those after it in full.
    assert [number for number, _rest in rests] == list(range(paid - len(rests) + 1, paid + 1))
    assert all(rest == 1 for _number, rest in rests[1:])


@pytest.mark.parametrize(
    ("amount", "part", "cut"),
    [
        ("29", Fraction(1), "29.00"),
        ("29", Fraction(1, 2), "14.50"),
        ("0.01", Fraction(1, 2), "0.01"),
        ("0.01", Fraction(49, 100), "0.00"),
        ("10", Fraction(1, 3), "3.33"),
        ("10", Fraction(2, 3), "6.67"),
        ("79", Fraction(1, 2678400), "0.00"),
        ("290", Fraction(3, 2), "435.00"),
    ],
)
def test_a_part_of_a_price_is_rounded_half_up_to_cents(
    amount: str, part: Fraction, cut: str
) -> None:
    assert share(usd(amount), part) == usd(cut)


@given(CENTS, PARTS)
def test_a_part_is_never_more_than_half_a_cent_off(amount: Decimal, part: Fraction) -> None:
    cut = Fraction(share(usd(amount), part).amount)
    assert abs(cut - Fraction(amount) * part) <= Fraction(1, 200)


@given(CENTS, CENTS, st.fractions(0, 1))
def test_a_dearer_plan_costs_what_is_left_of_the_difference(
    old: Decimal, new: Decimal, part: Fraction
) -> None:
    lines = change_lines([item(1, old)], [item(2, new)], part)
    due = sum((line.money.amount for line in lines), Decimal(0))
    assert due >= 0
    assert abs(Fraction(due) - max(Fraction(new - old) * part, Fraction(0))) <= Fraction(1, 100)
    assert all(
        (line.money.amount <= 0) == line.is_credit or not line.money.amount for line in lines
    )


def test_what_stays_makes_no_line() -> None:
    bots = item(9, "5", 2, addon=True)
    lines = change_lines([item(1, "29"), bots], [item(2, "79"), bots], Fraction(1, 2))
    assert [(line.item.price_id, line.money.amount, line.is_credit) for line in lines] == [
        (1, Decimal("-14.50"), True),
        (2, Decimal("39.50"), False),
    ]
    more = change_lines([bots], [item(9, "5", 3, addon=True)], Fraction(1, 2))
    assert [line.money.amount for line in more] == [Decimal("-5.00"), Decimal("7.50")]


def test_for_life_all_is_paid_in_full_less_what_is_left() -> None:
    lines = change_lines([item(1, "29")], [item(2, "499")], Fraction(1, 2), for_life=True)
    assert [line.money.amount for line in lines] == [Decimal("-14.50"), Decimal(499)]
    cheap = change_lines([item(1, "790")], [item(2, "10")], Fraction(1, 2), for_life=True)
    assert sum(line.money.amount for line in cheap) == 0, "nothing is paid out"
    trial = change_lines([item(1, "29")], [item(2, "499")], Fraction(0), for_life=True)
    assert [line.money.amount for line in trial] == [Decimal(499)]


@pytest.mark.parametrize(
    ("days", "lead"), [(31, 7), (365, 7), (14, 7), (7, 3.5), (1, 0.5), (3, 1.5)]
)
def test_a_period_is_asked_for_a_week_before_or_half_way(days: int, lead: float) -> None:
    assert rules.lead_of(timedelta(days=days)) == timedelta(days=lead)


@pytest.mark.parametrize(
    ("hours", "next_hours"),
    [(-1, 0), (0, 24), (1, 24), (24, 72), (71.9, 72), (72, 168), (168, None), (999, None)],
)
def test_money_is_asked_for_on_the_day_and_after_one_three_and_seven(
    hours: float, next_hours: float | None
) -> None:
    expected = START + timedelta(hours=next_hours) if next_hours is not None else None
    assert rules.next_try(START, START + timedelta(hours=hours), None) == expected


@pytest.mark.parametrize(("grace", "next_hours"), [(1, None), (2, 24), (3, 24)])
def test_money_is_not_asked_for_when_what_it_is_for_has_ended(
    grace: int, next_hours: float | None
) -> None:
    expected = START + timedelta(hours=next_hours) if next_hours is not None else None
    assert rules.next_try(START, START, START + timedelta(days=grace)) == expected


WEEK, DAYS, DAY, DUE, OVERDUE = Reminder


@pytest.mark.parametrize(
    ("days", "passed"),
    [
        (-8, ()),
        (-7, (WEEK,)),
        (-6.5, (WEEK,)),
        (-2, (WEEK, DAYS)),
        (-1, (WEEK, DAYS, DAY)),
        (0, (WEEK, DAYS, DAY, DUE)),
        (2.9, (WEEK, DAYS, DAY, DUE)),
        (3, (WEEK, DAYS, DAY, DUE, OVERDUE)),
        (30, (WEEK, DAYS, DAY, DUE, OVERDUE)),
    ],
)
def test_reminders_come_before_on_and_after_the_day(
    days: float, passed: tuple[Reminder, ...]
) -> None:
    assert rules.reminders_passed(START, START + timedelta(days=days)) == passed


@pytest.mark.parametrize(
    ("lead", "grace", "wanted"),
    [
        (7, 14, (WEEK, DAYS, DAY, DUE, OVERDUE)),
        (7, 0, (WEEK, DAYS, DAY, DUE)),
        (3.5, 7, (DAYS, DAY, DUE, OVERDUE)),
        (1.5, 3, (DAY, DUE)),
        (0.5, 1, (DUE,)),
    ],
)
def test_of_a_short_period_nobody_is_reminded_before_it_is_asked_for_or_after_it_is_over(
    lead: float, grace: int, wanted: tuple[Reminder, ...]
) -> None:
    spans = timedelta(days=lead), timedelta(days=grace)
    assert tuple(kind for kind in Reminder if rules.is_wanted(kind, *spans)) == wanted


def test_a_preview_holds_for_a_quarter_of_an_hour_and_only_as_it_was() -> None:
    token = rules.token_of(START, {"due": "10.00"})
    assert token != rules.token_of(START, {"due": "10.01"})
    assert rules.moment_of(token, START) == START
    assert rules.moment_of(token, START + timedelta(minutes=15)) == START
    refused = {
        token: (START - timedelta(seconds=1), START + timedelta(minutes=16)),
        "": (START,),
        "١٢٣.x": (START,),
        "99999999999.x": (START,),
        "-5.x": (START,),
    }
    for one, moments in refused.items():
        for now in moments:
            with pytest.raises(Conflict, match="preview_changed"):
                rules.moment_of(one, now)


def test_a_discount_is_a_share_or_an_amount_and_never_more_than_all() -> None:
    assert Discount("A", percent=Decimal("12.5")).off(usd("29")) == usd("3.63")
    assert Discount("A", amount=usd("5")).off(usd("29")) == usd("5")
    assert Discount("A", amount=usd("50")).off(usd("29")) == usd("29")
    assert Discount("A", amount=Money(Decimal(5), "EUR")).off(usd("29")) == usd("0")
