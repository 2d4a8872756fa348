"""Recorded sequences of events: reading them, delivering them, and answering their re-fetches."""

import json
import random
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import stripe

from tests.doubles.stripe.account import Account, Note
from tests.doubles.stripe.client import FakeHTTPClient
from tests.doubles.stripe.clock import Clock
from tests.doubles.stripe.contract import SHARED, Contract, available
from tests.doubles.stripe.delivery import signed
from tests.doubles.stripe.protocol import Protocol
from tests.doubles.stripe.values import Json, clone

FOLDER = SHARED / "data" / "stripe" / "sequences"
KINDS = ("subscriptions", "invoices", "charges", "refunds", "disputes")
FRESH = re.compile(r"^(evt|sub|in|cus|pi|ch|re|du|si|il|ii|cs_test|seti|txn|inpay|req|di|py)_\w+$")
LONG_AGO_DAYS = 3_650
# Whole numbers in between are seconds, all others amounts and counts.
FIRST, LAST = 1_700_000_000, 2_200_000_000
Delivered = tuple[bytes, dict[str, str]]


def shared_sequences() -> list[Path]:
    """Return the recorded files, in order of their numbers."""
    return sorted(FOLDER.glob("*.json"))


@dataclass
class EventSequence:
    """Events in the order in which they happened, and what a fetch answers after the last."""

    name: str
    description: str
    expect: Json
    events: list[Json]
    final: Json
    others: list[Json] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "EventSequence":
        """Read a recorded file."""
        told = json.loads(path.read_bytes())
        return cls(
            told["scenario"],
            told["description"],
            told["expect"],
            [step["event"] for step in told["steps"]],
            told["final_objects"],
        )

    def adapted(self, metadata: Json | None = None, values: Json | None = None) -> "EventSequence":
        """Return it with other metadata (by key) and other exact texts, such as ids of prices."""
        return self._mapped(lambda thing: _adapt(thing, metadata or {}, values or {}))

    def fresh(self, seed: int) -> "EventSequence":
        """Return it with ids of its own, for a second run over the same database."""
        tail = f"{random.Random(seed).getrandbits(40):x}"

        def renew(thing: Any) -> Any:
            if isinstance(thing, dict):
                return {key: renew(value) for key, value in thing.items()}
            if isinstance(thing, list):
                return [renew(each) for each in thing]
            if isinstance(thing, str) and FRESH.match(thing):
                return thing + tail
            return thing

        return self._mapped(renew)

    def moved(self, last: int) -> "EventSequence":
        """Return it with all its times moved, so that its last event is of this second."""
        by = last - max(event["created"] for event in self.events)

        def move(thing: Any) -> Any:
            if isinstance(thing, dict):
                return {key: move(value) for key, value in thing.items()}
            if isinstance(thing, list):
                return [move(each) for each in thing]
            return thing + by if isinstance(thing, int) and FIRST <= thing <= LAST else thing

        return self._mapped(move)

    def _mapped(self, change: Any) -> "EventSequence":
        return EventSequence(
            self.name,
            self.description,
            clone(self.expect),
            change(self.events),
            change(self.final),
            change(self.others),
        )

    def deliveries(
        self,
        secrets: Sequence[str],
        *,
        shuffle: int | None = None,
        duplicate: int = 1,
        drop: Container[int] = (),
    ) -> list[Delivered]:
        """Return signed bodies and headers: in order or shuffled, duplicated, some left out."""
        kept = [event for number, event in enumerate(self.events) if number not in drop]
        work = [event for event in kept for _ in range(duplicate)]
        if shuffle is not None:
            random.Random(shuffle).shuffle(work)
        return [signed(event, secrets) for event in work]

    def stale(self, seed: int, types: Container[str]) -> list[Json]:
        """Return old events of some types under ids that were never seen."""
        told = []
        for number, event in enumerate(self.events):
            if event["type"] in types:
                told.append({**event, "id": f"evt_stale{seed}n{number}"})
        return told

    def objects(self) -> list[Json]:
        """Return every object of it: events, what they tell of, and what is left at the end."""
        told = list(self.events) + [event["data"]["object"] for event in self.events]
        for kind in KINDS:
            told += self.final[kind]
        return [*told, self.final["customer"], *self.others]


def _adapt(thing: Any, metadata: Json, values: Json) -> Any:
    if isinstance(thing, list):
        return [_adapt(each, metadata, values) for each in thing]
    if not isinstance(thing, dict):
        return values.get(thing, thing) if isinstance(thing, str) else thing
    told = {}
    for key, value in thing.items():
        if key == "metadata" and isinstance(value, dict):
            told[key] = {name: metadata.get(name, each) for name, each in value.items()}
        else:
            told[key] = _adapt(value, metadata, values)
    return told


class SequenceStripe:
    """A Stripe that stands where a sequence ends: it answers fetches and lists of its objects."""

    def __init__(self, sequence: EventSequence, *, validate: bool = True) -> None:
        last = max(event["created"] for event in sequence.events)
        self.account = Account(Clock(last + 60))
        self.account.settings.event_days = LONG_AGO_DAYS
        self.contract = Contract() if validate and available() else None
        self.protocol = Protocol(self.account, self.contract)
        self.http_client = FakeHTTPClient(self.protocol)
        for thing in _last_told(sequence.events):
            self._keep(thing)
        for thing in [*sequence.others, *_final(sequence)]:
            self._keep(thing)
        for invoice in self.account.every("invoice"):
            self.account.hidden.setdefault(invoice["id"], {"intent": None, "days": None})
            _link_payment(self.account, invoice)
        for event in sequence.events:
            note = Note(event["id"], event["type"], event["created"], json.dumps(event))
            note.event = event
            self.account.notes.append(note)

    def client(self, api_key: str = "sk_test_fake") -> stripe.StripeClient:
        """Return a client of the real library that talks to this face."""
        return stripe.StripeClient(api_key, http_client=self.http_client, max_network_retries=0)

    def delivered(self, events: Iterable[str]) -> None:
        """Take these events, by id, for delivered; the others are what a back-fill finds."""
        known = set(events)
        for note in self.account.notes:
            note.delivered = note.id in known

    def _keep(self, thing: Json) -> None:
        if "id" not in thing:
            return
        thing = clone(thing)
        known = thing["id"] in self.account.objects
        if known:
            self.account.objects[thing["id"]] = thing
        else:
            self.account.add(thing)
        for item in thing["items"]["data"] if thing["object"] == "subscription" else []:
            self._keep(item)
        if thing["object"] == "subscription":
            self.account.hidden.setdefault(thing["id"], {})
        if thing["object"] == "subscription_item":
            self._keep(thing["price"])
        if thing["object"] == "price":
            self._keep_product(thing)

    def _keep_product(self, price: Json) -> None:
        if isinstance(price["product"], str) and price["product"] not in self.account.objects:
            self.account.add(_product(price["product"], price["created"]))


def _last_told(events: list[Json]) -> list[Json]:
    return [event["data"]["object"] for event in sorted(events, key=lambda event: event["created"])]


def _final(sequence: EventSequence) -> list[Json]:
    told = [thing for kind in KINDS for thing in reversed(sequence.final[kind])]
    return [*told, sequence.final["customer"]]


def _product(name: str, created: int) -> Json:
    return {
        "id": name,
        "object": "product",
        "active": True,
        "created": created,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": "Bot rental",
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "unit_label": None,
        "updated": created,
        "url": None,
    }


def _link_payment(account: Account, invoice: Json) -> None:
    """Say by which charge an invoice was paid, where the recording does not.

    The recordings have no payments of invoices: the charge of the same customer and amount that
    was made last before the invoice was paid is taken for its payment.
    """
    if account.every("invoice_payment", invoice=invoice["id"]) or not invoice["amount_paid"]:
        return
    at = invoice["status_transitions"]["paid_at"] or invoice["created"]
    taken = {row["payment"].get("charge") for row in account.every("invoice_payment")}
    fits = [
        charge
        for charge in account.every("charge", status="succeeded", customer=invoice["customer"])
        if charge["amount"] == invoice["amount_paid"] and charge["id"] not in taken
    ]
    if not fits:
        return
    charge = min(fits, key=lambda row: abs(row["created"] - at))
    account.add(
        {
            "id": f"inpay_{invoice['id'][3:]}",
            "object": "invoice_payment",
            "amount_paid": invoice["amount_paid"],
            "amount_requested": invoice["amount_due"],
            "created": charge["created"],
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": invoice["livemode"],
            "payment": {"charge": charge["id"], "type": "charge"},
            "status": "paid",
            "status_transitions": {"canceled_at": None, "paid_at": at},
        }
    )
