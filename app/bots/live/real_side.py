"""Looking at a real account and acting on it: calls stand outside of any transaction.

Before each handful of sendings the token is asked again, with time to spare for the calls, and
each handful is noted at once. A crash in between leaves INTENDED orders, which the next look finds
by their client ids before anything is sent again.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from app.bots.live.facts import Account, Seen, Work
from app.bots.live.outcomes import apply_cancel, apply_place, is_held_back
from app.bots.live.paper_side import announce_started
from app.bots.live.rows import Seat, read_seats
from app.errors import Unavailable
from app.exchanges.leases import renew, still_held
from app.exchanges.venues import open_venue
from app.trades.service import OwnOrder, unsettled_orders, update_orders
from app.trading.orders import Status
from app.trading.ports import Exchange, Outcome, Unresolved, VenueOrder
from app.transactions import transaction

log = logging.getLogger(__name__)

# As many calls as surely fit into the rest of a lease, at the time-out of one call.
HANDFUL = 5
MARGIN_S = 12
UNSURE = frozenset({Status.INTENDED, Status.UNRESOLVED, Status.OPEN, Status.PARTIAL})


def look(account: Account, tokens: Mapping[int, int]) -> Seen | None:
    """Look at a real account: open orders and new fills once, doubtful orders one by one.

    Return None when the lease is not ours any more; raise Unavailable when the venue is away.
    """
    with transaction():
        if not still_held({account.id: tokens[account.id]}, MARGIN_S):
            return None
        seats = read_seats([account.id])
        orders = unsettled_orders([account.id])
    seen = Seen(account.id, cursor=account.fills_cursor, is_news=True)
    for seat in seats:
        if seat.last_point is not None:
            seen.points[seat.market_id] = seat.last_point
    if seats:
        _ask(open_venue(account.id), account, seats, orders, seen)
    return seen


def _ask(
    venue: Exchange,
    account: Account,
    seats: Sequence[Seat],
    orders: Sequence[OwnOrder],
    seen: Seen,
) -> None:
    cursors = read_cursors(account.fills_cursor)
    for market_id, symbol in sorted({(seat.market_id, seat.market.symbol) for seat in seats}):
        mine = [own for own in orders if own.market_id == market_id]
        # Open orders first: what vanishes between both answers is in the fills.
        standing = {order.client_id: order for order in venue.open_orders(symbol)}
        page = venue.fills_since(symbol, cursors.get(symbol, ""))
        seen.fills += [(market_id, fill) for fill in page.fills]
        cursors[symbol] = page.cursor
        for own in mine:
            client_id = own.order.client_id
            if client_id in standing:
                seen.found[client_id] = standing[client_id]
            elif own.status in UNSURE:
                seen.found[client_id] = venue.find(symbol, client_id)
    seen.cursor = write_cursors(cursors)


def act(account: Account, tokens: Mapping[int, int], work: Work) -> bool:
    """Do what was decided; say whether that brings news, so that another look is worth it."""
    steps = [(own, True) for own in work.cancels] + [(own, False) for own in work.sends]
    remaining = iter(steps)
    news = work.again
    venue: Exchange | None = None
    while handful := list(islice(remaining, HANDFUL)):
        seats = _permit(account, tokens)
        if seats is None:
            log.warning("fenced_off_before_sending account=%s", account.id)
            return False
        venue = venue or open_venue(account.id)
        changed = []
        for own, is_cancel in handful:
            seat = seats.get(own.bot_id)
            if seat is None or (not is_cancel and is_held_back(own, seat)):
                news = True
            elif is_cancel:
                changed += _take_back(venue, seat, own)
            else:
                apply_place(own, _send(venue, seat, own))
                changed.append(own)
        with transaction():
            if not still_held({account.id: tokens[account.id]}):
                # Somebody else looks these orders up: what we know may be older.
                return False
            update_orders(changed)
            announce_started({account.id: list(seats.values())}, changed)
        news |= any(own.status.is_final or own.order.price is None for own in changed)
    return news


def _permit(account: Account, tokens: Mapping[int, int]) -> dict[int, Seat] | None:
    """Ask the token again just before sending, and how the bots stand now."""
    token = {account.id: tokens[account.id]}
    with transaction():
        renew(token)
        if not still_held(token, MARGIN_S):
            return None
        return {seat.id: seat for seat in read_seats([account.id])}


def _send(venue: Exchange, seat: Seat, own: OwnOrder) -> Outcome:
    try:
        return venue.place(seat.market.symbol, own.order)
    except Unavailable as error:
        return Unresolved(error.code)


def _take_back(venue: Exchange, seat: Seat, own: OwnOrder) -> list[OwnOrder]:
    symbol, client_id = seat.market.symbol, own.order.client_id
    try:
        found: VenueOrder | None = None
        if own.status is Status.INTENDED:
            # Never sent, as far as we know; only the venue knows for sure.
            found = venue.find(symbol, client_id)
            if found is None:
                own.turn(Status.CANCELLED)
                return [own]
        outcome = venue.cancel(symbol, client_id)
        found = venue.find(symbol, client_id)
    except Unavailable:
        return []
    return [own] if apply_cancel(own, outcome, found) else []


def read_cursors(text: str) -> dict[str, str]:
    """Read where the fills of each symbol were left: `symbol=cursor` lines."""
    pairs: Iterable[list[str]] = (line.split("=", 1) for line in text.splitlines())
    return {symbol: cursor for symbol, cursor in pairs}


def write_cursors(cursors: Mapping[str, str]) -> str:
    """Write what `read_cursors` reads."""
    return "\n".join(f"{symbol}={cursor}" for symbol, cursor in sorted(cursors.items()))
