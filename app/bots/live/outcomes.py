"""What an answer of the venue makes of an order, and which orders may not be sent any more."""

import re
from datetime import datetime
from decimal import Decimal

from app.bots.live import clock
from app.bots.live.rows import EMERGENCY, Seat
from app.db import utc_now
from app.trades.service import OwnOrder
from app.trading.market import MarketKind
from app.trading.orders import Purpose, Status
from app.trading.ports import Accepted, Outcome, Refused, VenueOrder
from app.trading.strategy import StopHow

PREFIX = "by"
# What `client_order_id` makes of the prefix; whatever else stands at the venue is not ours.
_OWN_ID = re.compile(PREFIX + "[a-z2-7]{24}")
# A venue that knows the id already has the order: look it up, never send it under a new id.
KNOWN_ALREADY = "duplicate_client_id"
# The key may read, or nothing at all: nobody but its owner can change that.
KEY_REFUSED = "key_refused"
# An order that may only close was refused: there is no such position.
NOTHING_TO_CLOSE = "nothing_to_close"
# Nothing to take back: the venue never had the order.
NEVER_CAME = "unknown_order"
# Kept as the order's answer once we have asked for it back: whoever finds it cancelled knows why.
ASKED_BACK = "asked_back"
# Somebody else took the order back.
TAKEN_BY_OTHERS = "cancelled_outside"
# Kept as the answer of an order that somebody else gave another price or made bigger: it is taken
# back, and ends as if they had taken it back.
EDITED = "edited_outside"
# Ends that say nothing about the next attempt.
EXCUSED = frozenset({"never_arrived", "vanished", "resolved_by_staff"})
_CLOSING = frozenset({StopHow.SELL.value, EMERGENCY})
_OPENING = frozenset({Purpose.GRID, Purpose.ENTRY, Purpose.PROTECT})
DETAIL_LENGTH = 300


def is_own_id(client_id: str) -> bool:
    """Say whether a client id is one that this product makes."""
    return _OWN_ID.fullmatch(client_id) is not None


def is_held_back(own: OwnOrder, seat: Seat) -> bool:
    """Say whether an intended order may not be sent: its bot was stopped or started anew since."""
    if not seat.is_running or own.epoch != seat.epoch:
        return True
    if own.order.key.purpose is Purpose.PROTECT and seat.market.kind is MarketKind.LINEAR:
        # The stop of a position that is kept stays, and may have to be placed anew for that.
        return seat.stop_request in _CLOSING
    return seat.stop_request is not None and own.order.key.purpose in _OPENING


def is_excused(own: OwnOrder) -> bool:
    """Say whether an order ended without anybody having refused it, or as we asked for it back."""
    if own.error is None:
        return own.status is Status.CANCELLED and own.answer == ASKED_BACK
    return own.error in EXCUSED and own.status in {Status.REJECTED, Status.CANCELLED}


def is_edited(own: OwnOrder, found: VenueOrder, tick: Decimal | None) -> bool:
    """Say whether an order stands at another price than we gave it, or is bigger.

    Venues may round a price by a step.
    """
    if own.status not in {Status.OPEN, Status.PARTIAL} or not found.status.is_live:
        return False
    if found.quantity > own.order.quantity:
        return True
    if found.price is None or own.order.price is None or found.kind is not own.order.kind:
        return False
    return abs(found.price - own.order.price) > (tick or own.order.price)


def ask_back(own: OwnOrder) -> bool:
    """Note that we ask for an order back; say whether that is news."""
    if own.answer in {EDITED, ASKED_BACK}:
        return False
    own.answer = ASKED_BACK
    return True


def rests_for_now(own: OwnOrder, now: datetime) -> bool:
    """Say whether an order that somebody else took back is not placed anew yet."""
    noticed = own.final_at
    return (
        own.status is Status.CANCELLED
        and own.error == TAKEN_BY_OTHERS
        # One of the future was noticed before the clock was set back.
        and (noticed is None or noticed <= now < noticed + clock.RESTORE_AFTER)
    )


def set_out(own: OwnOrder) -> None:
    """Note that an order is about to be sent: after a crash it may be at the venue."""
    own.sent_at = utc_now()


def apply_place(own: OwnOrder, outcome: Outcome) -> None:
    """Note the answer to a sending."""
    own.sent_at = own.sent_at or utc_now()
    if isinstance(outcome, Accepted):
        own.exchange_order_id = outcome.venue_id
        own.turn(Status.OPEN)
        return
    own.answer = outcome.detail[:DETAIL_LENGTH] or None
    if isinstance(outcome, Refused) and outcome.code != KNOWN_ALREADY:
        own.turn(Status.REJECTED, outcome.code)
    else:
        own.turn(Status.UNRESOLVED, "no_clear_answer")


def apply_cancel(own: OwnOrder, outcome: Outcome, found: VenueOrder | None) -> bool:
    """Note the answer to taking an order back; say whether the order changed.

    `found` is how the venue shows it afterwards. With fills that are not booked yet it stays as it
    is: the fills come first.
    """
    ask_back(own)
    if found is not None:
        return apply_found(own, found)
    if own.status is Status.INTENDED or _never_came(outcome):
        own.turn(Status.CANCELLED)
    else:
        # Perhaps it was filled a moment ago and its fills are on their way.
        own.turn(Status.UNRESOLVED, "unknown_to_venue")
    return True


def apply_absence(own: OwnOrder, outcome: Outcome, found: VenueOrder | None) -> bool:
    """Take an order as absent that nobody has seen for long enough; say whether it changed.

    `outcome` is what the venue answered when it was asked to take it back: it must be sure that
    nothing stands, for what it does not show may stand all the same, and something else would be
    placed beside it. An order that did stand once is gone then; one that was never seen has never
    arrived.
    """
    if isinstance(outcome, Accepted):
        ask_back(own)
    if found is not None:
        return apply_found(own, found)
    if not (isinstance(outcome, Accepted) or _never_came(outcome)):
        return False
    if own.exchange_order_id is None and not own.order.filled:
        own.turn(Status.REJECTED, "never_arrived")
    else:
        own.turn(Status.CANCELLED, "vanished")
    return True


def _never_came(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.code == NEVER_CAME


def apply_found(own: OwnOrder, found: VenueOrder) -> bool:
    """Bring an order to the state in which the venue shows it; say whether it changed."""
    before = own.status
    own.exchange_order_id = own.exchange_order_id or found.venue_id
    own.sent_at = own.sent_at or found.time or utc_now()
    # Who makes an order smaller by hand takes its rest back: what is left of it may be filled.
    smaller = found.status is Status.FILLED and found.quantity < own.order.quantity
    gone = smaller or found.status in {Status.CANCELLED, Status.REJECTED}
    if gone and before.is_live and found.filled <= own.order.filled:
        by_others = before is not Status.INTENDED and own.answer != ASKED_BACK
        ended = Status.CANCELLED if smaller else found.status
        own.turn(ended, TAKEN_BY_OTHERS if by_others else None)
    elif before in {Status.INTENDED, Status.UNRESOLVED, Status.REJECTED} and not gone:
        own.turn(Status.PARTIAL if own.order.filled else Status.OPEN)
    return own.status is not before
