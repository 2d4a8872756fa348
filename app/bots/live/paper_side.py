"""Looking at the paper venue and acting on it, for a batch of accounts in one transaction.

An account first does what was decided, at the price at which it was decided. Only when that has
brought no news does it walk on, and it stops at the first price that brings some.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from app.bots.live.clock import audit_is_due
from app.bots.live.facts import Account, Seen, Work
from app.bots.live.outcomes import apply_absence, apply_cancel, apply_place, is_held_back
from app.bots.live.rows import Seat, activate, read_leverages, read_seats
from app.bots.models import BotState
from app.db import utc_now
from app.exchanges.leases import still_held
from app.exchanges.paper import PaperAccount, PaperVenue
from app.exchanges.paper_rows import fills_after, payments_after
from app.markets.points import load_points, loaded_after
from app.notifications.stream import hint_many
from app.trades.service import OwnOrder, doubtful_orders, unsettled_orders, update_orders
from app.trading.market import Market, MarketKind, Triggers
from app.trading.orders import Status
from app.trading.ports import Accepted
from app.transactions import after_commit, transaction


def look(accounts: Mapping[int, Account], tokens: Mapping[int, int]) -> dict[int, Seen]:
    """Look at paper accounts for the first time in a tick.

    Orders of former ticks without an answer are looked up by their client id before anything is
    sent again, and fills that are not booked yet come before any new price.
    """
    seen: dict[int, Seen] = {}
    with transaction():
        held = sorted(still_held(tokens))
        seats = _by_account(read_seats(held))
        now = utc_now()
        due = [number for number in held if audit_is_due(accounts[number], now)]
        doubtful = doubtful_orders([number for number in held if number not in set(due)])
        # Now and then, everything is compared.
        doubtful += [own for own in unsettled_orders(due) if own.status.is_live]
        venue = _load(held, seats)
        venue.look_up({_key(own) for own in doubtful})
        missed = {*fills_after({number: accounts[number].fills_cursor for number in held})}
        missed |= {*payments_after(_funding_cursors(accounts, seats))}
        unsent = {own.account_id for own in doubtful if own.status is Status.INTENDED}
        for number in held:
            entry = Seen(number, cursor=accounts[number].fills_cursor, is_news=True)
            visit = _Visit(venue.account(number), seats[number], entry)
            if number not in missed and number not in unsent and not visit.stands_where_woken():
                visit.walk_on()
            seen[number] = visit.finish()
        for own in doubtful:
            client_id = own.order.client_id
            found = venue.account(own.account_id).find("", client_id)
            seen[own.account_id].found[client_id] = found
        venue.save()
        _add_news(seen, accounts, seats)
        for number in due:
            seen[number].is_audit = True
            seen[number].balances = venue.account(number).balances()
            seen[number].positions = {
                seat.market.symbol: venue.account(number).position(seat.market.symbol)
                for seat in seats[number]
                if seat.market.kind is MarketKind.LINEAR
            }
    return seen


def act(
    accounts: Mapping[int, Account], tokens: Mapping[int, int], work: Mapping[int, Work]
) -> dict[int, Seen]:
    """Do what was decided and walk on to the next news; the tokens are asked again before."""
    seen: dict[int, Seen] = {}
    with transaction():
        held = sorted(still_held({number: tokens[number] for number in work}))
        seats = _by_account(read_seats(held))
        venue = _load(held, seats)
        asked = ((*work[n].sends, *work[n].cancels, *work[n].doubted) for n in held)
        venue.look_up({_key(own) for orders in asked for own in orders})
        changed: list[OwnOrder] = []
        for number in held:
            entry = Seen(number, cursor=accounts[number].fills_cursor)
            visit = _Visit(venue.account(number), seats[number], entry)
            visit.cancel(work[number].cancels)
            visit.make_sure(work[number].doubted)
            visit.send(work[number].sends)
            visit.seen.is_news |= work[number].again or visit.account.has_new_fills
            if not visit.seen.is_news:
                visit.walk_on()
            changed += visit.changed
            seen[number] = visit.finish()
        venue.save()
        update_orders(changed)
        announce_started(seats, changed)
        _add_news(seen, accounts, seats)
    return seen


class _Visit:
    """One account in one such transaction."""

    def __init__(self, account: PaperAccount, seats: Sequence[Seat], seen: Seen) -> None:
        self.account, self.seats, self.seen = account, seats, seen
        self.changed: list[OwnOrder] = []
        self._by_bot = {seat.id: seat for seat in seats}
        # Until it walks on, later prices may wait.
        seen.is_last = False

    def cancel(self, orders: Iterable[OwnOrder]) -> None:
        """Take orders back."""
        for own in orders:
            symbol = self._by_bot[own.bot_id].market.symbol
            outcome = self.account.cancel(symbol, own.order.client_id)
            if apply_cancel(own, outcome, self.account.find(symbol, own.order.client_id)):
                self.changed.append(own)
                self.seen.is_news |= own.status.is_final

    def make_sure(self, orders: Iterable[OwnOrder]) -> None:
        """Take orders as absent that the venue has not known for long enough."""
        for own in orders:
            symbol, client_id = self._by_bot[own.bot_id].market.symbol, own.order.client_id
            outcome = self.account.cancel(symbol, client_id)
            if apply_absence(own, outcome, self.account.find(symbol, client_id)):
                self.changed.append(own)
                self.seen.is_news |= own.status.is_final

    def send(self, orders: Iterable[OwnOrder]) -> None:
        """Send orders, except those that the venue has already or that may not be sent any more."""
        for own in orders:
            seat = self._by_bot[own.bot_id]
            if is_held_back(own, seat):
                self.seen.is_news = True
                continue
            known = self.account.find(seat.market.symbol, own.order.client_id)
            if known is None:
                apply_place(own, self.account.place(seat.market.symbol, own.order))
            else:
                apply_place(own, Accepted(known.venue_id))
            self.changed.append(own)
            self.seen.is_news |= own.status.is_final

    def stands_where_woken(self) -> bool:
        """Say whether the tick before ended at a price that wakes a bot, with nothing decided yet.

        It was killed or ran out of time there; walking on would pass by a stop-loss.
        """
        return any(
            seat.minds_prices and seat.triggers.crossed(point.price)
            for seat in self.seats
            if (point := self.account.point(seat.market_id)) is not None
        )

    def walk_on(self) -> None:
        """Let prices happen up to the first that brings news."""
        triggers: dict[int, list[Triggers]] = defaultdict(list)
        points = {}
        for seat in self.seats:
            here = self.account.point(seat.market_id)
            if here is None:
                continue
            if seat.minds_prices:
                triggers[seat.market_id].append(seat.triggers)
            if seat.market_id not in points:
                points[seat.market_id] = loaded_after(seat.market_id, here.seq)
        progress = self.account.advance(points, triggers)
        self.seen.has_walked = True
        self.seen.is_last = progress.caught_up
        waits = any(seat.is_running and seat.is_fresh for seat in self.seats)
        self.seen.is_news |= bool(progress.fills or progress.crossed or progress.funded)
        self.seen.is_news |= waits and progress.caught_up

    def finish(self) -> Seen:
        """Note where the account stands."""
        for seat in self.seats:
            point = self.account.point(seat.market_id)
            if point is not None:
                self.seen.points[seat.market_id] = point
        return self.seen


def announce_started(seats: Mapping[int, Sequence[Seat]], changed: Iterable[OwnOrder]) -> None:
    """Make bots active whose first order was accepted."""
    accepted = {own.bot_id for own in changed if own.status is Status.OPEN}
    started = [
        seat
        for group in seats.values()
        for seat in group
        if seat.id in accepted and seat.state == BotState.STARTING.value
    ]
    if started:
        activate((seat.id for seat in started), utc_now())
        topics: dict[int, list[str]] = defaultdict(lambda: ["dashboard"])
        for seat in started:
            topics[seat.user_id].append(f"bot:{seat.id}")
        after_commit(partial(hint_many, topics))


def _key(own: OwnOrder) -> tuple[int, str]:
    return own.account_id, own.order.client_id


def _by_account(seats: Iterable[Seat]) -> defaultdict[int, list[Seat]]:
    groups: defaultdict[int, list[Seat]] = defaultdict(list)
    for seat in seats:
        groups[seat.account_id].append(seat)
    return groups


def _load(held: Collection[int], seats: Mapping[int, Sequence[Seat]]) -> PaperVenue:
    markets: dict[int, dict[int, Market]] = {
        number: {seat.market_id: seat.market for seat in seats.get(number, ())} for number in held
    }
    venue = PaperVenue.load(markets)
    every = [seat for number in held for seat in seats.get(number, ())]
    leverages = read_leverages(every)
    for seat in every:
        account = venue.account(seat.account_id)
        if seat.last_point is not None:
            account.begin_at(seat.market_id, seat.last_point)
        if seat.id in leverages:
            account.set_leverage(seat.market.symbol, leverages[seat.id])
    load_points(
        (seat.market_id, point.seq)
        for number in held
        for seat in seats.get(number, ())
        if (point := venue.account(number).point(seat.market_id)) is not None
    )
    return venue


def _funding_cursors(
    accounts: Mapping[int, Account], seats: Mapping[int, Sequence[Seat]]
) -> dict[int, str]:
    """Return where the funding of accounts on contracts was left; others are paid none."""
    return {
        number: accounts[number].funding_cursor
        for number, group in seats.items()
        if any(seat.market.kind is MarketKind.LINEAR for seat in group)
    }


def _add_news(
    seen: Mapping[int, Seen],
    accounts: Mapping[int, Account],
    seats: Mapping[int, Sequence[Seat]],
) -> None:
    for number, news in fills_after({n: accounts[n].fills_cursor for n in seen}).items():
        seen[number].fills, seen[number].cursor = news.fills, news.cursor
    for number, paid in payments_after(_funding_cursors(accounts, seats)).items():
        seen[number].funding, seen[number].funding_cursor = paid.rows, paid.cursor
