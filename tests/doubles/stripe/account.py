"""The books of one Stripe account: its objects, what changed, and the events that tell of it."""

import json
import random
import string
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import stripe

from tests.doubles.stripe.clock import Clock
from tests.doubles.stripe.errors import Refused, missing
from tests.doubles.stripe.values import Json, clone

LETTERS = string.ascii_letters + string.digits
# The events by which changes of an object are told, where no other tells them better.
UPDATED = {
    "customer": "customer.updated",
    "subscription": "customer.subscription.updated",
    "invoice": "invoice.updated",
    "charge": "charge.updated",
    "payment_method": "payment_method.updated",
    "product": "product.updated",
    "price": "price.updated",
    "coupon": "coupon.updated",
    "promotion_code": "promotion_code.updated",
    "refund": "refund.updated",
    "dispute": "charge.dispute.updated",
}
# Changes that nobody is told of.
QUIET = frozenset({"next_invoice_sequence"})
# Fields that never change, by which objects are looked for among thousands.
INDEXED = {
    "charge": "customer",
    "invoice": "customer",
    "invoice_payment": "invoice",
    "invoiceitem": "customer",
    "refund": "charge",
    "subscription": "customer",
}
NAMES = {"checkout.session": "checkout.session", "payment_method": "PaymentMethod"}


@dataclass
class Settings:
    """What the owner of the account chose in its dashboard, and how the world behaves."""

    retry_days: tuple[int, ...] = (1, 2, 2, 2, 2, 2, 3)
    dunning_end: str = "cancel"
    invoice_after_dunning: str = "open"
    draft_seconds: int = 3_600
    event_days: int = 30
    upcoming_days: int = 7
    trial_will_end_days: int = 3
    tax_percent: Decimal | None = None
    # What Stripe keeps of a payment is told some seconds after it, as by default at Stripe itself.
    fees_come_late: bool = False
    livemode: bool = False
    api_key: str | None = None
    api_version: str = stripe.api_version
    pages: str = ""


@dataclass
class Request:
    """The call that events are told to come from; none for what the clock does."""

    id: str | None = None
    idempotency_key: str | None = None


@dataclass
class Note:
    """An event as it was made: its payload never changes, whatever becomes of the object."""

    id: str
    type: str
    created: int
    body: str
    delivered: bool = False
    dropped: bool = False
    event: Json = field(default_factory=dict)


class Account:
    """Objects by id. Whoever changes one calls `touch` first, inside `working()`."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        self.clock = clock
        self.settings = Settings()
        self.lock = threading.RLock()
        self.objects: dict[str, Json] = {}
        self.hidden: dict[str, Json] = {}
        self.notes: list[Note] = []
        self.listeners: list[Callable[[Note], None]] = []
        self.at_end: list[Callable[[], None]] = []
        self.new_endpoints: list[Callable[[Json, str], None]] = []
        self._kinds: dict[str, list[str]] = {}
        self._index: dict[tuple[str, Any], list[str]] = {}
        self._random = random.Random(seed)
        self._request = Request()
        self._touched: dict[str, Json] = {}
        self._depth = 0

    @property
    def now(self) -> int:
        """Return the present second of the account's clock."""
        return self.clock.now

    def id(self, prefix: str, length: int = 24) -> str:
        """Return a new id."""
        return f"{prefix}_{''.join(self._random.choices(LETTERS, k=length))}"

    def add(self, thing: Json, event: str | None = None) -> Json:
        """Keep a new object and tell of it."""
        self.objects[thing["id"]] = thing
        kind = thing["object"]
        self._kinds.setdefault(kind, []).append(thing["id"])
        if kind in INDEXED:
            self._index.setdefault((kind, thing[INDEXED[kind]]), []).append(thing["id"])
        if event:
            self.tell(event, thing)
        return thing

    def find(self, kind: str, name: object) -> Json | None:
        """Return an object of a kind, or None."""
        thing = self.objects.get(name) if isinstance(name, str) else None
        fits = thing is not None and thing["object"] == kind and not thing.get("deleted")
        return thing if fits else None

    def get(self, kind: str, name: object, param: str | None = None) -> Json:
        """Return an object of a kind, or refuse the request that names it."""
        thing = self.find(kind, name)
        if thing is None:
            # A parameter that names nothing is a bad request, an address that does is not found.
            raise missing(NAMES.get(kind, kind), name, param, 400 if param else 404)
        return thing

    def every(self, kind: str, **match: Any) -> list[Json]:
        """Return the objects of a kind with these values, oldest first."""
        key = INDEXED.get(kind)
        if key in match:
            names = self._index.get((kind, match[key]), ())
        else:
            names = self._kinds.get(kind, ())
        things = (self.objects[name] for name in names)
        return [
            thing
            for thing in things
            if not thing.get("deleted")
            and all(thing.get(key) == value for key, value in match.items())
        ]

    def remove(self, thing: Json) -> Json:
        """Forget an object; return what is left of it."""
        self._touched.pop(thing["id"], None)
        left = {"id": thing["id"], "object": thing["object"], "deleted": True}
        self.objects[thing["id"]] = left
        return left

    @contextmanager
    def working(self, request: Request | None = None) -> Iterator[None]:
        """Do one piece of work; what was touched in it is told at its end."""
        with self.lock:
            before, mark = self._request, len(self.notes)
            if request is not None:
                self._request = request
            self._depth += 1
            try:
                yield
            except Refused as no:
                # A request that makes no sense changes nothing; a declined card leaves its traces.
                if self._depth == 1 and no.status in {400, 404}:
                    self._undo(mark)
                raise
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._tell_changes()
                    self._publish(mark)
                self._request = before

    def _undo(self, mark: int) -> None:
        del self.notes[mark:]
        for name, former in self._touched.items():
            self.objects[name].clear()
            self.objects[name].update(former)
            if former["object"] == "subscription":
                for item in former["items"]["data"]:
                    self.objects[item["id"]] = item
        self._touched.clear()

    def _publish(self, mark: int) -> None:
        for at_end in self.at_end:
            at_end()
        for note in self.notes[mark:]:
            for listener in self.listeners:
                listener(note)

    def touch(self, thing: Json) -> Json:
        """Remember how an object was before it changes."""
        if thing["id"] in self.objects:
            self._touched.setdefault(thing["id"], clone(thing))
        return thing

    def tell(self, kind: str, thing: Json, previous: Json | None = None) -> Note:
        """Make an event; what changed in the object up to here is told with it."""
        data: Json = {"object": clone(thing)}
        if previous is not None:
            data["previous_attributes"] = previous
        event: Json = {
            "id": self.id("evt"),
            "object": "event",
            "api_version": self.settings.api_version,
            "created": self.now,
            "data": data,
            "livemode": self.settings.livemode,
            "pending_webhooks": 1,
            "request": {
                "id": self._request.id,
                "idempotency_key": self._request.idempotency_key,
            },
            "type": kind,
        }
        note = Note(event["id"], kind, event["created"], json.dumps(event, indent=2), event=event)
        self.notes.append(note)
        return note

    def tell_change(self, kind: str, thing: Json) -> None:
        """Tell of the changes of an object by an event of their own."""
        before = self._touched.pop(thing["id"], None)
        self.tell(kind, thing, changed(before, thing) if before is not None else {})

    def settle(self, thing: Json) -> None:
        """Tell now what changed in an object, before what follows from it is told."""
        before = self._touched.pop(thing["id"], None)
        kind = UPDATED.get(thing["object"])
        if before is None or kind is None:
            return
        previous = changed(before, thing)
        if previous.keys() - QUIET:
            self.tell(kind, thing, previous)

    def told(self, thing: Json) -> None:
        """Take the changes of an object for told."""
        self._touched.pop(thing["id"], None)

    def _tell_changes(self) -> None:
        while self._touched:
            self.settle(self.objects[next(iter(self._touched))])


def changed(before: Json, after: Json) -> Json:
    """Return the former values of what differs, as `previous_attributes` has them."""
    told: Json = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        nested = isinstance(old, dict) and isinstance(new, dict) and old.get("object") != "list"
        told[key] = changed(old, new) if nested else old  # type: ignore[arg-type]
    return dict(sorted(told.items()))
