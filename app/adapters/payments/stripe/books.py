"""The books of Stripe: lists of its objects, in the figures that ours are compared by."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import stripe

from app.adapters.payments.books import Entry, Figures, Page, sum_figures
from app.adapters.payments.port import RailState, Ref
from app.adapters.payments.stripe import snapshots
from app.adapters.payments.stripe.calls import ask, find
from app.adapters.payments.stripe.values import Data, id_of, money_of

PAGE = 100
_DRAFT = "draft"
_SUCCEEDED = "succeeded"


class _Shelf(NamedTuple):
    """Where objects of a kind are listed, how, and in which figures."""

    list: Callable[[dict[str, Any]], Any]
    retrieve: Callable[[str], Any]
    entry: Callable[[Data], Entry | None]
    params: Mapping[str, Any]
    is_whole: bool = False


class StripeBooks:
    """Lists every subscription and invoice, and the charges, refunds and disputes of a time."""

    kinds = ("subscription", "invoice", "payment", "refund", "dispute")

    def __init__(self, client: stripe.StripeClient) -> None:
        v1: Any = client.v1
        self._shelves = {
            "subscription": _Shelf(
                v1.subscriptions.list,
                v1.subscriptions.retrieve,
                _subscription,
                {"status": "all"},
                is_whole=True,
            ),
            "invoice": _Shelf(v1.invoices.list, v1.invoices.retrieve, _invoice, {}, is_whole=True),
            "payment": _Shelf(
                v1.charges.list,
                lambda name: v1.charges.retrieve(name, {"expand": ["balance_transaction"]}),
                _charge,
                {"expand": ["data.balance_transaction"]},
            ),
            "refund": _Shelf(v1.refunds.list, v1.refunds.retrieve, _refund, {}),
            "dispute": _Shelf(v1.disputes.list, v1.disputes.retrieve, _dispute, {}),
        }
        self._intents = v1.payment_intents

    def page(self, kind: str, since: datetime, after: str | None) -> Page:
        """Return a page; subscriptions and invoices are all told, the rest since a moment."""
        shelf = self._shelves[kind]
        params: dict[str, Any] = {**shelf.params, "limit": PAGE}
        if not shelf.is_whole:
            params["created"] = {"gte": int(since.timestamp())}
        if after is not None:
            params["starting_after"] = after
        told = ask(lambda: shelf.list(params))
        rows = told["data"]
        entries = tuple(filter(None, map(shelf.entry, rows)))
        return Page(entries, rows[-1]["id"] if told["has_more"] and rows else None)

    def entry(self, ref: Ref) -> Entry | None:
        """Return how one object stands now; None if there is none, or none to be compared."""
        shelf = self._shelves[ref.kind]
        name: str | None = ref.id
        if ref.id.startswith("pi_"):
            intent = find(lambda: self._intents.retrieve(ref.id))
            name = id_of(intent["latest_charge"]) if intent else None
        found = find(lambda: shelf.retrieve(name)) if name else None
        return shelf.entry(found) if found else None


def _entry(kind: str, name: str, figures: Figures) -> Entry:
    return Entry(Ref(kind, name), figures)


def _subscription(found: Data) -> Entry:
    items = found["items"]["data"]
    return _entry(
        "subscription",
        found["id"],
        {
            "state": found["status"],
            "price": items[0]["price"]["id"],
            "period_end": str(max(one["current_period_end"] for one in items)),
            "cancel_at": str(_cancel_at(found, items)),
            "trial_end": str(found["trial_end"] or ""),
            "is_collection_paused": str(found["pause_collection"] is not None),
            "has_pending_update": str(found["pending_update"] is not None),
        },
    )


def _cancel_at(found: Data, items: list[Data]) -> int | str:
    if found["cancel_at"] is not None:
        return int(found["cancel_at"])
    return int(items[0]["current_period_end"]) if found["cancel_at_period_end"] else ""


def _invoice(found: Data) -> Entry | None:
    if found["status"] == _DRAFT:
        # What it comes to may still change; ours begins when it is finalised.
        return None
    picture = snapshots.invoice(found, (), (), "")
    figures = {
        "state": picture.state.value,
        "tax": sum_figures(picture.tax)["amount"],
        **sum_figures(picture.total),
    }
    return _entry("invoice", found["id"], figures)


def _charge(found: Data) -> Entry | None:
    """Return money that came, under the id by which we keep it; tries are no matter of books."""
    if found["status"] != _SUCCEEDED or not found["captured"]:
        return None
    name = id_of(found["payment_intent"]) or found["id"]
    picture = snapshots.charge_payment(found, "")
    # Stripe may tell its fee only after the payment.
    fee = picture.fee or money_of(0, found["currency"])
    figures = {
        "state": RailState.SUCCEEDED.value,
        "fee": sum_figures(fee)["amount"],
        **sum_figures(picture.money),
    }
    return _entry("payment", name, figures)


def _refund(found: Data) -> Entry:
    picture = snapshots.refund(found, "")
    # In our books one that was called off has failed.
    state = RailState.FAILED if picture.state is RailState.CANCELED else picture.state
    return _entry("refund", found["id"], {"state": state.value, **sum_figures(picture.money)})


def _dispute(found: Data) -> Entry:
    picture = snapshots.dispute(found)
    figures = {"state": picture.state.value, **sum_figures(picture.money)}
    return _entry("dispute", found["id"], figures)
