"""Promotion codes of ours at Stripe: a coupon, and the code by which it is given."""

import hashlib
import json
from typing import Any

from app.adapters.payments.keeping import PromoOrder
from app.adapters.payments.stripe.caller import Caller
from app.adapters.payments.stripe.calls import ask, find
from app.adapters.payments.stripe.values import Data, minor_units, word_in

_DIGEST = 10
_MOST_CODES = 100


class Promotions(Caller):
    """Makes what ours are, and ends them; what staff make there by hand is left alone."""

    def make_promo(self, order: PromoOrder) -> str:
        """Return our code there; any number of times, also after Stripe has forgotten keys."""
        coupon = self._coupon(order)
        known = self._codes({"coupon": coupon}, order)
        for one in known:
            if one["active"]:
                return str(one["id"])
        if known:
            return self._switch(known[0]["id"], f"{order.key}:on", active=True)
        for one in self._codes({"code": order.name, "active": True}, order):
            # The same code with other terms, of another time.
            self._switch(one["id"], f"{order.key}:off:{one['id']}", active=False)
        params = {
            "promotion": {"type": "coupon", "coupon": coupon},
            "code": order.name,
            "metadata": self._marks_of(order),
        }
        made = ask(lambda: self._v1.promotion_codes.create(params, self._once(order.key)))
        return str(made["id"])

    def end_promo(self, promo: str, key: str) -> None:
        """Switch a code off; one that is off, or gone, stays so."""
        found = find(lambda: self._v1.promotion_codes.retrieve(promo))
        if found is not None and found["active"]:
            self._switch(promo, f"{key}:off", active=False)

    def _coupon(self, order: PromoOrder) -> str:
        """Return the coupon of these terms, which no other terms share."""
        params = _terms(order)
        told = json.dumps([order.code, params], sort_keys=True)
        name = f"{self._tag}_{hashlib.sha256(told.encode()).hexdigest()[:_DIGEST]}"
        if find(lambda: self._v1.coupons.retrieve(name)) is None:
            params |= {"id": name, "name": order.code, "metadata": self._marks_of(order)}
            key = self._once(f"{order.key}:coupon")
            ask(lambda: self._v1.coupons.create(params, key))
        return name

    def _codes(self, params: dict[str, Any], order: PromoOrder) -> list[Data]:
        told = ask(lambda: self._v1.promotion_codes.list({**params, "limit": _MOST_CODES}))
        return [one for one in told["data"] if self._code_of(one) == order.code]

    def _code_of(self, found: Data) -> str:
        return word_in(found["metadata"], self._tag, "code")

    def _switch(self, promo: str, key: str, *, active: bool) -> str:
        params = {"active": active}
        done = ask(lambda: self._v1.promotion_codes.update(promo, params, self._once(key)))
        return str(done["id"])

    def _marks_of(self, order: PromoOrder) -> dict[str, str]:
        return {"app": self._tag, "code": order.code}


def _terms(order: PromoOrder) -> dict[str, Any]:
    terms: dict[str, Any] = {"duration": "forever" if order.is_endless else "once"}
    if order.months:
        terms = {"duration": "repeating", "duration_in_months": order.months}
    if order.percent is not None:
        terms["percent_off"] = format(order.percent.normalize(), "f")
    if order.amount is not None:
        terms["amount_off"] = minor_units(order.amount)
        terms["currency"] = order.amount.currency.lower()
    return terms
