"""How a test reaches into a fake that runs behind HTTP: by name, with plain values."""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from tests.doubles.stripe.fake import FakeStripe
from tests.doubles.stripe.faults import Fault
from tests.doubles.stripe.values import Json

PATIENCE_S = 60
# Settings that JSON cannot carry as they are.
READ: dict[str, Callable[[Any], Any]] = {
    "tax_percent": lambda text: None if text is None else Decimal(text),
    "retry_days": tuple,
}


class Operator:
    """Does what /control asks of a fake."""

    def __init__(self, fake: FakeStripe) -> None:
        self._fake = fake
        checkout, portal, hosted, bank = fake.checkout, fake.portal, fake.hosted, fake.bank
        self._deeds: dict[str, Callable[..., Any]] = {
            "now": lambda: fake.now,
            "advance": self._advance,
            "pay": checkout.pay,
            "authenticate_session": checkout.authenticate,
            "settle": checkout.settle,
            "cancel": portal.cancel,
            "undo_cancel": portal.undo_cancel,
            "change_plan": portal.change_plan,
            "new_card": portal.new_card,
            "pay_invoice": hosted.pay_invoice,
            "authenticate": hosted.authenticate,
            "dispute": bank.dispute,
            "inquire": bank.inquire,
            "escalate": bank.escalate,
            "close_dispute": bank.close_dispute,
            "fail_refund": bank.fail_refund,
            "warn_of_fraud": bank.warn_of_fraud,
            "fault": lambda **row: fake.faults.add(Fault(**row)),
            "settings": self._settings,
            "endpoint": self._endpoint,
            "deliver": self._deliver,
            "pending": lambda: [note.id for note in fake.pump.pending()],
            "send": lambda event: [each.status for each in fake.send(event)],
            "events": lambda: fake.events,
            "objects": fake.every,
            "get": fake.get,
            "calls": lambda: [asdict(call) for call in list(fake.calls)],
        }

    def do(self, name: str, values: Json) -> Any:
        """Do one thing by its name."""
        return self._deeds[name](**values)

    def _advance(self, **by: Any) -> int:
        self._fake.advance(**by)
        return self._fake.now

    def _settings(self, **values: Any) -> None:
        for key, value in values.items():
            if not hasattr(self._fake.settings, key):
                raise KeyError(key)
            setattr(self._fake.settings, key, READ.get(key, lambda plain: plain)(value))

    def _endpoint(self, target: str, secrets: list[str], types: list[str] | None = None) -> None:
        self._fake.endpoint(target, secrets, None if types is None else frozenset(types))

    def _deliver(self, drop_types: list[str] | None = None, **knobs: Any) -> list[Any]:
        types = frozenset(drop_types or ())
        done = self._fake.deliver(drop=lambda event: event["type"] in types, **knobs)
        return [[each.event["id"], each.event["type"], each.status] for each in done]


class Control:
    """The hand itself, for a fake at an address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def do(self, name: str, **values: Any) -> Any:
        """Do one thing by its name."""
        data = json.dumps(values).encode()
        request = urllib.request.Request(f"{self.url}/control/{name}", data, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())
