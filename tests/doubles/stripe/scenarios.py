"""Our own sequences: the scenarios of the recordings, and those they lack, played on the fake."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.doubles.stripe.clock import DAY, HOUR
from tests.doubles.stripe.errors import CardDeclined
from tests.doubles.stripe.fake import FakeStripe
from tests.doubles.stripe.sequences import KINDS, EventSequence
from tests.doubles.stripe.values import Json

START = 1_788_264_010
METADATA = {"app": "saas", "user_id": "7"}
GOOD, DECLINES_LATER = "4242424242424242", "4000000000000341"
ALWAYS_ASKS, DISPUTES = "4000002760003184", "4000000000000259"


class Shop:
    """A fake with something to sell and one customer."""

    def __init__(self, now: int = START) -> None:
        self.fake = FakeStripe(now=now)
        self.fake.settings.draft_seconds = 0
        self.client = self.fake.client()
        # Parameters are put together from parts here: the contract checks them, not their types.
        self.v1: Any = self.client.v1
        product = self.v1.products.create({"name": "Bot rental"})
        self.product = product.id
        self.pro = self.price("pro_monthly", 2_000)
        self.premium = self.price("premium_monthly", 5_000)
        self.yearly = self.price("pro_yearly", 20_000, "year")
        self.customer = self.v1.customers.create(
            {"email": "user7@example.com", "metadata": METADATA}
        ).id
        # What was there before the story begins is not told again.
        self.fake.account.notes.clear()

    def price(self, key: str, amount: int, interval: str = "month") -> str:
        """Return a new price."""
        made = self.v1.prices.create(
            {
                "product": self.product,
                "currency": "usd",
                "unit_amount": amount,
                "lookup_key": key,
                "recurring": {"interval": interval},
            }
        )
        return str(made.id)

    def checkout(self, price: str | None = None, **more: Any) -> str:
        """Return a new Checkout Session for a subscription."""
        data: Json = {"metadata": METADATA, **more.pop("subscription_data", {})}
        made = self.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "customer": self.customer,
                "client_reference_id": "7",
                "metadata": METADATA,
                "line_items": [{"price": price or self.pro, "quantity": 1}],
                "success_url": "https://shop.example/done?session={CHECKOUT_SESSION_ID}",
                "cancel_url": "https://shop.example/pricing",
                "subscription_data": data,
                **more,
            }
        )
        return str(made.id)

    def subscribe(self, card: str = GOOD) -> str:
        """Subscribe to pro through Checkout; return the subscription."""
        done = self.fake.checkout.pay(self.checkout(), card)
        return str(done["subscription"])

    def upgrade(self, subscription: str, price: str, **more: object) -> None:
        """Change the price at once."""
        item = self.fake.get(subscription)["items"]["data"][0]["id"]
        self.v1.subscriptions.update(
            subscription,
            {
                "items": [{"id": item, "price": price}],
                "proration_behavior": "always_invoice",
                **more,
            },
        )

    def renew(self) -> None:
        """Let the period of the newest subscription end, and an hour more."""
        items = self.fake.latest("subscription")["items"]["data"]
        self.fake.advance_to(max(item["current_period_end"] for item in items) + HOUR)

    def charge(self) -> str:
        """Return the newest charge."""
        return str(self.fake.latest("charge")["id"])


@dataclass(frozen=True)
class Scenario:
    """A story, and what must hold at its end."""

    name: str
    description: str
    play: Callable[[Shop], object]
    expect: tuple[tuple[str, object], ...]


def _trial(shop: Shop, missing: str | None = None, card: str | None = GOOD) -> str:
    data: Json = {"trial_period_days": 14}
    more: Json = {}
    if missing:
        data["trial_settings"] = {"end_behavior": {"missing_payment_method": missing}}
        more["payment_method_collection"] = "if_required"
    session = shop.checkout(subscription_data=data, **more)
    return str(shop.fake.checkout.pay(session, card)["subscription"])


def _renewed(shop: Shop) -> None:
    shop.subscribe()
    shop.renew()


def _converted(shop: Shop) -> None:
    _trial(shop)
    shop.fake.advance(days=14, hours=1)


def _ended_without_card(shop: Shop) -> None:
    _trial(shop, "cancel", None)
    shop.fake.advance(days=15)


def _past_due(shop: Shop) -> str:
    name = shop.subscribe()
    shop.fake.portal.new_card(shop.customer, DECLINES_LATER)
    shop.renew()
    return name


def _recovered(shop: Shop) -> None:
    _past_due(shop)
    shop.fake.advance(days=2)
    shop.fake.hosted.pay_invoice(shop.fake.latest("invoice")["id"], GOOD)


def _exhausted(shop: Shop, end: str) -> None:
    shop.fake.settings.dunning_end = end
    _past_due(shop)
    shop.fake.advance(days=20)


def _pauses_without_card(shop: Shop) -> None:
    name = _trial(shop, "pause", None)
    shop.fake.advance(days=15)
    shop.fake.portal.new_card(shop.customer)
    shop.fake.advance(days=1)
    shop.v1.subscriptions.resume(name, {"billing_cycle_anchor": {"type": "now"}})


def _conversion_declined(shop: Shop) -> None:
    _trial(shop, card=DECLINES_LATER)
    shop.fake.advance(days=14, hours=1)


def _upgrade(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.advance(seconds=1)
    shop.upgrade(name, shop.premium)


def _upgrade_declined(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.portal.new_card(shop.customer, DECLINES_LATER)
    shop.fake.advance(seconds=5)
    shop.upgrade(name, shop.premium, payment_behavior="pending_if_incomplete")


def _downgrade(shop: Shop) -> None:
    name = shop.subscribe()
    shop.upgrade(name, shop.premium)
    shop.fake.advance(days=15)
    shop.upgrade(name, shop.pro, proration_behavior="create_prorations")
    shop.fake.advance(days=16)


def _cancel(shop: Shop, *, undo: bool) -> None:
    name = shop.subscribe()
    shop.fake.advance(days=3)
    shop.fake.portal.cancel(name)
    if undo:
        shop.fake.advance(days=1)
        shop.fake.portal.undo_cancel(name)
    shop.renew()


def _cancel_now(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.advance(seconds=1)
    shop.v1.subscriptions.cancel(name, {"prorate": True, "invoice_now": True})


def _incomplete(shop: Shop, card: str) -> None:
    method = shop.v1.payment_methods.create(
        {"type": "card", "card": {"number": card, "exp_month": 12, "exp_year": 2034}}
    )
    shop.v1.payment_methods.attach(method.id, {"customer": shop.customer})
    shop.v1.subscriptions.create(
        {
            "customer": shop.customer,
            "items": [{"price": shop.pro}],
            "default_payment_method": method.id,
            "metadata": METADATA,
        }
    )


def _sca_expired(shop: Shop) -> None:
    _incomplete(shop, ALWAYS_ASKS)
    shop.fake.advance(hours=24)


def _refund(shop: Shop, *amounts: int, fails: bool = False) -> None:
    shop.subscribe()
    for amount in amounts:
        shop.fake.advance(hours=1)
        made = shop.v1.refunds.create({"charge": shop.charge(), "amount": amount})
        if fails:
            shop.fake.advance(days=2)
            shop.fake.bank.fail_refund(made.id)


def _dispute(shop: Shop, *, won: bool) -> None:
    session = shop.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "customer": shop.customer,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": 2_000,
                        "product": shop.product,
                    },
                }
            ],
            "payment_intent_data": {"metadata": {**METADATA, "wallet_topup": "1"}},
            "metadata": METADATA,
            "success_url": "https://shop.example/done",
        }
    )
    shop.fake.checkout.pay(session.id, DISPUTES)
    shop.fake.advance(days=5)
    shop.fake.bank.close_dispute(shop.fake.latest("dispute")["id"], won=won)


def _promotion(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"percent_off": 20, "duration": "once"})
    shop.v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "LAUNCH20"}
    )
    session = shop.checkout(allow_promotion_codes=True)
    shop.fake.checkout.pay(session, promotion_code="LAUNCH20")
    shop.renew()


def _out_of_band(shop: Shop) -> None:
    made = shop.v1.subscriptions.create(
        {
            "customer": shop.customer,
            "items": [{"price": shop.pro}],
            "collection_method": "send_invoice",
            "days_until_due": 7,
            "metadata": METADATA,
        }
    )
    invoice = str(made.latest_invoice)
    shop.v1.invoices.finalize_invoice(invoice)
    shop.v1.invoices.pay(invoice, {"paid_out_of_band": True})


def _to_year(shop: Shop) -> None:
    name = shop.subscribe()
    shop.fake.advance(seconds=1)
    shop.upgrade(name, shop.yearly)


def _customer_deleted(shop: Shop) -> None:
    shop.subscribe()
    shop.v1.customers.delete(shop.customer)


def _voided(shop: Shop) -> None:
    name = _past_due(shop)
    shop.v1.invoices.void_invoice(shop.fake.latest("invoice")["id"])
    shop.v1.subscriptions.cancel(name)


def _collection_paused(shop: Shop) -> None:
    name = shop.subscribe()
    shop.v1.subscriptions.update(name, {"pause_collection": {"behavior": "void"}})
    shop.renew()


def _abandoned(shop: Shop) -> None:
    session = shop.checkout()
    try:
        shop.fake.checkout.pay(session, "4000000000000002")
    except CardDeclined:
        shop.fake.advance_to(START + DAY + 60)


def _free(status: str, **more: object) -> tuple[tuple[str, object], ...]:
    return (("plan", "free"), ("access", False), ("status", status), *more.items())


def _pro(paid: int, **more: object) -> tuple[tuple[str, object], ...]:
    return (("plan", "pro"), ("access", True), ("ledger_paid_cents", paid), *more.items())


SCENARIOS = (
    Scenario("01-checkout-success", "free -> pro", Shop.subscribe, _pro(2_000)),
    Scenario(
        "02-renewal-success",
        "one renewal",
        _renewed,
        _pro(4_000),
    ),
    Scenario("03-past-due-recovered", "new card pays the open invoice", _recovered, _pro(4_000)),
    Scenario(
        "04-past-due-canceled",
        "retries exhausted, cancel",
        lambda shop: _exhausted(shop, "cancel"),
        _free("canceled"),
    ),
    Scenario(
        "05-past-due-unpaid",
        "retries exhausted, unpaid",
        lambda shop: _exhausted(shop, "unpaid"),
        _free("unpaid"),
    ),
    Scenario(
        "06-trial-converts",
        "14-day trial with card, converts",
        _converted,
        _pro(2_000, trial_reminder_emails=1),
    ),
    Scenario(
        "07-trial-no-card-canceled",
        "cardless trial ends, cancel",
        _ended_without_card,
        _free("canceled", ledger_paid_cents=0),
    ),
    Scenario(
        "08-trial-no-card-paused",
        "cardless trial ends, pause, a card comes, resume",
        _pauses_without_card,
        _pro(2_000),
    ),
    Scenario(
        "09-trial-conversion-declined",
        "card declines at trial end",
        _conversion_declined,
        (("plan", "pro"), ("status", "past_due"), ("ledger_paid_cents", 0)),
    ),
    Scenario(
        "10-upgrade-always-invoice",
        "pro -> premium, charged at once",
        _upgrade,
        (("plan", "premium"), ("access", True), ("ledger_paid_cents", 4_999)),
    ),
    Scenario(
        "11-upgrade-declined-pending-update",
        "upgrade with a card that declines",
        _upgrade_declined,
        _pro(2_000),
    ),
    Scenario(
        "12-downgrade-credit",
        "premium -> pro, the credit goes to the next invoice",
        _downgrade,
        (("plan", "pro"), ("access", True)),
    ),
    Scenario(
        "13-cancel-at-period-end",
        "cancelled, the boundary passes",
        lambda shop: _cancel(shop, undo=False),
        _free("canceled", ledger_paid_cents=2_000),
    ),
    Scenario(
        "14-cancel-undone",
        "cancelled, taken back, renewed",
        lambda shop: _cancel(shop, undo=True),
        _pro(4_000),
    ),
    Scenario("15-cancel-now-prorated", "cancelled at once", _cancel_now, _free("canceled")),
    Scenario(
        "16-sca-incomplete-expired",
        "never authenticated, 23 h pass",
        _sca_expired,
        _free("incomplete_expired", ledger_paid_cents=0),
    ),
    Scenario(
        "17-first-payment-declined",
        "first card declines",
        lambda shop: _incomplete(shop, DECLINES_LATER),
        _free("incomplete"),
    ),
    Scenario(
        "18-refund-full",
        "full refund",
        lambda shop: _refund(shop, 2_000),
        _pro(2_000, ledger_refunded_cents=2_000),
    ),
    Scenario(
        "19-refund-partial-twice",
        "two partial refunds",
        lambda shop: _refund(shop, 700, 300),
        _pro(2_000, ledger_refunded_cents=1_000),
    ),
    Scenario(
        "19b-refund-failed",
        "a refund comes back",
        lambda shop: _refund(shop, 700, fails=True),
        _pro(2_000, ledger_refunded_cents=0),
    ),
    Scenario(
        "20-dispute-lost",
        "wallet top-up disputed, lost",
        lambda shop: _dispute(shop, won=False),
        (("ledger_disputed_cents", 2_000), ("wallet_clawback", True)),
    ),
    Scenario(
        "20b-dispute-won",
        "wallet top-up disputed, won",
        lambda shop: _dispute(shop, won=True),
        (("ledger_disputed_cents", 0), ("wallet_clawback", False)),
    ),
    Scenario("21-promo-code-once", "20 % off once: 1600 then 2000", _promotion, _pro(3_600)),
    Scenario(
        "22-checkout-expired",
        "declined at Checkout, given up",
        _abandoned,
        (("plan", "free"), ("access", False), ("ledger_paid_cents", 0)),
    ),
    Scenario(
        "23-send-invoice-paid-out-of-band",
        "settled by another rail",
        _out_of_band,
        (("access", True), ("ledger_paid_cents", 0)),
    ),
    Scenario(
        "24-month-to-year",
        "interval change, charged at once",
        _to_year,
        (("plan", "pro_yearly"), ("access", True)),
    ),
    Scenario(
        "25-customer-deleted", "the customer is deleted", _customer_deleted, _free("canceled")
    ),
    Scenario("26-invoice-voided", "an open invoice is voided", _voided, _free("canceled")),
    Scenario(
        "27-pause-collection-void",
        "collection paused: the paid month ends, and nothing follows",
        _collection_paused,
        (("plan", "free"), ("status", "active"), ("ledger_paid_cents", 2_000)),
    ),
)


@cache
def record(scenario: Scenario) -> EventSequence:
    """Play a scenario and return what Stripe told of it."""
    shop = Shop()
    scenario.play(shop)
    fake, account = shop.fake, shop.fake.account
    kept = {"subscription", "invoice", "charge", "refund", "dispute"}
    final: Json = {kind: fake.every(kind[:-1])[::-1] for kind in KINDS}
    final["customer"] = fake.get(shop.customer)
    others = [
        thing
        for thing in account.objects.values()
        if thing["object"] not in kept and thing["id"] != shop.customer and "deleted" not in thing
    ]
    return EventSequence(
        scenario.name,
        scenario.description,
        dict(scenario.expect),
        list(fake.events),
        final,
        [thing for thing in others if thing["object"] != "billing.meter_event"],
    )


def own_sequences() -> list[EventSequence]:
    """Return every scenario, played; each is played once in a process."""
    return [record(scenario) for scenario in SCENARIOS]
