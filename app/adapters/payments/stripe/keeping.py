"""Subscriptions that Stripe keeps: prices, the page where they begin, the portal, and changes."""

from typing import Any

from app.adapters.payments.keeping import (
    ChangeOrder,
    CommandOrder,
    PriceOrder,
    RailPreview,
    SubscribeOrder,
    Verb,
)
from app.adapters.payments.port import Created, RailSubscription, Ref
from app.adapters.payments.stripe import items, previews
from app.adapters.payments.stripe.caller import LANGUAGES, Caller
from app.adapters.payments.stripe.calls import ask, find
from app.adapters.payments.stripe.discounts import discount_params
from app.adapters.payments.stripe.values import Data, id_of, minor_units, time_of
from app.errors import Conflict, NotFound

_ENDED = frozenset({"canceled", "incomplete_expired"})
_PAUSED = "paused"
_PAUSE: Data = {"pause_collection": {"behavior": "void"}}
# What customers may do in the portal. Plans are changed on our own pages, which count the seats
# and name the bots that would stop. Another content needs another key.
_PORTAL_KEY = "portal-1"
_PORTAL: Data = {
    "customer_update": {"enabled": True, "allowed_updates": ["name", "address", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {
        "enabled": True,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_update": {"enabled": False},
}
_LISTED = {"active": True, "limit": 100}
_FROM_NOW: Data = {"billing_cycle_anchor": {"type": "now"}}


class Keeping(Caller):
    """What is ordered of subscriptions; how they are is read elsewhere."""

    def make_price(self, order: PriceOrder) -> str:
        """Return our price there; any number of times, also after Stripe has forgotten keys."""
        product = self._product(order)
        lookup = f"{self._tag}:{order.key}"
        params: dict[str, Any] = {
            "product": product,
            "currency": order.money.currency.lower(),
            "unit_amount": minor_units(order.money),
            "recurring": {"interval": order.unit, "interval_count": order.count},
        }
        # What was archived bears our word too; a new one needs a key that was not used for it.
        key = order.key
        for known in ask(lambda: self._v1.prices.list({"lookup_keys": [lookup]}))["data"]:
            if known["active"] and _is_same_price(known, params):
                return str(known["id"])
            key = f"{order.key}:{known['id']}"
        params |= {
            "lookup_key": lookup,
            "transfer_lookup_key": True,
            "metadata": {"app": self._tag, **order.marks},
        }
        made = ask(lambda: self._v1.prices.create(params, self._once(key)))
        return str(made["id"])

    def subscribe(self, order: SubscribeOrder) -> Created:
        """Make a page of Checkout on which a subscription begins, and the customer if missing."""
        customer = order.customer_id or self._customer(order.user_id, order.email, order.language)
        marks = self._marks(order.user_id, order.reference)
        begins: dict[str, Any] = {"metadata": marks}
        if order.trial_days:
            begins["trial_period_days"] = order.trial_days
        params: dict[str, Any] = {
            "mode": "subscription",
            "customer": customer,
            "client_reference_id": order.reference,
            "metadata": marks,
            "subscription_data": begins,
            "line_items": [{"price": one.price, "quantity": one.quantity} for one in order.pieces],
            "locale": LANGUAGES.get(order.language, "auto"),
            "success_url": order.success_url,
            "cancel_url": order.cancel_url,
        }
        if order.promo is not None:
            params["discounts"] = [{"promotion_code": order.promo}]
        if order.trial_days and order.without_card is not None:
            params["payment_method_collection"] = "if_required"
            ends = {"missing_payment_method": order.without_card.value}
            begins["trial_settings"] = {"end_behavior": ends}
        made = ask(lambda: self._v1.checkout.sessions.create(params, self._once(order.key)))
        return Created(made["id"], made["url"], time_of(made["expires_at"]), customer)

    def portal(self, customer_id: str, back: str, language: str) -> str:
        """Return the address of a customer's portal; each call makes one that works for minutes."""
        params = {
            "customer": customer_id,
            "configuration": self._portal_settings(),
            "return_url": back,
            "locale": LANGUAGES.get(language, "auto"),
        }
        return str(ask(lambda: self._v1.billing_portal.sessions.create(params))["url"])

    def _portal_settings(self) -> str:
        """Return our settings of the portal there, made when they are missing."""
        marks = {"app": self._tag, "settings": _PORTAL_KEY}
        found = ask(lambda: self._v1.billing_portal.configurations.list(_LISTED))["data"]
        known = (one["id"] for one in found if one["metadata"] == marks)
        mine = next(known, None)
        if mine is None:
            params = {"features": _PORTAL, "metadata": marks}
            key = self._once(_PORTAL_KEY)
            made = ask(lambda: self._v1.billing_portal.configurations.create(params, key))
            mine = made["id"]
        return str(mine)

    def preview(self, order: ChangeOrder) -> RailPreview:
        """Say what a change would cost, by Stripe's own reckoning."""
        present = self._present(order.subscription_id)
        renewal = self._preview_renewal(order, present)
        if order.is_later:
            return previews.later(renewal, present)
        details = items.change_params(present, order)
        found = self._preview(order, present, details)
        return previews.at_once(found, renewal, present)

    def carry_out(self, order: CommandOrder) -> RailSubscription | None:
        """Change a subscription and return how it is then; what holds already is not asked for."""
        act = {
            Verb.END_NOW: self._end_now,
            Verb.END_LATER: self._end_later,
            Verb.GO_ON: self._go_on,
            Verb.PAUSE: self._pause,
            Verb.RESUME: self._resume,
            Verb.CHANGE: self._change,
            Verb.CHANGE_LATER: self._change_later,
        }[order.verb]
        present = self._find(order.subscription_id)
        if present is not None:
            act(order, present)
        seen = self._reader.fetch(Ref("subscription", order.subscription_id))
        return seen if isinstance(seen, RailSubscription) else None

    def _end_now(self, order: CommandOrder, present: Data) -> None:
        if present["status"] in _ENDED:
            return
        key = self._once(order.key)
        find(lambda: self._v1.subscriptions.cancel(order.subscription_id, {}, key))

    def _end_later(self, order: CommandOrder, present: Data) -> None:
        if present["status"] in _ENDED or present["cancel_at"] is not None:
            return
        self._release(order, present)
        self._update(order, {"cancel_at_period_end": True})

    def _go_on(self, order: CommandOrder, present: Data) -> None:
        self._release(order, present)
        if present["cancel_at_period_end"]:
            self._update(order, {"cancel_at_period_end": False})
        elif present["cancel_at"] is not None:
            self._update(order, {"cancel_at": ""})

    def _pause(self, order: CommandOrder, present: Data) -> None:
        if present["pause_collection"] is None:
            self._update(order, _PAUSE)

    def _resume(self, order: CommandOrder, present: Data) -> None:
        seen = self._reader.fetch(Ref("subscription", order.subscription_id))
        if present["pause_collection"] is not None:
            self._update(order, {"pause_collection": ""})
        if isinstance(seen, RailSubscription) and seen.is_unpaid:
            self._begin_anew(order)
        if present["status"] == _PAUSED:
            # Else a card that declines would give a period that nobody pays.
            params = {**_FROM_NOW, "payment_behavior": "resume_on_payment_success"}
            key = self._once(f"{order.key}:resume")
            ask(lambda: self._v1.subscriptions.resume(order.subscription_id, params, key))

    def _begin_anew(self, order: CommandOrder) -> None:
        """Have a period begin that is paid at once, where the pause outlasted the paid one.

        A call of its own: that an invoice of the call that ends a pause is collected already is
        nowhere written. What is not paid is paused again.
        """
        paid = {"proration_behavior": "none", "payment_behavior": "error_if_incomplete"}
        try:
            self._update(order, {**_FROM_NOW, **paid}, "period")
        except Conflict:
            self._update(order, _PAUSE, "pause")
            raise

    def _change(self, order: CommandOrder, present: Data) -> None:
        change = _change_of(order)
        if items.pieces_of(present) == items.sorted_pieces(change.pieces):
            return
        self._release(order, present)
        params = items.change_params(present, change) | _discounts(present, change)
        self._update(order, {**params, "payment_behavior": "pending_if_incomplete"})

    def _change_later(self, order: CommandOrder, present: Data) -> None:
        """Have a schedule change the items when the period ends; nothing is charged before."""
        change = _change_of(order)
        self._release(order, present)
        begin = {"from_subscription": order.subscription_id}
        schedule = ask(
            lambda: self._v1.subscription_schedules.create(
                begin, self._once(f"{order.key}:schedule")
            )
        )
        rhythm = self._rhythm(change.pieces[0].price)
        params = items.phase_params(present, schedule, change, rhythm)
        ask(
            lambda: self._v1.subscription_schedules.update(
                schedule["id"], params, self._once(f"{order.key}:phases")
            )
        )

    def _release(self, order: CommandOrder, present: Data) -> None:
        """Let a change that waits for the end of the period not come: nothing else may be set."""
        schedule = id_of(present.get("schedule"))
        if schedule:
            key = self._once(f"{order.key}:release")
            ask(lambda: self._v1.subscription_schedules.release(schedule, {}, key))

    def _update(self, order: CommandOrder, params: Data, step: str = "") -> None:
        key = self._once(f"{order.key}:{step}" if step else order.key)
        ask(lambda: self._v1.subscriptions.update(order.subscription_id, params, key))

    def _product(self, order: PriceOrder) -> str:
        name = f"{self._tag}_{order.product_key}"
        if find(lambda: self._v1.products.retrieve(name)) is None:
            params = {
                "id": name,
                "name": order.product_name,
                "metadata": {"app": self._tag, "plan": order.product_key},
            }
            ask(lambda: self._v1.products.create(params, self._once(f"product:{name}")))
        return name

    def _rhythm(self, price: str) -> Data:
        found = ask(lambda: self._v1.prices.retrieve(price))
        recurring: Data = found["recurring"]
        return recurring

    def _preview(self, order: ChangeOrder, present: Data, details: dict[str, Any]) -> Data:
        params = {
            "subscription": order.subscription_id,
            "subscription_details": details,
            **_discounts(present, order),
        }
        return ask(lambda: self._v1.invoices.create_preview(params))

    def _preview_renewal(self, order: ChangeOrder, present: Data) -> Data:
        """Reckon the next renewal with the other items, and nothing for the time until then."""
        details = {
            "items": items.item_params(present, order.pieces),
            "proration_behavior": "none",
        }
        return self._preview(order, present, details)

    def _find(self, subscription_id: str) -> Data | None:
        expand = {"expand": ["discounts"]}
        return find(lambda: self._v1.subscriptions.retrieve(subscription_id, expand))

    def _present(self, subscription_id: str) -> Data:
        found = self._find(subscription_id)
        if found is None:
            raise NotFound("unknown_subscription")
        return found


def _discounts(present: Data, order: ChangeOrder) -> dict[str, Any]:
    """Return what of the discounts goes on, where some do not; nothing is said otherwise."""
    return {"discounts": discount_params(present, order.without)} if order.without else {}


def _change_of(order: CommandOrder) -> ChangeOrder:
    if order.change is None:
        raise Conflict("rail_refused")
    return order.change


def _is_same_price(known: Data, params: dict[str, Any]) -> bool:
    recurring = known["recurring"] or {}
    rhythm = {name: recurring.get(name) for name in ("interval", "interval_count")}
    names = ("product", "currency", "unit_amount")
    same = all(known[name] == params[name] for name in names)
    return same and rhythm == params["recurring"]
