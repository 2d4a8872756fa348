"""What an answer of the venue makes of an order, and which orders may not be sent any more."""

from app.bots.live.rows import Seat
from app.db import utc_now
from app.trades.service import OwnOrder
from app.trading.orders import Purpose, Status
from app.trading.ports import Accepted, Outcome, Refused, VenueOrder

# A venue that knows the id already has the order: look it up, never send it under a new id.
KNOWN_ALREADY = "duplicate_client_id"
_OPENING = frozenset({Purpose.GRID, Purpose.ENTRY})


def is_held_back(own: OwnOrder, seat: Seat) -> bool:
    """Say whether an intended order may not be sent: its bot was stopped or started anew since."""
    if not seat.is_running or own.epoch != seat.epoch:
        return True
    return seat.stop_request is not None and own.order.key.purpose in _OPENING


def apply_place(own: OwnOrder, outcome: Outcome) -> None:
    """Note the answer to a sending."""
    own.sent_at = own.sent_at or utc_now()
    if isinstance(outcome, Accepted):
        own.exchange_order_id = outcome.venue_id
        own.turn(Status.OPEN)
    elif isinstance(outcome, Refused) and outcome.code != KNOWN_ALREADY:
        own.turn(Status.REJECTED, outcome.code)
    else:
        own.turn(Status.UNRESOLVED, "no_clear_answer")


def apply_cancel(own: OwnOrder, outcome: Outcome, found: VenueOrder | None) -> bool:
    """Note the answer to taking an order back; say whether the order changed.

    `found` is how the venue shows it afterwards. With fills that are not booked yet it stays as it
    is: the fills come first.
    """
    if found is None:
        if own.status is Status.INTENDED or isinstance(outcome, Refused):
            own.turn(Status.CANCELLED)
            return True
        return False
    return apply_found(own, found)


def apply_found(own: OwnOrder, found: VenueOrder) -> bool:
    """Bring an order to the state in which the venue shows it; say whether it changed."""
    before = own.status
    own.exchange_order_id = own.exchange_order_id or found.venue_id
    own.sent_at = own.sent_at or found.time or utc_now()
    gone = found.status in {Status.CANCELLED, Status.REJECTED}
    if gone and before.is_live and found.filled <= own.order.filled:
        own.turn(found.status)
    elif before in {Status.INTENDED, Status.UNRESOLVED, Status.REJECTED}:
        own.turn(Status.PARTIAL if own.order.filled else Status.OPEN)
    return own.status is not before
