"""A way to pay that nobody here knows: a class of somebody else, plugged in by its path."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from app.adapters.payments import signing
from app.adapters.payments.port import (
    BadCallback,
    CheckoutState,
    Created,
    Incoming,
    Order,
    RailCheckout,
    RailPayment,
    RailRefund,
    RailState,
    Ref,
    RefundOrder,
    Snapshot,
)
from app.errors import Conflict

HEADER = "Acme-Signature"
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class AcmeRail:
    """Keeps its pages, payments and refunds in memory; `hands_over` plays the payer."""

    name: str = "acme"
    label: str = "Acme Pay"
    hosts: tuple[str, ...] = ("https://pay.acme.example",)
    secret: str = field(default_factory=lambda: os.environ.get("ACME_SECRET", "of the tests"))
    objects: dict[Ref, Snapshot] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)

    def create(self, order: Order) -> Created:
        page = f"page-{order.key}"
        self.orders[page] = order
        self.objects.setdefault(
            Ref("checkout", page), RailCheckout(page, CheckoutState.OPEN, order.reference)
        )
        until = datetime.now(UTC) + timedelta(days=1)
        return Created(page, f"{self.hosts[0]}/{page}", until)

    def close(self, external_id: str) -> None:
        page = self.objects[Ref("checkout", external_id)]
        assert isinstance(page, RailCheckout)
        if page.state is CheckoutState.OPEN:
            self.objects[Ref("checkout", page.id)] = replace(page, state=CheckoutState.EXPIRED)

    def charge(self, order: Order) -> RailPayment:
        raise Conflict("no_saved_method")

    def refund(self, order: RefundOrder) -> RailRefund:
        ref = Ref("refund", f"back-{order.key}")
        made = RailRefund(
            ref.id, order.payment_id, RailState.SUCCEEDED, order.money, BEGUN, key=order.key
        )
        self.objects[ref] = made
        return made

    def fetch(self, ref: Ref) -> Snapshot | None:
        return self.objects.get(ref)

    def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Incoming:
        signing.check(headers.get(HEADER, ""), raw, [self.secret], now)
        try:
            payment = json.loads(raw)["paid"]
        except (ValueError, KeyError):
            raise BadCallback("unreadable") from None
        refs = (Ref("payment", payment),)
        return Incoming(f"ev-{payment}", "paid", BEGUN, False, "1", payment, refs)

    def hands_over(self, page: str) -> tuple[bytes, dict[str, str]]:
        """Pay a page; return the callback, and its headers, that tell of it."""
        order, name = self.orders[page], f"paid-{page}"
        self.objects[Ref("payment", name)] = RailPayment(
            name, RailState.SUCCEEDED, order.money, order.reference, BEGUN, method="Acme 77"
        )
        raw = json.dumps({"paid": name}).encode()
        return raw, {HEADER: signing.sign(self.secret, int(datetime.now(UTC).timestamp()), raw)}


class Halfway:
    """What somebody has begun to write."""

    name, label = "halfway", "Halfway"


class Misnamed(AcmeRail):
    """A name that would not do in an address."""

    def __init__(self) -> None:
        super().__init__(name="Acme/Pay")


class Usurper(AcmeRail):
    """A name that the product has itself."""

    def __init__(self) -> None:
        super().__init__(name="wallet")
