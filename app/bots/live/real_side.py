"""Looking at a real account and acting on it: calls stand outside of any transaction.

One look tells what stands and what was filled; orders in doubt are looked up one by one. Before a
sending the token is asked again unless that was a moment ago, with time to spare for the call; that
the order may be on its way is written down just before it goes, and answers are noted at once. A
crash in between leaves INTENDED orders: one that never went out is sent after a look-up in vain,
one that may have gone is in doubt like any other without a clear answer.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from random import shuffle

from app.bots.live.clock import audit_is_due
from app.bots.live.facts import Account, Seen, Work
from app.bots.live.outcomes import (
    KEY_REFUSED,
    KNOWN_ALREADY,
    NOTHING_TO_CLOSE,
    apply_absence,
    apply_cancel,
    apply_place,
    ask_back,
    is_held_back,
    is_own_id,
    set_out,
)
from app.bots.live.paper_side import announce_started
from app.bots.live.rows import Seat, read_leverages, read_seats, read_swings
from app.bots.ties import has_pending
from app.db import utc_now
from app.errors import Unavailable
from app.exchanges.leases import renew, still_held
from app.exchanges.venues import open_venue
from app.trades.service import OwnOrder, unsettled_orders, update_orders
from app.trading.market import ZERO, MarketKind
from app.trading.order_queues import DELEVERAGING, LIQUIDATION
from app.trading.orders import Fill, Order, OrderKind, Purpose, Side, Status
from app.trading.ports import Accepted, Exchange, Outcome, Refused, Unresolved, VenueOrder
from app.transactions import transaction

log = logging.getLogger(__name__)

# One call ends within its time-out, and so much of the lease is left when it begins: a permit is
# good for a moment only, so that a stop is obeyed at once.
MARGIN_S = 12
FRESH_S = 1
# Answers are noted after so many calls.
HANDFUL = 5
# Look-ups in one look; the others have their turn at the next.
MOST_LOOK_UPS = 20
MOST_FAILED_LOOK_UPS = 3
# Our own brake, or the exchange's: certainly nothing was sent.
NOT_NOW = "exchange_rate_limited"
# What waits for whatever closes or protects.
OPENING = frozenset({Purpose.GRID, Purpose.ENTRY})
DOUBTFUL = frozenset({Status.INTENDED, Status.UNRESOLVED})
Standing = Mapping[str, tuple[VenueOrder, ...]]


def look(account: Account, tokens: Mapping[int, int]) -> Seen | None:
    """Look at a real account: what stands, what was filled, and orders in doubt one by one.

    Return None when the lease is not ours any more; raise Unavailable when the venue is away.
    """
    with transaction():
        if not still_held({account.id: tokens[account.id]}, MARGIN_S):
            return None
        seats = read_seats([account.id])
        orders = unsettled_orders([account.id])
        leverages = read_leverages(seats)
        swings = read_swings(account.id)
        doubts_books = has_pending(account.id)
    seen = Seen(account.id, cursor=account.fills_cursor, is_news=True, asks_again=True)
    seen.swings = swings
    for seat in seats:
        if seat.last_point is not None:
            seen.points[seat.market_id] = seat.last_point
        if seat.price_is_stale:
            seen.stale.add(seat.market_id)
    if seats:
        # Start and recovery are one path: both begin with a comparison.
        starts = any(seat.is_running and seat.is_fresh for seat in seats)
        seen.is_audit = seen.may_retry = starts or audit_is_due(account, utc_now())
        venue = open_venue(account.id)
        if seen.is_audit:
            for seat in seats:
                # One that ends trades no more, whatever the account has become.
                if seat.id in leverages and seat.stop_request is None:
                    venue.set_leverage(seat.market.symbol, leverages[seat.id])
        standing = _ask(venue, account, seats, orders, seen)
        if doubts_books and seen.balances is not None and standing is not None:
            _leave_out_if_traded(venue, standing, seen)
    return seen


def _ask(
    venue: Exchange,
    account: Account,
    seats: Sequence[Seat],
    orders: Sequence[OwnOrder],
    seen: Seen,
) -> Standing | None:
    """Ask all that is due, and return what stood at first, by symbol; None if that was not asked.

    Orders come first, then fills, then what is asked at a comparison only, with the money last.
    """
    symbols = {seat.market_id: seat.market.symbol for seat in seats}
    answer = venue.look(_expected(symbols, orders), seen.cursor, whole=seen.is_audit)
    market_ids = {symbol: number for number, symbol in symbols.items()}
    seen.cursor = answer.cursor
    seen.is_partial = answer.is_partial
    if answer.is_partial:
        log.warning("fills_unread account=%s cursor=%s", account.id, answer.cursor)
        seen.is_audit = False
    seen.fills = [(market_ids.get(symbol, 0), fill) for symbol, fill in answer.fills]
    standing: dict[str, VenueOrder] | None = None
    if answer.orders is not None:
        standing = {order.client_id: order for rows in answer.orders.values() for order in rows}
        known = {own.order.client_id for own in orders}
        seen.strays = [
            order
            for client_id, order in standing.items()
            if client_id not in known and is_own_id(client_id)
        ]
    _look_up(venue, symbols, orders, standing, seen)
    contracts = {
        seat.market.symbol: seat.market_id
        for seat in seats
        if seat.market.kind is MarketKind.LINEAR
    }
    if not seen.is_audit:
        # Somebody else has traded a contract of ours, perhaps its position away.
        touched = {at for at, fill in seen.fills if _is_foreign(fill)}
        asked = [symbol for symbol in sorted(contracts) if contracts[symbol] in touched]
        seen.positions = _positions(venue, asked)
    else:
        _ask_funding(venue, contracts, account, seen)
        seen.balances = venue.balances()
        seen.positions = _positions(venue, contracts)
    return answer.orders


def _leave_out_if_traded(venue: Exchange, before: Standing, seen: Seen) -> None:
    """Compare no money of an account whose orders were filled between our questions.

    What was filled after fills were told is missing in our books and counts in the money. Once is
    no news; twice in a row, in a ladder of equal orders, would look like a difference that stays.
    """
    stood = _own_standing(before)
    if _own_standing(venue.look(stood, seen.cursor, whole=True).orders or {}) != stood:
        seen.balances = None


def _own_standing(standing: Standing) -> dict[str, dict[str, Decimal]]:
    return {
        symbol: {order.client_id: order.filled for order in orders if is_own_id(order.client_id)}
        for symbol, orders in standing.items()
    }


def _positions(venue: Exchange, symbols: Iterable[str]) -> dict[str, Decimal]:
    """Return what is held in contracts, without those of which the venue does not tell."""
    told = ((symbol, venue.position(symbol)) for symbol in symbols)
    return {symbol: held for symbol, held in told if held is not None}


def _is_foreign(fill: Fill) -> bool:
    return not is_own_id(fill.client_id) and fill.client_id not in {LIQUIDATION, DELEVERAGING}


def _ask_funding(
    venue: Exchange, contracts: Mapping[str, int], account: Account, seen: Seen
) -> None:
    if not contracts:
        return
    cursors = read_cursors(account.funding_cursor)
    for symbol, market_id in sorted(contracts.items()):
        page = venue.funding_since(symbol, cursors.get(symbol, ""))
        seen.funding += [(market_id, payment) for payment in page.rows]
        cursors[symbol] = page.cursor
    seen.funding_cursor = "\n".join(f"{name}={cursor}" for name, cursor in sorted(cursors.items()))


def read_cursors(text: str) -> dict[str, str]:
    """Read where each symbol was left: `symbol=cursor` lines."""
    pairs = (line.rsplit("=", 1) for line in text.splitlines())
    return {symbol: cursor for symbol, cursor in pairs}


def _expected(
    symbols: Mapping[int, str], orders: Iterable[OwnOrder]
) -> dict[str, dict[str, Decimal]]:
    expected: dict[str, dict[str, Decimal]] = {symbol: {} for symbol in symbols.values()}
    for own in orders:
        if own.status.is_live:
            expected[symbols[own.market_id]][own.order.client_id] = own.order.filled
    return expected


def _look_up(
    venue: Exchange,
    symbols: Mapping[int, str],
    orders: Iterable[OwnOrder],
    standing: Mapping[str, VenueOrder] | None,
    seen: Seen,
) -> None:
    """Find out about each order that may stand and was not shown standing."""
    told: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for _, fill in seen.fills:
        told[fill.client_id] += fill.quantity
    missing: list[OwnOrder] = []
    for own in orders:
        client_id = own.order.client_id
        if standing is not None and client_id in standing:
            seen.found[client_id] = standing[client_id]
            continue
        in_doubt = own.status in DOUBTFUL or (standing is not None and own.status.is_live)
        # How the venue has one that we never sent, only the venue knows.
        if own.status is Status.INTENDED or (in_doubt and told[client_id] < own.order.quantity):
            missing.append(own)
    failures = 0
    waiting = [own for own in missing if own.status is Status.INTENDED]
    seen.is_cut = len(waiting) > MOST_LOOK_UPS
    others = [own for own in missing if own.status is not Status.INTENDED]
    shuffle(others)
    for own in (waiting + others)[:MOST_LOOK_UPS]:
        client_id, symbol = own.order.client_id, symbols[own.market_id]
        try:
            found = venue.find(symbol, client_id)
            if found is not None and found.filled > max(own.order.filled, told[client_id]):
                fills = venue.order_fills(symbol, client_id)
                seen.fills += [(own.market_id, fill) for fill in fills]
        except Unavailable as error:
            # What else was told counts all the same.
            log.warning("look_up_failed account=%s error=%s", own.account_id, error.code)
            failures += 1
            if failures == MOST_FAILED_LOOK_UPS:
                return
        else:
            seen.found[client_id] = found


def act(account: Account, tokens: Mapping[int, int], work: Work) -> bool:
    """Do what was decided; say whether that brings news, so that another look is worth it.

    Raise Unavailable when the exchange wants no more calls for now: the rest waits.
    """
    return _Errand(account, tokens).run(work)


class _Errand:
    """What is to be done on one account, call by call, each under a permit that is fresh."""

    def __init__(self, account: Account, tokens: Mapping[int, int]) -> None:
        self.account, self.token = account, {account.id: tokens[account.id]}
        self.news = False
        self.seats: dict[int, Seat] = {}
        self._venue: Exchange | None = None
        self._permitted = float("-inf")  # time
        self._changed: list[OwnOrder] = []
        self._work = Work()

    def run(self, work: Work) -> bool:
        """Take back strays, then own orders, make sure of some, then send.

        All bots of an account share its limits: those that stop come first, and what closes or
        protects goes before what opens. Whoever asks one to stop meanwhile does not wait either:
        the rest of the orders is left for the next look. Stop when the account is not ours.

        Other settings may want another leverage: told after the cancels and before the orders.
        """
        self._work, self.news = work, work.again
        steps: list[Callable[[], bool]] = [
            *(partial(self._cancel_stray, stray) for stray in work.strays),
            *(partial(self._take_back, own) for own in sorted(work.cancels, key=self._turn)),
            *(partial(self._make_sure, own) for own in work.doubted),
            *([self._set_leverages] if work.edited else []),
            *(partial(self._send, own) for own in sorted(work.sends, key=self._turn)),
        ]
        for number, step in enumerate(steps):
            if number % HANDFUL == 0 and not self._note():
                return False
            if not self._may_go_on():
                log.warning("fenced_off_before_sending account=%s", self.account.id)
                self._note()
                return False
            try:
                goes_on = step()
            except Unavailable:
                # Nothing was sent, so the order stays intended.
                self._note()
                raise
            if not goes_on:
                return False
        return self._note() and self.news

    def _turn(self, own: OwnOrder) -> tuple[bool, bool]:
        return own.bot_id not in self._work.stopping, own.order.key.purpose in OPENING

    @property
    def venue(self) -> Exchange:
        """Open the venue when it is needed first."""
        if self._venue is None:
            self._venue = open_venue(self.account.id)
        return self._venue

    def _may_go_on(self) -> bool:
        """Ask the token again, and how the bots stand, unless that was a moment ago."""
        if time.monotonic() - self._permitted < FRESH_S:
            return True
        asked = time.monotonic()
        with transaction():
            renew(self.token)
            if not still_held(self.token, MARGIN_S):
                return False
            self.seats = {seat.id: seat for seat in read_seats([self.account.id])}
        self._permitted = asked
        return True

    def _note(self) -> bool:
        """Write what the calls have told; say whether the account is still ours."""
        changed, self._changed = self._changed, []
        if not changed:
            return True
        self.news |= any(own.status.is_final or own.order.price is None for own in changed)
        with transaction():
            if not still_held(self.token):
                # Somebody else looks these orders up: what we know may be older.
                return False
            update_orders(changed)
            announce_started({self.account.id: list(self.seats.values())}, changed)
        return True

    def _set_leverages(self) -> bool:
        with transaction():
            leverages = read_leverages(list(self.seats.values()))
        for number, leverage in leverages.items():
            self.venue.set_leverage(self.seats[number].market.symbol, leverage)
        return True

    def _cancel_stray(self, stray: VenueOrder) -> bool:
        try:
            outcome = self.venue.cancel(stray.symbol, stray.client_id)
        except Unavailable as error:
            if error.code == NOT_NOW:
                raise
            outcome = Unresolved(error.code)
        log.warning(
            "stray_order_cancelled account=%s client_id=%s outcome=%s",
            self.account.id, stray.client_id, type(outcome).__name__,
        )  # fmt: skip
        return True

    def _is_outranked(self, own: OwnOrder) -> bool:
        """Say whether a bot is to close something before others open more.

        Somebody has asked it to stop since that was decided, or its orders were just taken back, so
        that it sells with the next look.
        """
        if own.order.key.purpose not in OPENING:
            return False
        cleared = (o for o in self._work.cancels if o.bot_id in self._work.stopping)
        if any(order.status.is_final for order in cleared):
            return True
        asked = (s.id for s in self.seats.values() if s.stop_request is not None and s.is_running)
        return any(number not in self._work.stopping for number in asked)

    def _send(self, own: OwnOrder) -> bool:
        seat = self.seats.get(own.bot_id)
        if seat is None or is_held_back(own, seat) or self._is_outranked(own):
            self.news = True
            return True
        set_out(own)
        self._changed.append(own)
        if not self._note():
            return False
        self._changed.append(own)
        outcome = self._placed(seat.market.symbol, own)
        self._mind_refusal(own, outcome)
        apply_place(own, outcome)
        self.news |= _trades_at_once(own.order, seat)
        return True

    def _placed(self, symbol: str, own: OwnOrder) -> Outcome:
        try:
            outcome = self.venue.place(symbol, own.order)
            if isinstance(outcome, Refused) and outcome.code == KNOWN_ALREADY:
                # The venue has it, by a sending whose answer was lost: it is ours, take it in.
                found = self.venue.find(symbol, own.order.client_id)
                return Unresolved(outcome.detail) if found is None else Accepted(found.venue_id)
        except Unavailable as error:
            if error.code == NOT_NOW:
                own.sent_at = None
                raise
            return Unresolved(error.code)
        return outcome

    def _mind_refusal(self, own: OwnOrder, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted):
            self._work.served.add(own.bot_id)
        elif isinstance(outcome, Refused) and outcome.code == KEY_REFUSED:
            self._work.keyless.add(own.bot_id)
        if isinstance(outcome, Refused) and outcome.misfits:
            self._work.misfits.add(own.market_id)
        if isinstance(outcome, Refused) and outcome.code == NOTHING_TO_CLOSE:
            self._work.closes_nothing = self.news = True

    def _take_back(self, own: OwnOrder) -> bool:
        symbol = self._symbol_of(own)
        if symbol is None:
            return True
        if own.status is Status.INTENDED and not self._is_there(symbol, own):
            return True
        answer = self._asked_back(symbol, own)
        if answer is None:
            # It may be gone all the same, and then by us.
            ask_back(own)
        else:
            apply_cancel(own, *answer)
        self._changed.append(own)
        return True

    def _is_there(self, symbol: str, own: OwnOrder) -> bool:
        """Say whether the venue has an order that was never sent as far as we know: else note it.

        Only the venue knows for sure; where it does not answer the order waits for the next look.
        """
        try:
            if self.venue.find(symbol, own.order.client_id) is not None:
                return True
        except Unavailable as error:
            _mind_unclear(own, error)
        else:
            own.turn(Status.CANCELLED if own.sent_at is None else Status.UNRESOLVED)
            self._changed.append(own)
        return False

    def _make_sure(self, own: OwnOrder) -> bool:
        symbol = self._symbol_of(own)
        answer = None if symbol is None else self._asked_back(symbol, own)
        if answer is not None and apply_absence(own, *answer):
            self._changed.append(own)
        return True

    def _symbol_of(self, own: OwnOrder) -> str | None:
        """Return what an order trades; None if its bot is no concern of this errand any more."""
        seat = self.seats.get(own.bot_id)
        if seat is None:
            self.news = True
            return None
        return seat.market.symbol

    def _asked_back(self, symbol: str, own: OwnOrder) -> tuple[Outcome, VenueOrder | None] | None:
        """Ask an order back and look what became of it; None where that stays unclear."""
        try:
            outcome = self.venue.cancel(symbol, own.order.client_id)
            self._mind_refusal(own, outcome)
            return outcome, self.venue.find(symbol, own.order.client_id)
        except Unavailable as error:
            _mind_unclear(own, error)
            return None


def _mind_unclear(own: OwnOrder, error: Unavailable) -> None:
    # What we were not let send is the same at the next look; of the rest the log says it.
    if error.code == NOT_NOW:
        raise error
    log.warning("cancel_unclear account=%s error=%s", own.account_id, error.code)


def _trades_at_once(order: Order, seat: Seat) -> bool:
    # Its fill is worth another look in the same tick.
    last = seat.last_point
    if order.kind is not OrderKind.LIMIT or order.price is None or last is None:
        return False
    is_buy = order.key.side is Side.BUY
    return order.price >= last.price if is_buy else order.price <= last.price
