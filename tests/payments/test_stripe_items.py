"""How the items of a subscription at Stripe become others; pure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.adapters.payments.port import Piece
from app.adapters.payments.stripe import items
from app.adapters.payments.stripe.subscriptions import picture


def subscription(*pieces: tuple[str, int]) -> dict[str, Any]:
    """Return what there is at Stripe: an item for each price."""
    rows = [
        {
            "id": f"si_{price}",
            "price": {"id": price},
            "quantity": quantity,
            "current_period_start": 1_000,
            "current_period_end": 2_000,
        }
        for price, quantity in pieces
    ]
    return {
        "id": "sub_1", "status": "active", "items": {"data": rows}, "start_date": 1_000,
        "customer": "cus_1", "metadata": {}, "trial_end": None, "cancel_at": None,
        "cancel_at_period_end": False, "pause_collection": None, "pending_update": None,
        "default_payment_method": None, "schedule": None,
    }  # fmt: skip


def invoice(*lines: tuple[str, int, int, int]) -> dict[str, Any]:
    """Return a paid invoice: price, quantity, amount and end of each of its lines."""
    parent = {"subscription_item_details": {"subscription": "sub_1"}}
    return {
        "id": "in_1",
        "lines": {
            "data": [
                {
                    "pricing": {"price_details": {"price": price}},
                    "quantity": quantity,
                    "amount": amount,
                    "period": {"end": end},
                    "parent": parent,
                }
                for price, quantity, amount, end in lines
            ]
        },
    }


OPEN = {
    "id": "in_2",
    "status": "open",
    "created": 1_500,
    "billing_reason": "subscription_update",
    "attempt_count": 1,
    "status_transitions": {"finalized_at": None},
}


@pytest.mark.parametrize(
    ("present", "wanted", "told"),
    [
        ([("a", 1)], [("b", 1)], [{"id": "si_a", "price": "b", "quantity": 1}]),
        ([("a", 1)], [("a", 3)], [{"id": "si_a", "quantity": 3}]),
        (
            [("a", 1)],
            [("a", 1), ("x", 2)],
            [{"id": "si_a", "quantity": 1}, {"price": "x", "quantity": 2}],
        ),
        (
            [("a", 1), ("x", 2)],
            [("b", 1)],
            [{"id": "si_a", "price": "b", "quantity": 1}, {"id": "si_x", "deleted": True}],
        ),
        (
            [("a", 1), ("x", 2)],
            [("b", 1), ("x", 2)],
            [{"id": "si_a", "price": "b", "quantity": 1}, {"id": "si_x", "quantity": 2}],
        ),
    ],
)
def test_items_stay_are_exchanged_added_or_taken_out(
    present: list[tuple[str, int]], wanted: list[tuple[str, int]], told: list[dict[str, Any]]
) -> None:
    found = subscription(*present)
    said = items.item_params(found, [Piece(*piece) for piece in wanted])
    order = {"si_a": 0, "si_x": 2}
    assert sorted(said, key=lambda row: order.get(row.get("id", ""), 1)) == told


def test_all_pieces_are_settled_while_nothing_waits() -> None:
    seen = picture(subscription(("plan", 1), ("bot", 3)), None, (), "botyard")
    assert seen.settled == ((Piece("plan", 1), Piece("bot", 3)),)
    assert seen.paid_until == seen.period_end and seen.open_invoice_id is None


def test_what_is_not_paid_is_not_settled_and_the_newest_paid_invoice_counts_first() -> None:
    older = invoice(("plan", 1, 2_900, 1_800), ("bot", 2, 1_000, 1_800))
    newer = invoice(("plan", 1, -900, 2_000), ("larger", 1, 4_000, 2_000), ("bot", 0, 0, 1_000))
    seen = picture(subscription(("largest", 1), ("bot", 5)), OPEN, (newer, older), "botyard")
    assert seen.settled == (
        (Piece("larger", 1), Piece("bot", 1)),
        (Piece("plan", 1), Piece("bot", 2)),
    )
    assert seen.paid_price_id == "larger" and seen.open_invoice_id == "in_2"
    assert seen.paid_until is not None and seen.paid_until.timestamp() == 2_000


@pytest.mark.parametrize(
    ("reason", "status", "tries", "end", "unpaid"),
    [
        ("subscription_cycle", "void", 0, 1_800, True),
        ("subscription_cycle", "uncollectible", 0, 1_800, True),
        ("subscription_update", "void", 1, 1_800, True),
        # What was asked for in vain was forgiven; what is not closed is waited for.
        ("subscription_cycle", "void", 1, 1_800, False),
        ("subscription_cycle", "draft", 0, 1_800, False),
        ("subscription_update", "open", 1, 1_800, False),
        # An upgrade that was dropped: the period is paid.
        ("subscription_update", "void", 1, 2_000, False),
    ],
)
def test_a_period_that_passed_in_a_pause_is_not_paid(
    reason: str, status: str, tries: int, end: int, unpaid: bool
) -> None:
    newest = {**OPEN, "status": status, "attempt_count": tries, "billing_reason": reason}
    paid = invoice(("plan", 1, 2_900, end))
    assert picture(subscription(("plan", 1)), newest, (paid,), "botyard").is_unpaid is unpaid


@pytest.mark.parametrize(
    ("status", "end", "since"),
    [("open", 1_000, 1_500), ("draft", 1_000, None), ("open", 900, 900), ("draft", 900, 900)],
)
def test_a_further_unpaid_period_begins_no_new_wait(
    status: str, end: int, since: int | None
) -> None:
    paid = invoice(("plan", 1, 2_900, end))
    seen = picture(subscription(("plan", 1)), {**OPEN, "status": status}, (paid,), "botyard")
    assert seen.unpaid_since == (datetime.fromtimestamp(since, UTC) if since else None)


def test_of_none_there_is_none() -> None:
    seen = picture(subscription(("plan", 1), ("bot", 0)), None, (), "botyard")
    assert seen.pieces == (Piece("plan", 1), Piece("bot", 0))
    assert items.pieces_of(subscription(("bot", 0))) == (Piece("bot", 0),)


def test_without_a_paid_invoice_nothing_is_settled() -> None:
    seen = picture(subscription(("plan", 1)), OPEN, (), "botyard")
    assert (seen.settled, seen.paid_price_id, seen.paid_until) == ((), None, None)
