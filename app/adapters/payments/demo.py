"""The rail of the demonstration: a provider that we play ourselves, reached as any other one."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from app.adapters.payments import signing
from app.adapters.payments.books import Entry, Page, sum_figures
from app.adapters.payments.keeping import CardOrder, CardPage
from app.adapters.payments.port import (
    NONSENSE,
    BadCallback,
    CheckoutState,
    Created,
    DisputeState,
    Incoming,
    Order,
    RailCheckout,
    RailCustomer,
    RailDispute,
    RailPayment,
    RailRefund,
    RailState,
    Ref,
    RefundOrder,
    Snapshot,
)
from app.money import Money

NAME = "demo"
HEADER = "Demo-Signature"
KINDS = frozenset({"checkout", "payment", "refund", "dispute", "customer"})
_LONGEST_ID = 100

Data = Mapping[str, Any]


class Provider(Protocol):
    """What the other side offers; its answers are plain data."""

    def create_checkout(self, key: str, details: Data) -> Data: ...

    def create_card_page(self, details: Data) -> Data: ...

    def close_checkout(self, page_id: str) -> None: ...

    def charge_customer(self, key: str, details: Data) -> Data: ...

    def refund(self, key: str, payment_id: str, amount: Decimal) -> Data: ...

    def find(self, kind: str, object_id: str) -> Data | None: ...

    def listed(self, kind: str, since: datetime, after: str | None) -> list[Data]: ...


class DemoRail:
    """Speaks to the provider of the demonstration."""

    name = NAME
    hosts: tuple[str, ...] = ()

    def __init__(self, provider: Provider, site: str, secrets: tuple[str, ...]) -> None:
        self._provider = provider
        self._site = site
        self._secrets = secrets
        self.books = DemoBooks(provider)

    def create(self, order: Order) -> Created:
        """Make a page to pay on."""
        page = self._provider.create_checkout(order.key, _details(order))
        return Created(
            external_id=page["id"],
            url=f"{self._site}/demo-pay/{page['id']}",
            expires_at=_time(page["expires_at"]),
            customer_id=page["customer"],
        )

    def close(self, external_id: str) -> None:
        """Take a page back, if it is not paid yet."""
        self._provider.close_checkout(external_id)

    def card_page(self, order: CardOrder) -> CardPage:
        """Make a page on which a customer says what to pay with."""
        details = {
            "user": order.user_id,
            "email": order.email,
            "customer": order.customer_id,
            "back_url": order.back_url,
        }
        page = self._provider.create_card_page(details)
        return CardPage(f"{self._site}/demo-card/{page['id']}", page["customer"])

    def charge(self, order: Order) -> RailPayment:
        """Take money by the card that was kept; raise Conflict if there is none."""
        return _payment(self._provider.charge_customer(order.key, _details(order)))

    def refund(self, order: RefundOrder) -> RailRefund:
        """Ask for money to be given back."""
        made = self._provider.refund(order.key, order.payment_id, order.money.amount)
        return _refund(made)

    def fetch(self, ref: Ref) -> Snapshot | None:
        """Return how an object is now."""
        found = self._provider.find(ref.kind, ref.id) if ref.kind in KINDS else None
        return READERS[ref.kind](found) if found is not None else None

    def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Incoming:
        """Read a callback; raise BadCallback unless the provider has just signed these bytes."""
        signing.check(headers.get(HEADER, ""), raw, self._secrets, now)
        try:
            return _incoming(json.loads(raw))
        except NONSENSE:
            raise BadCallback("unreadable") from None


def _details(order: Order) -> Data:
    return {
        "reference": order.reference,
        "user": order.user_id,
        "email": order.email,
        "amount": str(order.money.amount),
        "currency": order.money.currency,
        "description": order.description,
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
        "customer": order.customer_id,
        "save": order.save_method,
        "not_by": sorted(order.not_by),
    }


def _incoming(body: Any) -> Incoming:
    if body["object"] != "event":
        # Thin events name their object elsewhere and carry no state: another endpoint's business.
        raise BadCallback("not_an_event")
    refs = tuple(Ref(_word(one["object"]), _word(one["id"])) for one in body["data"]["objects"])
    if not refs or len({ref.id for ref in refs}) != len(refs):
        raise BadCallback("unreadable")
    if not isinstance(body["livemode"], bool):
        raise BadCallback("unreadable")
    return Incoming(
        external_id=_word(body["id"]),
        type=_word(body["type"]),
        happened_at=_time(body["created"]),
        livemode=body["livemode"],
        api_version=_word(body["api_version"]),
        group=_word(body["group"]),
        refs=refs,
    )


def _word(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID or not value.isprintable():
        raise BadCallback("unreadable")
    return value


def _time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _money(found: Data) -> Money:
    return Money(Decimal(found["amount"]), found["currency"])


def _fee(found: Data) -> Money | None:
    return Money(Decimal(found["fee"]), found["currency"]) if "fee" in found else None


def _checkout(found: Data) -> RailCheckout:
    return RailCheckout(
        id=found["id"],
        state=CheckoutState(found["state"]),
        reference=found["reference"],
        customer_id=found["customer"],
        payment_ids=tuple(found["payments"]),
    )


def _payment(found: Data) -> RailPayment:
    return RailPayment(
        id=found["id"],
        state=RailState(found["state"]),
        money=_money(found),
        reference=found["reference"],
        at=found["created_at"],
        fee=_fee(found),
        method=found["method"],
        method_ref=found.get("method_ref", ""),
        failure=found.get("failure"),
        customer_id=found["customer"],
        charge_id=found["id"],
    )


def _refund(found: Data) -> RailRefund:
    return RailRefund(
        id=found["id"],
        payment_id=found["payment"],
        state=RailState(found["state"]),
        money=_money(found),
        at=found["created_at"],
        key=found["key"],
        failure=found["failure"],
    )


def _dispute(found: Data) -> RailDispute:
    return RailDispute(
        id=found["id"],
        payment_id=found["payment"],
        state=DisputeState(found["state"]),
        money=_money(found),
        at=found["created_at"],
        fee=_fee(found),
    )


def _customer(found: Data) -> RailCustomer:
    return RailCustomer(
        id=found["id"],
        owner=found.get("user"),
        method=found.get("method"),
        method_ref=found.get("method_ref", ""),
    )


READERS: Mapping[str, Callable[[Data], Snapshot]] = {
    "checkout": _checkout,
    "payment": _payment,
    "refund": _refund,
    "dispute": _dispute,
    "customer": _customer,
}


class DemoBooks:
    """The books of the demonstration: payments that came, refunds and disputes."""

    kinds = ("payment", "refund", "dispute")

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def page(self, kind: str, since: datetime, after: str | None) -> Page:
        """Return a page of what was made since a moment."""
        rows = self._provider.listed(kind, since, after)
        entries = tuple(filter(None, (_entry(kind, row) for row in rows)))
        return Page(entries, str(rows[-1]["id"]) if rows else None)

    def entry(self, ref: Ref) -> Entry | None:
        """Return how one object stands now."""
        found = self._provider.find(ref.kind, ref.id) if ref.kind in self.kinds else None
        return _entry(ref.kind, found) if found is not None else None


def _entry(kind: str, found: Data) -> Entry | None:
    if kind == "payment" and found["state"] != RailState.SUCCEEDED:
        # Tries are no matter of books.
        return None
    figures = {"state": found["state"], **sum_figures(_money(found))}
    if kind == "payment":
        fee = _fee(found) or Money(Decimal(0), found["currency"])
        figures["fee"] = sum_figures(fee)["amount"]
    return Entry(Ref(kind, found["id"]), figures)
