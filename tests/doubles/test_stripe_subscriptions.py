"""The fake Stripe: the life of a subscription, seen through the real library."""

import pytest
import stripe

from tests.doubles.stripe import CardDeclined
from tests.doubles.stripe.clock import DAY, HOUR
from tests.doubles.stripe.scenarios import ALWAYS_ASKS, DECLINES_LATER, GOOD, Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


def change(shop: Shop, name: str, price: str) -> dict[str, object]:
    item = shop.fake.get(name)["items"]["data"][0]["id"]
    return {
        "items": [{"id": item, "price": price}],
        "proration_behavior": "always_invoice",
        "proration_date": shop.fake.now,
    }


def preview(shop: Shop, name: str, details: dict[str, object]) -> stripe.Invoice:
    told: stripe.Invoice = shop.v1.invoices.create_preview(
        {"customer": shop.customer, "subscription": name, "subscription_details": details}
    )
    return told


def status(shop: Shop, name: str) -> str:
    return str(shop.fake.get(name)["status"])


@pytest.mark.parametrize(("seconds", "amount"), [(1, 2_999), (15 * DAY, 1_500), (10 * DAY, 1_999)])
def test_an_upgrade_costs_what_its_preview_said(shop: Shop, seconds: int, amount: int) -> None:
    name = shop.subscribe()
    shop.fake.advance(seconds=seconds)
    details = change(shop, name, shop.premium)
    shown = preview(shop, name, details)
    assert shown.amount_due == amount
    before = len(shop.fake.events)
    assert len(shop.fake.every("invoice")) == 1

    row = shop.v1.subscriptions.update(name, {**details, "expand": ["latest_invoice"]})

    assert row.latest_invoice.amount_paid == amount
    assert [line.amount for line in row.latest_invoice.lines.data] == [
        line.amount for line in shown.lines.data
    ]
    assert row["items"].data[0].price.id == shop.premium
    assert {"invoice.paid", "customer.subscription.updated"} <= {
        event["type"] for event in shop.fake.events[before:]
    }


def test_a_preview_with_another_moment_shows_another_amount(shop: Shop) -> None:
    name = shop.subscribe()
    start = shop.fake.now
    shop.fake.advance(days=10)
    details = change(shop, name, shop.premium)
    assert preview(shop, name, {**details, "proration_date": start + 5 * DAY}).amount_due == 2_499
    with pytest.raises(stripe.InvalidRequestError, match="proration_date"):
        preview(shop, name, {**details, "proration_date": start - DAY})


def test_a_declined_upgrade_waits_and_the_old_plan_stays(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.portal.new_card(shop.customer, DECLINES_LATER)
    details = change(shop, name, shop.premium)
    row = shop.v1.subscriptions.update(
        name, {**details, "payment_behavior": "pending_if_incomplete"}
    )
    assert row.status == "active"
    assert row["items"].data[0].price.id == shop.pro
    assert row.pending_update.subscription_items[0].price.id == shop.premium
    assert row.pending_update.expires_at == shop.fake.now + 23 * HOUR

    shop.fake.hosted.pay_invoice(row.latest_invoice, GOOD)

    after = shop.fake.get(name)
    assert after["pending_update"] is None
    assert after["items"]["data"][0]["price"]["id"] == shop.premium
    assert len(shop.fake.events_of("customer.subscription.pending_update_applied")) == 1


def test_a_declined_upgrade_is_forgotten_after_23_hours(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.portal.new_card(shop.customer, DECLINES_LATER)
    details = change(shop, name, shop.premium)
    shop.v1.subscriptions.update(name, {**details, "payment_behavior": "pending_if_incomplete"})
    shop.fake.advance(hours=24)
    after = shop.fake.get(name)
    assert (after["pending_update"], after["status"]) == (None, "active")
    assert after["items"]["data"][0]["price"]["id"] == shop.pro
    assert shop.fake.latest("invoice")["status"] == "void"
    assert len(shop.fake.events_of("customer.subscription.pending_update_expired")) == 1


def test_pending_changes_take_no_other_parameters(shop: Shop) -> None:
    name = shop.subscribe()
    details = change(shop, name, shop.premium)
    with pytest.raises(stripe.InvalidRequestError, match="metadata"):
        shop.v1.subscriptions.update(
            name, {**details, "payment_behavior": "pending_if_incomplete", "metadata": {"a": "b"}}
        )


def test_an_upgrade_that_must_not_fail_changes_nothing_when_the_card_does(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.portal.new_card(shop.customer, DECLINES_LATER)
    before, events = shop.fake.get(name), len(shop.fake.events)
    with pytest.raises(stripe.CardError) as told:
        details = change(shop, name, shop.premium)
        shop.v1.subscriptions.update(name, {**details, "payment_behavior": "error_if_incomplete"})
    assert told.value.code == "card_declined"
    assert shop.fake.get(name) == before
    assert len(shop.fake.events) == events


def test_a_downgrade_is_credited_on_the_next_invoice(shop: Shop) -> None:
    name = str(shop.fake.checkout.pay(shop.checkout(shop.premium))["subscription"])
    shop.fake.advance(days=15)
    details = {**change(shop, name, shop.pro), "proration_behavior": "create_prorations"}
    shown = preview(shop, name, details)
    shop.v1.subscriptions.update(name, details)
    assert len(shop.fake.every("invoice")) == 1
    assert not shop.fake.every("refund")
    shop.fake.advance(days=16)
    last = shop.fake.latest("invoice")
    assert [line["amount"] for line in last["lines"]["data"]] == [-2_500, 1_000, 2_000]
    assert last["amount_paid"] == shown.amount_due == 500


def test_an_upgrade_under_a_lasting_coupon_is_reckoned_after_it(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"percent_off": 20, "duration": "forever"})
    session = shop.checkout(discounts=[{"coupon": coupon.id}])
    name = str(shop.fake.checkout.pay(session)["subscription"])
    shop.fake.advance(days=15)
    details = change(shop, name, shop.premium)
    assert preview(shop, name, details).amount_due == 1_200
    shop.v1.subscriptions.update(name, details)
    assert [line["amount"] for line in shop.fake.latest("invoice")["lines"]["data"]] == [
        -800, 2_000,
    ]  # fmt: skip


def test_a_credit_larger_than_the_bill_stays_with_the_customer(shop: Shop) -> None:
    name = str(shop.fake.checkout.pay(shop.checkout(shop.yearly))["subscription"])
    shop.fake.advance(days=73)
    shop.v1.subscriptions.update(name, change(shop, name, shop.pro))
    made = shop.fake.latest("invoice")
    assert (made["total"], made["amount_due"], made["status"]) == (-14_000, 0, "paid")
    assert shop.fake.get(shop.customer)["balance"] == -14_000
    shop.renew()
    assert shop.fake.get(shop.customer)["balance"] == -12_000
    assert len(shop.fake.every("charge")) == 1


def test_another_interval_is_charged_at_once_and_starts_anew(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.advance(days=15)
    details = {**change(shop, name, shop.yearly), "proration_behavior": "create_prorations"}
    assert preview(shop, name, details).amount_due == 19_000
    row = shop.v1.subscriptions.update(name, {**details, "expand": ["latest_invoice"]})
    assert row.latest_invoice.amount_paid == 19_000
    assert row.billing_cycle_anchor == shop.fake.now
    assert row["items"].data[0].current_period_start == shop.fake.now


def test_a_second_line_joins_the_period_and_leaves_it(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.advance(days=15)
    item = shop.v1.subscription_items.create(
        {"subscription": name, "price": shop.premium, "quantity": 2}
    )
    ends = {row["current_period_end"] for row in shop.fake.get(name)["items"]["data"]}
    assert len(ends) == 1
    shop.fake.advance(days=16)
    assert [line["amount"] for line in shop.fake.latest("invoice")["lines"]["data"]] == [
        5_000, 2_000, 10_000,
    ]  # fmt: skip
    shop.v1.subscription_items.delete(item.id, {"proration_behavior": "none"})
    assert len(shop.fake.get(name)["items"]["data"]) == 1


def test_a_renewal_is_a_draft_for_an_hour(shop: Shop) -> None:
    shop.fake.settings.draft_seconds = HOUR
    name = shop.subscribe()
    end = shop.fake.get(name)["items"]["data"][0]["current_period_end"]
    shop.fake.advance_to(end - 8 * DAY)
    assert not shop.fake.events_of("invoice.upcoming")
    shop.fake.advance_to(end)
    (upcoming,) = shop.fake.events_of("invoice.upcoming")
    assert "id" not in upcoming["data"]["object"]
    assert shop.fake.latest("invoice")["status"] == "draft"
    shop.fake.advance(hours=1)
    assert shop.fake.latest("invoice")["status"] == "paid"
    assert shop.fake.get(name)["items"]["data"][0]["current_period_start"] == end


def test_a_failed_renewal_is_tried_again_and_a_new_card_recovers_it(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.portal.new_card(shop.customer, DECLINES_LATER)
    shop.renew()
    invoice = shop.fake.latest("invoice")
    assert status(shop, name) == "past_due"
    assert invoice["attempt_count"] == 1
    first = invoice["next_payment_attempt"]
    shop.fake.advance_to(first)
    invoice = shop.fake.latest("invoice")
    assert invoice["attempt_count"] == 2
    assert invoice["next_payment_attempt"] == first + 2 * DAY
    with pytest.raises(stripe.CardError):
        shop.v1.invoices.pay(invoice["id"])
    assert shop.fake.latest("invoice")["attempt_count"] == 2
    assert shop.fake.get(shop.customer)["delinquent"] is True

    shop.fake.portal.new_card(shop.customer, GOOD)
    shop.fake.advance(days=3)

    assert status(shop, name) == "active"
    assert shop.fake.get(shop.customer)["delinquent"] is False
    assert shop.fake.latest("invoice")["status"] == "paid"


@pytest.mark.parametrize(
    ("end", "becomes", "next_invoice"),
    [("cancel", "canceled", 2), ("unpaid", "unpaid", 3), ("past_due", "past_due", 3)],
)
def test_the_last_try_ends_as_the_owner_chose(
    shop: Shop, end: str, becomes: str, next_invoice: int
) -> None:
    shop.fake.settings.dunning_end = end
    name = shop.subscribe()
    shop.fake.portal.new_card(shop.customer, DECLINES_LATER)
    shop.renew()
    shop.fake.advance(days=15)
    invoice = shop.fake.latest("invoice")
    assert (invoice["attempt_count"], invoice["next_payment_attempt"]) == (8, None)
    assert status(shop, name) == becomes
    shop.fake.advance(days=20)
    assert len(shop.fake.every("invoice")) == next_invoice
    if end == "unpaid":
        assert shop.fake.latest("invoice")["status"] == "draft"


@pytest.mark.parametrize("by", ["cancel_at_period_end", "cancel_at"])
def test_a_cancellation_takes_effect_at_the_end_unless_it_is_undone(shop: Shop, by: str) -> None:
    name = shop.subscribe()
    end = shop.fake.get(name)["items"]["data"][0]["current_period_end"]
    row = shop.fake.portal.cancel(name, by=by, feedback="too_expensive")
    assert (row["status"], row["cancel_at"]) == ("active", end)
    assert row["cancel_at_period_end"] is (by == "cancel_at_period_end")
    undone = shop.fake.portal.undo_cancel(name)
    assert (undone["cancel_at"], undone["canceled_at"]) == (None, None)
    shop.renew()
    assert status(shop, name) == "active"
    shop.fake.portal.cancel(name, by=by)
    shop.renew()
    assert status(shop, name) == "canceled"
    assert len(shop.fake.events_of("customer.subscription.deleted")) == 1
    assert len(shop.fake.every("charge")) == 2


def test_a_cancelled_subscription_stays_so(shop: Shop) -> None:
    name = shop.subscribe()
    shop.v1.subscriptions.cancel(name)
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        shop.v1.subscriptions.cancel(name)
    with pytest.raises(stripe.InvalidRequestError, match="canceled"):
        shop.v1.subscriptions.update(name, {"cancel_at_period_end": True})


def start(shop: Shop, card: str, **more: object) -> stripe.Subscription:
    method = shop.v1.payment_methods.create(
        {"type": "card", "card": {"number": card, "exp_month": 12, "exp_year": 2034}}
    )
    shop.v1.payment_methods.attach(method.id, {"customer": shop.customer})
    made: stripe.Subscription = shop.v1.subscriptions.create(
        {
            "customer": shop.customer,
            "items": [{"price": shop.pro}],
            "default_payment_method": method.id,
            **more,
        }
    )
    return made


def test_a_first_payment_that_needs_its_customer_waits_23_hours(shop: Shop) -> None:
    row = start(shop, ALWAYS_ASKS)
    assert row.status == "incomplete"
    (told,) = shop.fake.events_of("invoice.payment_action_required")
    assert told["data"]["object"]["hosted_invoice_url"]
    shop.fake.advance(hours=22)
    assert status(shop, row.id) == "incomplete"
    shop.fake.advance(hours=1)
    assert status(shop, row.id) == "incomplete_expired"
    assert shop.fake.latest("invoice")["status"] == "void"


def test_a_customer_who_answers_the_bank_gets_the_subscription(shop: Shop) -> None:
    row = start(shop, ALWAYS_ASKS)
    invoice = shop.v1.invoices.retrieve(row.latest_invoice, {"expand": ["confirmation_secret"]})
    intent = invoice.confirmation_secret.client_secret.split("_secret_")[0]
    shop.fake.hosted.authenticate(intent, ok=False)
    assert status(shop, row.id) == "incomplete"
    shop.fake.hosted.pay_invoice(invoice.id, ALWAYS_ASKS, authenticate=True)
    assert status(shop, row.id) == "active"
    shop.renew()
    assert status(shop, row.id) == "past_due"
    assert len(shop.fake.events_of("invoice.payment_action_required")) == 2


def test_a_first_card_that_declines_leaves_an_incomplete_subscription(shop: Shop) -> None:
    row = start(shop, DECLINES_LATER)
    assert row.status == "incomplete"
    assert not shop.fake.events_of("customer.subscription.updated")[0]["data"]["object"]["ended_at"]
    with pytest.raises(CardDeclined):
        shop.fake.hosted.pay_invoice(str(row.latest_invoice), DECLINES_LATER)
    with pytest.raises(stripe.CardError):
        start(shop, "4000000000000002")


def test_a_paused_collection_voids_invoices_and_stays_active(shop: Shop) -> None:
    name = shop.subscribe()
    shop.v1.subscriptions.update(
        name,
        {"pause_collection": {"behavior": "void", "resumes_at": shop.fake.now + 40 * DAY}},
    )
    shop.renew()
    assert (status(shop, name), shop.fake.latest("invoice")["status"]) == ("active", "void")
    shop.renew()
    assert shop.fake.get(name)["pause_collection"] is None
    assert shop.fake.latest("invoice")["status"] == "paid"


@pytest.mark.parametrize(("card", "becomes"), [(GOOD, "active"), (DECLINES_LATER, "past_due")])
def test_a_paused_subscription_is_resumed_by_an_invoice(
    shop: Shop, card: str, becomes: str
) -> None:
    session = shop.checkout(
        subscription_data={
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
        },
        payment_method_collection="if_required",
    )
    name = str(shop.fake.checkout.pay(session, None)["subscription"])
    shop.fake.advance(days=40)
    row = shop.v1.subscriptions.retrieve(name)
    assert (row.status, row.status_details.paused.type) == ("paused", "subscription")
    assert len(shop.fake.every("invoice")) == 1
    shop.fake.portal.new_card(shop.customer, card)
    assert shop.v1.subscriptions.resume(name).status == becomes
    assert len(shop.fake.events_of("customer.subscription.resumed")) == 1


def test_days_are_given_by_moving_the_end_of_a_trial(shop: Shop) -> None:
    name = shop.subscribe()
    end = shop.fake.get(name)["items"]["data"][0]["current_period_end"]
    row = shop.v1.subscriptions.update(
        name, {"trial_end": end + 7 * DAY, "proration_behavior": "none"}
    )
    assert row.status == "trialing"
    assert row["items"].data[0].current_period_end == end + 7 * DAY
    shop.fake.advance_to(end + 7 * DAY)
    assert status(shop, name) == "active"
    assert [charge["amount"] for charge in shop.fake.every("charge")] == [2_000, 2_000]


def test_a_trial_can_be_ended_now(shop: Shop) -> None:
    done = shop.fake.checkout.pay(shop.checkout(subscription_data={"trial_period_days": 14}))
    row = shop.v1.subscriptions.update(done["subscription"], {"trial_end": "now"})
    assert row.status == "active"
    assert shop.fake.latest("invoice")["amount_paid"] == 2_000


def test_a_deleted_customer_has_no_subscriptions_left(shop: Shop) -> None:
    name = shop.subscribe()
    assert shop.v1.customers.delete(shop.customer).deleted
    assert status(shop, name) == "canceled"
    assert shop.v1.customers.retrieve(shop.customer).deleted
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        shop.checkout()


def test_features_follow_the_subscription(shop: Shop) -> None:
    feature = shop.v1.entitlements.features.create({"name": "Live", "lookup_key": "live_trading"})
    shop.v1.products.features.create(shop.product, {"entitlement_feature": feature.id})
    name = shop.subscribe()
    rows = shop.v1.entitlements.active_entitlements.list({"customer": shop.customer})
    assert [row.lookup_key for row in rows.data] == ["live_trading"]
    shop.v1.subscriptions.cancel(name)
    rows = shop.v1.entitlements.active_entitlements.list({"customer": shop.customer})
    assert not rows.data
    told = shop.fake.events_of("entitlements.active_entitlement_summary.updated")
    assert [len(event["data"]["object"]["entitlements"]["data"]) for event in told] == [1, 0]
