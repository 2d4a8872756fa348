"""Fetched subscriptions as pictures of our own: what is subscribed to, and what of it is paid."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.adapters.payments.port import (
    Piece,
    RailInvoiceState,
    RailSubscription,
    RailSubscriptionState,
)
from app.adapters.payments.stripe import discounts
from app.adapters.payments.stripe.values import (
    Data,
    id_of,
    method_ref,
    method_words,
    optional_time,
    owner_in,
    price_of,
    quantity_of,
    time_of,
    word_in,
)

_SETTLED = frozenset({RailInvoiceState.PAID.value})
_CLOSED = frozenset({RailInvoiceState.VOID.value, RailInvoiceState.UNCOLLECTIBLE.value})
_WAITING = frozenset({RailInvoiceState.OPEN.value, RailInvoiceState.UNCOLLECTIBLE.value})


def picture(found: Data, newest: Data | None, paid: Iterable[Data], tag: str) -> RailSubscription:
    """Picture a subscription, with its newest invoice and those that were paid, newest first."""
    item = found["items"]["data"][0]
    sold = [_sold_by(invoice, found["id"]) for invoice in paid]
    is_settled = newest is None or newest["status"] in _SETTLED
    pieces = tuple(_piece(one) for one in found["items"]["data"])
    settled = (pieces,) if is_settled else _settled(sold)
    period_end = _period_end(found)
    paid_until = period_end if is_settled else _paid_until(sold)
    return RailSubscription(
        id=found["id"],
        state=RailSubscriptionState(found["status"]),
        price_id=item["price"]["id"],
        quantity=item.get("quantity") or 1,
        started_at=time_of(found["start_date"]),
        period_end=period_end,
        customer_id=id_of(found["customer"]),
        owner=owner_in(found["metadata"], tag),
        # A change counts once its invoice is paid.
        paid_price_id=settled[0][0].price if settled else None,
        unpaid_since=_unpaid_since(newest, paid_until, _period_start(found)),
        trial_end=optional_time(found["trial_end"]),
        cancel_at=_cancel_at(found, item),
        is_collection_paused=found["pause_collection"] is not None,
        has_pending_update=found["pending_update"] is not None,
        pieces=pieces,
        settled=settled,
        next_pieces=_next_pieces(found),
        paid_until=paid_until,
        is_unpaid=_is_unpaid(newest, paid_until, period_end),
        open_invoice_id=newest["id"] if newest and newest["status"] in _WAITING else None,
        method=method_words(found["default_payment_method"]),
        method_ref=method_ref(found["default_payment_method"]),
        reference=word_in(found["metadata"], tag, "reference"),
        discounts=discounts.picture(found, tag),
    )


def _piece(item: Data) -> Piece:
    return Piece(str(id_of(item["price"])), quantity_of(item))


def _period_start(found: Data) -> datetime:
    return min(time_of(item["current_period_start"]) for item in found["items"]["data"])


def _period_end(found: Data) -> datetime:
    return max(time_of(item["current_period_end"]) for item in found["items"]["data"])


def _sold_by(invoice: Data, subscription_id: str) -> list[Data]:
    """Return the lines of an invoice that sell time of a subscription; credits sell none."""
    return [
        line
        for line in invoice["lines"]["data"]
        if line["amount"] >= 0 and price_of(line) and _subscription_of(line) == subscription_id
    ]


def _settled(sold: Sequence[Sequence[Data]]) -> tuple[tuple[Piece, ...], ...]:
    """Return what paid invoices were for; what sells the latest time for the most is first."""
    return tuple(
        tuple(_sold_piece(line) for line in sorted(lines, key=_rank, reverse=True))
        for lines in sold
        if lines
    )


def _rank(line: Data) -> tuple[int, int]:
    return line["period"]["end"], line["amount"]


def _sold_piece(line: Data) -> Piece:
    return Piece(str(price_of(line)), max(int(line["quantity"] or 1), 1))


def _paid_until(sold: Iterable[Iterable[Data]]) -> datetime | None:
    ends = [line["period"]["end"] for lines in sold for line in lines]
    return time_of(max(ends)) if ends else None


def _is_unpaid(newest: Data | None, paid_until: datetime | None, period_end: datetime) -> bool:
    """Tell whether the present period is not paid and will not be.

    What may still be paid is waited for. A renewal whose money was asked for in vain, and that was
    taken back then, was forgiven.
    """
    if newest is None or paid_until is None or paid_until >= period_end:
        return False
    is_forgiven = newest["billing_reason"] == "subscription_cycle" and newest["attempt_count"] > 0
    return newest["status"] in _CLOSED and not is_forgiven


def _subscription_of(line: Data) -> str | None:
    parent = line["parent"] or {}
    for name in ("subscription_item_details", "invoice_item_details"):
        details = parent.get(name) or {}
        if details.get("subscription"):
            return id_of(details["subscription"])
    return None


def _unpaid_since(
    newest: Data | None, paid_until: datetime | None, period_start: datetime
) -> datetime | None:
    """Return since when money is missing: a further unpaid period begins no new wait."""
    if paid_until is not None and paid_until < period_start:
        return paid_until
    if newest is None or newest["status"] not in _WAITING:
        return None
    told = newest["status_transitions"]["finalized_at"]
    return time_of(newest["created"] if told is None else told)


def _cancel_at(found: Data, item: Data) -> datetime | None:
    """Return when access is meant to end: either of two fields says that it is."""
    if found["cancel_at"] is not None:
        return time_of(found["cancel_at"])
    return time_of(item["current_period_end"]) if found["cancel_at_period_end"] else None


def _next_pieces(found: Data) -> tuple[Piece, ...]:
    """Return what a schedule puts in the place of the items when the phase of now ends."""
    schedule = found.get("schedule")
    if not isinstance(schedule, dict) or not schedule.get("current_phase"):
        return ()
    end = schedule["current_phase"]["end_date"]
    follows = (phase for phase in schedule["phases"] if phase["start_date"] == end)
    phase = next(follows, None)
    return tuple(_piece(item) for item in phase["items"]) if phase else ()
