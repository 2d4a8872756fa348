"""Promotion codes of ours on subscriptions that Stripe keeps, and codes that are Stripe's own."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from app.accounts.models import User
from app.db import db, utc_now
from app.errors import Conflict, DomainError, InvalidInput, Unavailable
from app.money import Money
from app.payments.models import Checkout, Invoice
from app.subscriptions import buying
from app.subscriptions import service as plans
from app.subscriptions.models import Plan
from app.subscriptions.periods import MONTH, YEAR, Period
from app.subscriptions.promotions import service as promotions
from app.subscriptions.promotions.models import PromoCode, PromoRedemption
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.provider import jobs, promos
from app.subscriptions.provider import service as provider
from app.subscriptions.provider.models import RailPromo
from app.subscriptions.queries import limits_of
from app.subscriptions.terms import Choice, Discount
from app.transactions import transaction
from tests.doubles.stripe import FakeStripe, Fault
from tests.factories import make_user
from tests.long import few
from tests.payments.stripe_world import settle
from tests.subscriptions.provider_world import (
    begin,
    mirrored,
    price_of,
    session_of,
    subscribed,
)

PRO = Choice("pro", MONTH, promo="save")
WEEK = Period.parse("week")


def make(percent: str = "20", periods: int | None = 1, **terms: Any) -> int:
    with transaction():
        discount = Discount("SAVE", percent=Decimal(percent), periods=periods)
        return promotions.make(None, Terms(discount, **terms))


def taken() -> tuple[int, list[str]]:
    """Return how often the code counts as taken, and the states of who took it."""
    db.session.rollback()
    count = db.session.scalars(select(PromoCode.redeemed)).one()
    return count, sorted(db.session.scalars(select(PromoRedemption.state)))


def subscribe(fake: FakeStripe, user: User, choice: Choice = PRO) -> str:
    """Begin a subscription with the code, unless another choice is made."""
    return begin(fake, user, choice)


def invoices(user: User) -> list[Invoice]:
    db.session.rollback()
    query = select(Invoice).where(Invoice.user_id == user.id).order_by(Invoice.id)
    return list(db.session.scalars(query))


def totals(user: User) -> list[Decimal]:
    return [invoice.total for invoice in invoices(user)]


def rows() -> list[RailPromo]:
    db.session.rollback()
    return list(db.session.scalars(select(RailPromo).order_by(RailPromo.months)))


def renew(fake: FakeStripe, times: int = 1) -> None:
    for _ in range(times):
        fake.advance(days=31)
        settle(fake)


def test_c40_twenty_percent_once_is_1600_and_then_2000(fake: FakeStripe, user: User) -> None:
    with transaction():
        plans.add_price(None, "pro", Decimal(20))
    make()
    subscribe(fake, user)
    assert (totals(user), taken()) == ([Decimal(16)], (1, ["used"]))
    (first,) = invoices(user)
    assert (first.subtotal, first.discount) == (Decimal(20), Decimal(4))
    assert first.discount_name == "SAVE"
    renew(fake)
    assert totals(user) == [Decimal(16), Decimal(20)]
    assert taken() == (1, ["used"])
    (coupon,) = fake.every("coupon")
    assert (coupon["duration"], coupon["percent_off"], coupon["name"]) == ("once", 20, "SAVE")
    (code,) = fake.every("promotion_code")
    assert (code["code"], code["metadata"]["app"]) == ("SAVE", "botyard")


@pytest.mark.parametrize(
    ("periods", "period", "duration", "months"),
    few(
        [
            (1, MONTH, "once", None),
            (3, MONTH, "repeating", 3),
            (3, YEAR, "repeating", 36),
            (None, YEAR, "forever", None),
        ],
        4,
    ),
)
def test_periods_are_counted_in_months_there(
    fake: FakeStripe, user: User, periods: int | None, period: Period, duration: str, months: int
) -> None:
    make(periods=periods)
    provider.start(user, replace(PRO, period=period), "/pricing")
    (coupon,) = fake.every("coupon")
    assert (coupon["duration"], coupon["duration_in_months"]) == (duration, months)
    page = fake.get(session_of(user.id))
    whole = {MONTH: 2_900, YEAR: 29_000}[period]
    assert (page["amount_total"], page["amount_subtotal"]) == (whole * 80 // 100, whole)
    assert taken() == (1, ["reserved"])


@pytest.mark.long
def test_two_periods_cost_less_and_the_third_does_not(fake: FakeStripe, user: User) -> None:
    make(periods=2)
    subscribe(fake, user)
    renew(fake, 2)
    assert totals(user) == [Decimal("23.2"), Decimal("23.2"), Decimal(29)]


def test_c19_an_abandoned_page_gives_the_code_back(fake: FakeStripe, user: User) -> None:
    make(max_redemptions=1)
    provider.start(user, PRO, "/pricing")
    with transaction():
        other = make_user()
    with pytest.raises(Conflict, match="promo_taken"):
        provider.start(other, PRO, "/pricing")
    assert taken() == (1, ["reserved"])
    fake.client().v1.checkout.sessions.expire(session_of(user.id))
    settle(fake)
    assert taken() == (0, ["released"])
    provider.start(other, PRO, "/pricing")
    assert taken() == (1, ["released", "reserved"])


def test_two_clicks_take_one_place_and_another_choice_takes_it_over(
    fake: FakeStripe, user: User
) -> None:
    make(max_redemptions=1)
    first = provider.start(user, PRO, "/pricing")
    assert provider.start(user, PRO, "/pricing") == first
    second = provider.start(user, replace(PRO, plan="premium"), "/pricing")
    assert second != first and taken() == (1, ["reserved"])
    assert provider.start(user, replace(PRO, promo=""), "/pricing") not in {first, second}
    assert taken() == (0, ["released"])


@pytest.mark.long
def test_the_code_goes_over_to_an_order_at_the_wallet_and_back(
    fake: FakeStripe, user: User
) -> None:
    make(max_redemptions=1)
    buying.begin(user, PRO, "stripe", "k1")
    buying.begin(user, PRO, "demo", "k2")
    assert taken() == (1, ["reserved"])
    assert session_state(user) == "expired"
    buying.begin(user, PRO, "stripe", "k3")
    assert taken() == (1, ["reserved"])
    assert [invoice.state for invoice in invoices(user)] == ["void"]
    fake.checkout.pay(session_of(user.id))
    settle(fake)
    assert taken() == (1, ["used"])


def session_state(user: User) -> str:
    db.session.rollback()
    query = select(Checkout.state).where(Checkout.user_id == user.id, Checkout.rail == "stripe")
    return str(db.session.scalars(query.order_by(Checkout.id.desc())).first())


def test_a_code_that_does_not_hold_takes_no_order_back(fake: FakeStripe, user: User) -> None:
    make(plans=("premium",))
    buying.begin(user, replace(PRO, promo=""), "demo", "k1")
    for choice, why in (
        (PRO, "promo_not_for_plan"),
        (replace(PRO, promo="else"), "promo_unknown"),
    ):
        with pytest.raises(DomainError, match=why):
            buying.begin(user, choice, "stripe", "k2")
    assert [invoice.state for invoice in invoices(user)] == ["open"]
    assert fake.every("checkout.session") == []


def test_what_months_can_not_say_is_refused_and_told_before(fake: FakeStripe, user: User) -> None:
    with transaction():
        plans.add_price(None, "pro", Decimal(8), period=WEEK)
    make(periods=3)
    weekly = replace(PRO, period=WEEK)
    for ask in (
        lambda: buying.quote(user.id, weekly, "stripe"),
        lambda: buying.begin(user, weekly, "stripe", "k"),
        lambda: provider.start(user, weekly, "/pricing"),
    ):
        with pytest.raises(InvalidInput, match="promo_not_by_rail"):
            ask()
    assert buying.quote(user.id, weekly, "wallet").due_now == Money(Decimal("6.4"), "USD")
    assert buying.quote(user.id, PRO, "stripe").due_now == Money(Decimal("23.2"), "USD")


@pytest.mark.long
@pytest.mark.parametrize(("periods", "wanted"), [(1, ["23.2", "29"]), (2, ["23.2", "23.2", "29"])])
def test_free_days_use_nothing_up(
    fake: FakeStripe, user: User, periods: int, wanted: list[str]
) -> None:
    try_for(14)
    make(periods=periods)
    subscribe(fake, user)
    assert (totals(user), taken()) == ([Decimal(0)], (1, ["reserved"]))
    standing = provider.standing(user.id)
    assert standing is not None and standing.next_charge == Money(Decimal("23.2"), "USD")
    fake.advance(days=15)
    settle(fake)
    assert taken() == (1, ["used"])
    renew(fake, len(wanted) - 1)
    assert totals(user)[1:] == [Decimal(one) for one in wanted]


@pytest.mark.long
def test_a_trial_that_ends_unpaid_gives_the_code_back(fake: FakeStripe, user: User) -> None:
    try_for(14)
    make()
    name = subscribe(fake, user)
    fake.client().v1.subscriptions.cancel(name)
    settle(fake)
    assert taken() == (0, ["released"])


def test_free_days_as_long_as_a_month_are_not_said_in_months(fake: FakeStripe, user: User) -> None:
    try_for(30)
    make()
    with pytest.raises(InvalidInput, match="promo_not_by_rail"):
        provider.start(user, PRO, "/pricing")
    provider.start(user, replace(PRO, period=YEAR), "/pricing")


def try_for(days: int) -> None:
    with transaction():
        db.session.execute(update(Plan).where(Plan.code == "pro").values(trial_days=days))


def test_a_code_for_nothing_at_all_is_used_by_an_invoice_of_nothing(
    fake: FakeStripe, user: User
) -> None:
    make("100", periods=None)
    subscribe(fake, user)
    assert (totals(user), taken()) == ([Decimal(0)], (1, ["used"]))
    assert limits_of(user.id).plan == "pro"


def test_the_job_makes_what_is_on_sale_and_ends_what_has_ended(
    fake: FakeStripe, user: User
) -> None:
    code_id = make(periods=3)
    jobs.push_promos()
    assert [(row.months, row.state) for row in rows()] == [(3, "made"), (36, "made")]
    assert {one["code"] for one in fake.every("promotion_code")} == {"SAVE-3M", "SAVE-36M"}
    calls = len(fake.calls)
    jobs.push_promos()
    assert len(fake.calls) == calls, "what is known is not asked again"
    switch(code_id, active=False)
    jobs.push_promos()
    assert {one["active"] for one in fake.every("promotion_code")} == {False}
    assert {row.state for row in rows()} == {"ended"}
    for _ in range(2):
        switch(code_id, active=True)
        jobs.push_promos()
        assert {one["active"] for one in fake.every("promotion_code")} == {True}
        switch(code_id, active=False)
        jobs.push_promos()
        assert {one["active"] for one in fake.every("promotion_code")} == {False}
    assert len(fake.every("promotion_code")) == len(fake.every("coupon")) == 2


def switch(code_id: int, *, active: bool) -> None:
    with transaction():
        promotions.switch(None, code_id, active=active)


@pytest.mark.long
def test_who_has_ordered_still_gets_what_was_promised(fake: FakeStripe, user: User) -> None:
    code_id = make()
    provider.start(user, PRO, "/pricing")
    switch(code_id, active=False)
    jobs.push_promos()
    assert rows()[0].state == "made"
    fake.checkout.pay(session_of(user.id))
    settle(fake)
    assert totals(user) == [Decimal("23.2")]
    jobs.push_promos()
    assert rows()[0].state == "ended"


def test_c20_a_code_whose_answer_was_lost_is_found_again(fake: FakeStripe, user: User) -> None:
    make()
    for path in ("/v1/coupons", "/v1/promotion_codes"):
        fake.faults.add(Fault(path=path, method="POST", lost=True, acted=True))
    for _ in range(2):
        with pytest.raises(Unavailable):
            provider.start(user, PRO, "/pricing")
    assert rows()[0].state == "waiting" and taken() == (0, [])
    fake.advance(days=2)
    provider.start(user, PRO, "/pricing")
    assert len(fake.every("coupon")) == len(fake.every("promotion_code")) == 1
    assert (rows()[0].state, rows()[0].error, taken()) == ("made", None, (1, ["reserved"]))


def test_what_is_refused_there_is_told_and_tried_again_by_staff(
    fake: FakeStripe, user: User
) -> None:
    v1: Any = fake.client().v1
    coupon = v1.coupons.create({"percent_off": 5, "duration": "once"})
    theirs = v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SAVE"}
    )
    make()
    jobs.push_promos()
    assert [(row.state, row.error) for row in rows()] == [("refused", "rail_refused")]
    jobs.push_promos()
    assert v1.promotion_codes.retrieve(theirs.id).active, "what is not ours is left alone"
    v1.promotion_codes.update(theirs.id, {"active": False})
    with transaction():
        promos.retry(user.id, rows()[0].id)
    jobs.push_promos()
    assert [(row.state, row.error) for row in rows()] == [("made", None)]


def test_a_code_that_was_switched_off_there_is_made_usable_again(
    fake: FakeStripe, user: User
) -> None:
    make()
    jobs.push_promos()
    v1: Any = fake.client().v1
    v1.promotion_codes.update(rows()[0].external_id, {"active": False})
    with pytest.raises(Conflict):
        provider.start(user, PRO, "/pricing")
    assert taken() == (0, ["released"])
    provider.start(user, PRO, "/pricing")
    assert taken() == (1, ["reserved"])


@pytest.mark.long
def test_a_discount_goes_on_with_a_larger_plan_and_is_shown_before(
    fake: FakeStripe, user: User
) -> None:
    make(periods=None)
    subscribe(fake, user)
    fake.advance(days=10)
    settle(fake)
    premium = Choice("premium", MONTH)
    preview = provider.preview_change(user.id, premium)
    assert preview.next_charge == Money(Decimal("63.2"), "USD")
    assert provider.change(user.id, premium, preview.token) is None
    settle(fake)
    assert totals(user)[1] == preview.due_now.amount
    renew(fake)
    assert totals(user)[2] == Decimal("63.2")


@pytest.mark.long
@pytest.mark.parametrize("plan", ["premium", "pro"])
def test_a_planned_change_keeps_a_discount_or_takes_it_off(
    fake: FakeStripe, user: User, plan: str
) -> None:
    """Another period has none, nor has a plan that the code is not for; a smaller one keeps it."""
    make(periods=None)
    subscribe(fake, user, replace(PRO, plan="premium"))
    choice = Choice("pro", MONTH) if plan == "pro" else Choice("premium", YEAR)
    preview = provider.preview_change(user.id, choice)
    wanted = Decimal("23.2") if plan == "pro" else Decimal(790)
    assert preview.next_charge == Money(wanted, "USD")
    told = sum(line.money.amount for line in preview.lines)
    assert told == wanted, "the discount is a line of its own"
    provider.change(user.id, choice, preview.token)
    settle(fake)
    assert mirrored(user.id).discounts[0]["name"] == "SAVE", "until then it holds"
    standing = provider.standing(user.id)
    assert standing is not None and standing.next_charge == preview.next_charge
    renew(fake)
    assert totals(user) == [Decimal("63.2"), wanted]


@pytest.mark.long
def test_a_code_does_not_go_along_to_a_plan_that_it_is_not_for(
    fake: FakeStripe, user: User
) -> None:
    make("100", periods=None, plans=("pro",))
    subscribe(fake, user)
    premium = Choice("premium", MONTH)
    preview = provider.preview_change(user.id, premium)
    assert preview.next_charge == Money(Decimal(79), "USD")
    provider.change(user.id, premium, preview.token)
    settle(fake)
    assert mirrored(user.id).discounts == []
    renew(fake)
    assert totals(user)[-1] == Decimal(79)


@pytest.mark.long
def test_codes_of_the_dashboard_are_shown_and_left_alone(fake: FakeStripe, user: User) -> None:
    name = subscribed(fake, user.id, price_of(fake))
    v1: Any = fake.client().v1
    coupon = v1.coupons.create(
        {"amount_off": 500, "currency": "usd", "duration": "repeating", "duration_in_months": 3,
         "name": "Friends"}
    )  # fmt: skip
    v1.subscriptions.update(name, {"discounts": [{"coupon": coupon.id}]})
    settle(fake)
    (shown,) = mirrored(user.id).discounts
    assert (shown["name"], shown["amount"], shown["currency"]) == ("Friends", "5.00", "USD")
    renew(fake)
    newest = invoices(user)[-1]
    assert (newest.total, newest.discount) == (Decimal(24), Decimal(5))
    assert newest.discount_name == "Friends"
    standing = provider.standing(user.id)
    assert standing is not None and standing.next_charge == Money(Decimal(24), "USD")
    assert rows() == []


def test_the_end_of_a_code_is_found_by_its_date(fake: FakeStripe, user: User) -> None:
    make(expires_at=utc_now() + timedelta(hours=1))
    jobs.push_promos()
    assert rows()[0].state == "made"
    with transaction():
        db.session.execute(update(PromoCode).values(expires_at=utc_now() - timedelta(seconds=1)))
    jobs.push_promos()
    assert rows()[0].state == "ended"
