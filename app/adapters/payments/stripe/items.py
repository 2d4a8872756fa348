"""Items of a subscription: from what there is to what there shall be; pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.adapters.payments.keeping import ChangeOrder
from app.adapters.payments.port import Piece
from app.adapters.payments.stripe.discounts import discount_params
from app.adapters.payments.stripe.values import Data, id_of, quantity_of


def pieces_of(found: Data) -> tuple[Piece, ...]:
    """Return what a subscription consists of, in the order of its prices' names."""
    return sorted_pieces(
        Piece(str(id_of(item["price"])), quantity_of(item)) for item in found["items"]["data"]
    )


def sorted_pieces(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Return pieces in an order of their own, so that two lists of the same are equal."""
    return tuple(sorted(pieces, key=lambda piece: piece.price))


def item_params(found: Data, wanted: Sequence[Piece]) -> list[dict[str, Any]]:
    """Say how the items become these: kept by price, else exchanged, added or taken out."""
    present = {str(id_of(item["price"])): item["id"] for item in found["items"]["data"]}
    told: list[dict[str, Any]] = []
    new: list[Piece] = []
    for piece in wanted:
        known = present.pop(piece.price, None)
        if known:
            told.append({"id": known, "quantity": piece.quantity})
        else:
            new.append(piece)
    left = list(present.values())
    for piece in new:
        place = {"id": left.pop(0)} if left else {}
        told.append({**place, "price": piece.price, "quantity": piece.quantity})
    return told + [{"id": name, "deleted": True} for name in left]


def change_params(found: Data, order: ChangeOrder) -> dict[str, Any]:
    """Return a change that holds at once; the rest of the period is charged by the same second."""
    return {
        "items": item_params(found, order.pieces),
        "proration_behavior": "always_invoice",
        "proration_date": int(order.at.timestamp()),
    }


def phase_params(found: Data, schedule: Data, order: ChangeOrder, rhythm: Data) -> dict[str, Any]:
    """Return the phases of a schedule: what runs, then what follows; then it lets go.

    Discounts that are not named with a phase would end with it, and so would a trial.
    """
    runs = schedule["phases"][0]
    tried = {"trial": True} if found["status"] == "trialing" else {}
    lowered = {"discounts": discount_params(found, ())} if found["discounts"] else {}
    follows = {"discounts": discount_params(found, order.without)} if found["discounts"] else {}
    return {
        "end_behavior": "release",
        "phases": [
            {
                "items": [
                    {"price": id_of(item["price"]), "quantity": item.get("quantity") or 1}
                    for item in runs["items"]
                ],
                "start_date": runs["start_date"],
                "end_date": runs["end_date"],
                "proration_behavior": "none",
                **tried,
                **lowered,
            },
            {
                "items": [
                    {"price": piece.price, "quantity": piece.quantity} for piece in order.pieces
                ],
                "duration": {
                    "interval": rhythm["interval"],
                    "interval_count": rhythm["interval_count"],
                },
                "proration_behavior": "none",
                **follows,
            },
        ],
    }
