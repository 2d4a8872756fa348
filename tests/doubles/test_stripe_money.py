"""The fake Stripe: refunds, disputes, invoices and metered use, seen through the real library."""

from decimal import Decimal

import pytest
import stripe

from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.scenarios import DISPUTES, Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_two_partial_refunds_add_up(shop: Shop) -> None:
    shop.subscribe()
    charge = shop.charge()
    for amount in (700, 300):
        shop.v1.refunds.create({"charge": charge, "amount": amount, "reason": "duplicate"})
    row = shop.v1.charges.retrieve(charge, {"expand": ["refunds.data.balance_transaction"]})
    assert (row.amount_refunded, row.refunded) == (1_000, False)
    assert [refund.balance_transaction.net for refund in row.refunds.data] == [-300, -700]
    told = [e["data"]["object"]["amount_refunded"] for e in shop.fake.events_of("charge.refunded")]
    assert told == [700, 1_000]
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        shop.v1.refunds.create({"charge": charge, "amount": 1_001})
    shop.v1.refunds.create({"payment_intent": row.payment_intent})
    assert shop.v1.charges.retrieve(charge).refunded
    with pytest.raises(stripe.InvalidRequestError) as no:
        shop.v1.refunds.create({"charge": charge})
    assert no.value.code == "charge_already_refunded"
    assert shop.fake.latest("subscription")["status"] == "active"


def test_a_refund_that_comes_back_is_money_of_ours_again(shop: Shop) -> None:
    shop.subscribe()
    refund = shop.v1.refunds.create({"charge": shop.charge(), "amount": 700})
    shop.fake.bank.fail_refund(refund.id)
    assert shop.v1.refunds.retrieve(refund.id).status == "failed"
    assert shop.fake.latest("charge")["amount_refunded"] == 0
    assert shop.fake.events_of("refund.failed")
    assert shop.fake.latest("balance_transaction")["net"] == 700


def test_a_card_whose_refunds_fail_fails_them_a_day_later(shop: Shop) -> None:
    shop.subscribe("4000000000005126")
    refund = shop.v1.refunds.create({"charge": shop.charge()})
    assert refund.status == "succeeded"
    shop.fake.advance(days=1)
    assert shop.fake.get(refund.id)["status"] == "failed"


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_takes_the_money_and_gives_it_back_if_it_is_won(shop: Shop, won: bool) -> None:
    shop.subscribe(DISPUTES)
    dispute = shop.fake.latest("dispute")
    assert (dispute["status"], dispute["amount"]) == ("needs_response", 2_000)
    assert shop.fake.latest("charge")["disputed"] is True
    with pytest.raises(stripe.InvalidRequestError, match="charged back"):
        shop.v1.refunds.create({"charge": dispute["charge"]})
    words = "winning_evidence" if won else "losing_evidence"
    row = shop.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": words}})
    assert row.status == ("won" if won else "lost")
    nets = [each.net for each in row.balance_transactions]
    assert nets == ([-3_500, 3_500] if won else [-3_500])
    told = [e["type"] for e in shop.fake.events if e["type"].startswith("charge.dispute")]
    assert told[:2] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    assert ("charge.dispute.funds_reinstated" in told) is won
    with pytest.raises(stripe.InvalidRequestError, match="closed"):
        shop.v1.disputes.close(dispute["id"])


def test_a_warning_of_fraud_names_its_charge(shop: Shop) -> None:
    shop.subscribe("4000000000005423")
    (told,) = shop.fake.events_of("radar.early_fraud_warning.created")
    assert told["data"]["object"]["charge"] == shop.charge()


def test_an_invoice_of_our_own_goes_from_draft_to_paid(shop: Shop) -> None:
    shop.fake.portal.new_card(shop.customer)
    draft = shop.v1.invoices.create({"customer": shop.customer, "metadata": {"ours": "17"}})
    for amount in (1_250, -250):
        shop.v1.invoice_items.create(
            {
                "customer": shop.customer,
                "invoice": draft.id,
                "amount": amount,
                "currency": "usd",
                "description": "Set-up",
            }
        )
    done = shop.v1.invoices.finalize_invoice(draft.id)
    assert (done.status, done.amount_due, done.number[-5:]) == ("open", 1_000, "-0001")
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.invoices.finalize_invoice(draft.id)
    assert shop.v1.invoices.pay(draft.id).status == "paid"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        shop.v1.invoices.pay(draft.id)
    with pytest.raises(stripe.InvalidRequestError, match="void"):
        shop.v1.invoices.void_invoice(draft.id)
    payments = shop.v1.invoice_payments.list({"invoice": draft.id})
    intent = payments.data[0].payment.payment_intent
    found = shop.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": intent}}
    )
    assert found.data[0].invoice == draft.id


def test_an_uncollectible_invoice_can_still_be_paid(shop: Shop) -> None:
    draft = shop.v1.invoices.create(
        {"customer": shop.customer, "collection_method": "send_invoice", "days_until_due": 3}
    )
    shop.v1.invoice_items.create(
        {"customer": shop.customer, "invoice": draft.id, "amount": 500, "currency": "usd"}
    )
    sent = shop.v1.invoices.send_invoice(draft.id)
    assert sent.due_date == shop.fake.now + 3 * DAY
    shop.v1.invoices.mark_uncollectible(draft.id)
    row = shop.v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    assert (row.status, row.amount_paid, row.amount_paid_off_stripe) == ("paid", 500, 500)
    assert not shop.fake.every("charge")


def test_taxes_are_copied_to_lines_and_sums(shop: Shop) -> None:
    shop.fake.settings.tax_percent = Decimal("20")
    session = shop.checkout(automatic_tax={"enabled": True})
    done = shop.fake.checkout.pay(session)
    assert (done["amount_total"], done["total_details"]["amount_tax"]) == (2_400, 400)
    invoice = shop.fake.latest("invoice")
    assert (invoice["subtotal"], invoice["total"], invoice["amount_paid"]) == (2_000, 2_400, 2_400)
    assert invoice["total_taxes"][0]["amount"] == 400
    assert invoice["total_excluding_tax"] == 2_000


def intent_of(shop: Shop, method: str) -> stripe.PaymentIntent:
    made: stripe.PaymentIntent = shop.v1.payment_intents.create(
        {
            "amount": 1_000,
            "currency": "usd",
            "customer": shop.customer,
            "payment_method": method,
            "confirm": True,
        }
    )
    return made


def test_a_payment_without_a_page_succeeds_declines_or_asks(shop: Shop) -> None:
    assert intent_of(shop, "pm_card_visa").status == "succeeded"
    with pytest.raises(stripe.CardError) as told:
        intent_of(shop, "pm_card_chargeDeclinedInsufficientFunds")
    assert told.value.http_status == 402
    assert told.value.error is not None
    assert told.value.error.decline_code == "insufficient_funds"
    assert told.value.error.payment_intent is not None
    assert told.value.error.payment_intent["status"] == "requires_payment_method"
    asks = intent_of(shop, "pm_card_authenticationRequired")
    assert asks.status == "requires_action"
    assert asks.next_action is not None
    shop.fake.hosted.authenticate(asks.id, ok=True)
    assert shop.v1.payment_intents.retrieve(asks.id).amount_received == 1_000
    with pytest.raises(stripe.InvalidRequestError, match="cannot cancel"):
        shop.v1.payment_intents.cancel(asks.id)


def test_a_card_is_saved_and_taken_away(shop: Shop) -> None:
    intent = shop.v1.setup_intents.create(
        {"customer": shop.customer, "payment_method": "pm_card_visa", "confirm": True}
    )
    assert intent.status == "succeeded"
    cards = shop.v1.customers.payment_methods.list(shop.customer)
    assert [row.card.last4 for row in cards.data] == ["4242"]
    shop.v1.customers.update(
        shop.customer, {"invoice_settings": {"default_payment_method": cards.data[0].id}}
    )
    shop.v1.payment_methods.detach(cards.data[0].id)
    assert shop.fake.get(shop.customer)["invoice_settings"]["default_payment_method"] is None
    assert [event["type"] for event in shop.fake.events if "payment_method" in event["type"]] == [
        "payment_method.attached", "payment_method.detached",
    ]  # fmt: skip


def test_metered_use_counts_once_and_not_too_late(shop: Shop) -> None:
    event = {
        "event_name": "calls",
        "identifier": "row-17",
        "payload": {"stripe_customer_id": shop.customer, "value": "3"},
    }
    assert shop.v1.billing.meter_events.create(event).identifier == "row-17"
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        shop.v1.billing.meter_events.create(event)
    late = {**event, "identifier": "row-18", "timestamp": shop.fake.now - 36 * DAY}
    with pytest.raises(stripe.InvalidRequestError, match="35 days"):
        shop.v1.billing.meter_events.create(late)


def test_the_portal_is_for_a_customer_that_exists(shop: Shop) -> None:
    made = shop.v1.billing_portal.sessions.create(
        {"customer": shop.customer, "return_url": "https://shop.example/back"}
    )
    assert made.url.startswith("https://billing.stripe.com/p/session/bps_")
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        shop.v1.billing_portal.sessions.create({"customer": "cus_nobody"})
