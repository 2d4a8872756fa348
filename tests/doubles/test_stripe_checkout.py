"""The fake Stripe: Checkout, seen through the real library."""

from typing import Any

import pytest
import stripe

from tests.doubles.stripe import CardDeclined
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.scenarios import GOOD, METADATA, Shop

DECLINED, POOR, ASKS = "4000000000000002", "4000000000009995", "4000002500003155"


@pytest.fixture
def shop() -> Shop:
    return Shop()


def types(shop: Shop) -> list[str]:
    return [event["type"] for event in shop.fake.events]


def test_a_paid_checkout_makes_an_active_subscription_and_tells_of_it_last(shop: Shop) -> None:
    session = shop.checkout()
    opened = shop.v1.checkout.sessions.retrieve(session)
    assert (opened.status, opened.payment_status, opened.amount_total) == ("open", "unpaid", 2_000)

    done = shop.fake.checkout.pay(session)

    assert (done["status"], done["payment_status"]) == ("complete", "paid")
    row = shop.v1.subscriptions.retrieve(
        done["subscription"], {"expand": ["latest_invoice.payments", "default_payment_method"]}
    )
    assert row.status == "active"
    assert row.metadata.to_dict() == METADATA
    assert row.default_payment_method.card.last4 == "4242"
    item = row["items"].data[0]
    assert item.current_period_end == item.current_period_start + 30 * DAY
    assert not hasattr(row, "current_period_end")
    invoice = row.latest_invoice
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == (
        "paid", 2_000, "subscription_create",
    )  # fmt: skip
    assert invoice.parent.subscription_details.subscription == row.id
    intent = shop.v1.payment_intents.retrieve(
        invoice.payments.data[0].payment.payment_intent, {"expand": ["latest_charge"]}
    )
    assert intent.latest_charge.amount == 2_000
    told = types(shop)
    assert told.index("customer.subscription.created") < told.index("invoice.paid")
    assert told.index("customer.subscription.updated") < told.index("checkout.session.completed")


def test_the_subscription_is_told_incomplete_first_and_active_later(shop: Shop) -> None:
    shop.subscribe()
    created, updated = shop.fake.events_of(
        "customer.subscription.created", "customer.subscription.updated"
    )
    assert created["data"]["object"]["status"] == "incomplete"
    assert updated["data"]["object"]["status"] == "active"
    assert updated["data"]["previous_attributes"]["status"] == "incomplete"


@pytest.mark.parametrize(
    ("card", "code"), [(DECLINED, "generic_decline"), (POOR, "insufficient_funds")]
)
def test_a_declined_card_leaves_the_session_open(shop: Shop, card: str, code: str) -> None:
    session = shop.checkout()
    with pytest.raises(CardDeclined) as told:
        shop.fake.checkout.pay(session, card)
    assert told.value.decline_code == code
    assert shop.v1.checkout.sessions.retrieve(session).status == "open"
    assert not shop.fake.every("subscription")
    assert "payment_intent.payment_failed" in types(shop)

    assert shop.fake.checkout.pay(session, GOOD)["status"] == "complete"


def test_three_d_secure_asks_and_the_answer_decides(shop: Shop) -> None:
    session = shop.checkout()
    assert shop.fake.checkout.pay(session, ASKS, authenticate=None)["status"] == "open"
    with pytest.raises(CardDeclined):
        shop.fake.checkout.authenticate(session, ok=False)
    shop.fake.checkout.pay(session, ASKS, authenticate=None)
    assert shop.fake.checkout.authenticate(session, ok=True)["payment_status"] == "paid"
    shop.renew()
    assert [invoice["status"] for invoice in shop.fake.every("invoice")] == ["paid", "paid"]


def test_a_trial_with_a_card_takes_no_money_until_it_ends(shop: Shop) -> None:
    session = shop.checkout(subscription_data={"trial_period_days": 14})
    with pytest.raises(CardDeclined, match="incomplete"):
        shop.fake.checkout.pay(session, None)
    done = shop.fake.checkout.pay(session)
    assert done["payment_status"] == "no_payment_required"
    row = shop.fake.get(done["subscription"])
    assert (row["status"], row["trial_end"]) == ("trialing", shop.fake.now + 14 * DAY)

    shop.fake.advance(days=10)
    assert not shop.fake.events_of("customer.subscription.trial_will_end")
    shop.fake.advance(days=1)
    assert len(shop.fake.events_of("customer.subscription.trial_will_end")) == 1
    shop.fake.advance(days=4)
    assert shop.fake.get(row["id"])["status"] == "active"
    assert [charge["amount"] for charge in shop.fake.every("charge")] == [2_000]
    assert len(shop.fake.events_of("customer.subscription.trial_will_end")) == 1


@pytest.mark.parametrize(("missing", "status"), [("cancel", "canceled"), ("pause", "paused")])
def test_a_trial_without_a_card_ends_as_it_was_agreed(
    shop: Shop, missing: str, status: str
) -> None:
    session = shop.checkout(
        subscription_data={
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": missing}},
        },
        payment_method_collection="if_required",
    )
    name = shop.fake.checkout.pay(session, None)["subscription"]
    shop.fake.advance(days=8)
    assert shop.fake.get(name)["status"] == status
    told = {"canceled": "customer.subscription.deleted", "paused": "customer.subscription.paused"}
    assert len(shop.fake.events_of(told[status])) == 1


def test_a_code_takes_off_once_and_counts(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"percent_off": 20, "duration": "once"})
    code = shop.v1.promotion_codes.create(
        {
            "promotion": {"type": "coupon", "coupon": coupon.id},
            "code": "LAUNCH20",
            "max_redemptions": 1,
        }
    )
    session = shop.checkout(allow_promotion_codes=True)
    done = shop.fake.checkout.pay(session, promotion_code="launch20")
    assert (done["amount_total"], done["total_details"]["amount_discount"]) == (1_600, 400)
    first = shop.fake.latest("invoice")
    assert first["total_discount_amounts"][0]["amount"] == 400
    shop.renew()
    assert [invoice["total"] for invoice in shop.fake.every("invoice")] == [1_600, 2_000]
    used = shop.v1.promotion_codes.retrieve(code.id)
    assert (used.times_redeemed, used.active) == (1, False)
    with pytest.raises(stripe.InvalidRequestError, match="promotion code"):
        shop.checkout(discounts=[{"promotion_code": code.id}])


def test_a_code_for_new_customers_is_refused_to_one_who_paid(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"amount_off": 500, "currency": "usd", "duration": "forever"})
    code = shop.v1.promotion_codes.create(
        {
            "promotion": {"type": "coupon", "coupon": coupon.id},
            "restrictions": {"first_time_transaction": True},
        }
    )
    shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="prior transactions"):
        shop.checkout(discounts=[{"promotion_code": code.id}])


def test_a_coupon_for_good_lowers_every_invoice(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"amount_off": 500, "currency": "usd", "duration": "forever"})
    shop.fake.checkout.pay(shop.checkout(discounts=[{"coupon": coupon.id}]))
    shop.renew()
    assert [invoice["total"] for invoice in shop.fake.every("invoice")] == [1_500, 1_500]


def test_an_old_way_of_making_codes_is_refused(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"percent_off": 20})
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.promotion_codes.create({"coupon": coupon.id, "code": "OLD"})


def test_a_session_expires_after_a_day_or_when_told(shop: Shop) -> None:
    first, second = shop.checkout(), shop.checkout(expires_at=shop.fake.now + 3_600)
    shop.fake.advance(hours=2)
    assert shop.fake.get(second)["status"] == "expired"
    assert shop.v1.checkout.sessions.expire(first).status == "expired"
    assert len(shop.fake.events_of("checkout.session.expired")) == 2
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.checkout.sessions.expire(first)
    with pytest.raises(stripe.InvalidRequestError, match="expires_at"):
        shop.checkout(expires_at=shop.fake.now + 60)


@pytest.mark.parametrize("ok", [True, False])
def test_a_delayed_method_completes_before_its_money_comes(shop: Shop, ok: bool) -> None:
    session = shop.v1.checkout.sessions.create(payment_of(shop))
    done = shop.fake.checkout.pay(session.id, delayed=True)
    assert (done["status"], done["payment_status"]) == ("complete", "unpaid")
    done = shop.fake.checkout.settle(session.id, ok=ok)
    assert done["payment_status"] == ("paid" if ok else "unpaid")
    word = "succeeded" if ok else "failed"
    assert len(shop.fake.events_of(f"checkout.session.async_payment_{word}")) == 1
    assert len(shop.fake.events_of("charge.succeeded")) == int(ok)


def test_a_subscription_by_debit_is_late_when_the_debit_comes_back(shop: Shop) -> None:
    good, bad = (shop.fake.checkout.pay(shop.checkout(), delayed=True) for _ in range(2))
    assert (good["payment_status"], bad["payment_status"]) == ("unpaid", "unpaid")
    assert shop.fake.checkout.settle(good["id"], ok=True)["payment_status"] == "paid"
    shop.fake.checkout.settle(bad["id"], ok=False)
    assert shop.fake.get(good["invoice"])["status"] == "paid"
    assert shop.fake.get(bad["invoice"])["status"] == "open"
    assert shop.fake.get(good["subscription"])["status"] == "active"
    assert shop.fake.get(bad["subscription"])["status"] == "past_due"


def payment_of(shop: Shop, **more: Any) -> dict[str, Any]:
    price = {"currency": "usd", "unit_amount": 2_000, "product": shop.product}
    return {
        "mode": "payment",
        "customer": shop.customer,
        "line_items": [{"quantity": 2, "price_data": price}],
        "payment_intent_data": {"metadata": {"topup": "1"}},
        "success_url": "https://shop.example/done",
        **more,
    }


def test_a_payment_is_a_charge_with_its_metadata_and_fee(shop: Shop) -> None:
    session = shop.v1.checkout.sessions.create(payment_of(shop))
    done = shop.fake.checkout.pay(session.id)
    intent = shop.v1.payment_intents.retrieve(
        done["payment_intent"], {"expand": ["latest_charge.balance_transaction"]}
    )
    assert intent.metadata["topup"] == "1"
    assert intent.latest_charge.amount == 4_000
    row = intent.latest_charge.balance_transaction
    assert (row.fee, row.net) == (146, 3_854)
    lines = shop.v1.checkout.sessions.line_items.list(session.id)
    assert [(line.quantity, line.amount_total) for line in lines.data] == [(2, 4_000)]


def test_a_thing_bought_beside_a_subscription_is_on_its_first_invoice(shop: Shop) -> None:
    extra = {"currency": "usd", "unit_amount": 700, "product": shop.product}
    rows = [{"price": shop.pro, "quantity": 2}, {"price_data": extra, "quantity": 1}]
    done = shop.fake.checkout.pay(shop.checkout(line_items=rows))
    assert done["amount_total"] == 4_700
    first = shop.fake.get(done["invoice"])
    assert [line["amount"] for line in first["lines"]["data"]] == [700, 4_000]
    shop.renew()
    assert shop.fake.latest("invoice")["amount_paid"] == 4_000


def test_a_guest_becomes_a_customer_of_a_subscription(shop: Shop) -> None:
    session = shop.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer_email": "new@example.com",
            "line_items": [{"price": shop.pro, "quantity": 1}],
            "success_url": "https://shop.example/done",
        }
    )
    done = shop.fake.checkout.pay(session.id)
    assert shop.v1.customers.retrieve(done["customer"]).email == "new@example.com"
    assert done["customer_details"]["email"] == "new@example.com"
