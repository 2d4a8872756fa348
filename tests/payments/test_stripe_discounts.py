"""Discounts at Stripe as pictures of our own; pure."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.payments.port import RailDiscount
from app.adapters.payments.stripe import discounts
from app.money import Money

OURS = {"app": "botyard", "code": "SPRING"}


def coupon(**more: Any) -> dict[str, Any]:
    return {
        "id": "cpn_1", "name": "Spring sale", "metadata": {}, "percent_off": 12.5,
        "amount_off": None, "currency": None, "duration": "repeating", **more,
    }  # fmt: skip


def lowered(kind: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return what is lowered by one coupon."""
    found = {"id": "di_1", "source": {"coupon": kind}, "promotion_code": None, "end": 1_000, **more}
    return {"discounts": [found]}


def test_a_share_an_amount_and_how_long_they_hold_are_read() -> None:
    (share,) = discounts.picture(lowered(coupon()), "botyard")
    end = datetime.fromtimestamp(1_000, UTC)
    assert share == RailDiscount("Spring sale", Decimal("12.5"), None, end, is_once=False)
    five = coupon(percent_off=None, amount_off=500, currency="usd", duration="once")
    (amount,) = discounts.picture(lowered(five, end=None), "botyard")
    assert (amount.money, amount.percent) == (Money(Decimal(5), "USD"), None)
    assert (amount.until, amount.is_once) == (None, True)


@pytest.mark.parametrize(
    ("kind", "typed", "name"),
    [
        (coupon(metadata=OURS), "SPRING-36M", "SPRING"),
        (coupon(metadata={**OURS, "app": "another"}), "SPRING-36M", "SPRING-36M"),
        (coupon(), None, "Spring sale"),
        (coupon(name=None), None, "cpn_1"),
        (coupon(name=" A\x00B "), None, "AB"),
    ],
)
def test_our_own_word_comes_first_then_what_customers_of_stripe_read(
    kind: dict[str, Any], typed: str | None, name: str
) -> None:
    code = {"id": "promo_1", "code": typed} if typed else None
    assert discounts.names(lowered(kind, promotion_code=code), "botyard") == (name,)


@pytest.mark.parametrize("told", [None, [], ["di_1"], [{"id": "di_1", "source": {"coupon": "c"}}]])
def test_what_is_told_by_its_name_alone_says_nothing(told: Any) -> None:
    assert discounts.picture({"discounts": told}, "botyard") == ()
    assert discounts.names({"discounts": told}, "botyard") == ()


def test_all_discounts_go_on_but_those_that_are_named() -> None:
    rows = [{"id": "di_1", "promotion_code": "promo_1"}, {"id": "di_2", "promotion_code": None}]
    assert discounts.discount_params({"discounts": rows}, ()) == [
        {"discount": "di_1"},
        {"discount": "di_2"},
    ]
    assert discounts.discount_params({"discounts": rows}, ("promo_1",)) == [{"discount": "di_2"}]
    assert discounts.discount_params({"discounts": rows[:1]}, ("promo_1", "promo_2")) == ""
