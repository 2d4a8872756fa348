"""Events that Stripe could not deliver: it keeps them for thirty days."""

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import stripe

from app.adapters.payments.books import Missed, Told
from app.adapters.payments.port import BadCallback
from app.adapters.payments.stripe import callbacks
from app.adapters.payments.stripe.calls import ask
from app.adapters.payments.stripe.values import Data

PAGE = 100
# More types than these can't be asked for in one call.
MOST_TYPES = 20

log = logging.getLogger(__name__)


class StripeEventLog:
    """Lists what was not delivered, the oldest first, though Stripe tells the newest first."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1: Any = client.v1

    def missed(self, since: datetime, after: str | None, types: Sequence[str] = ()) -> Missed:
        """Return the oldest events that were not delivered, behind the one called `after`."""
        params: dict[str, Any] = {
            "delivery_success": False,
            "created": {"gte": int(since.timestamp())},
            "limit": PAGE,
        }
        if types:
            params["types"] = list(types)[:MOST_TYPES]
        if after is None:
            rows, has_more = self._oldest(params)
        else:
            page = self._list({**params, "ending_before": after})
            rows, has_more = page["data"], page["has_more"]
        told = tuple(filter(None, map(_told, reversed(rows))))
        return Missed(told, rows[0]["id"] if rows else None, bool(has_more))

    def _oldest(self, params: dict[str, Any]) -> tuple[list[Data], bool]:
        page, turned = self._list(params), False
        while page["has_more"]:
            turned = True
            page = self._list({**params, "starting_after": page["data"][-1]["id"]})
        return list(page["data"]), turned

    def _list(self, params: dict[str, Any]) -> Data:
        return ask(lambda: self._v1.events.list(params))


def _told(event: Data) -> Told | None:
    """Return an event as if it had just been delivered; one that can't be read is left out."""
    try:
        return Told(callbacks.told(event), json.dumps(event, default=str).encode())
    except BadCallback as error:
        log.warning("missed_event_unreadable event=%s reason=%s", event.get("id"), error.reason)
        return None
