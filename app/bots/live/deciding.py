"""One decision for a batch of accounts: fence, book what was seen, ask each strategy, write it all.

Everything stands in one transaction. What is to be sent is written as INTENDED before it is sent.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import Table

from app.bots.live.answers import Answer
from app.bots.live.asking import ask, unsent
from app.bots.live.booking import Books, lacks, open_books, tell_of_stray
from app.bots.live.catching_up import catch_up
from app.bots.live.facts import Account, Seen, Work
from app.bots.live.idle import hold, read_left, rest, watch
from app.bots.live.outcomes import ask_back
from app.bots.live.protect import AT_VENUE, held_stops, leave, mind_left
from app.bots.live.rows import Event, LiveBot, write_bots, write_events
from app.bots.live.states import take_failure, take_success
from app.bots.live.trips import RoundTrips
from app.bots.metrics import close_span, write_metrics
from app.bots.models import BotState
from app.bots.stopping import system_stop
from app.bots.ties import compare_accounts, note_taken_out
from app.bulk import bulk_update
from app.db import db
from app.errors import DomainError
from app.exchanges.audits import ask_for_audit
from app.exchanges.leases import still_held
from app.exchanges.models import ExchangeAccount
from app.money import exact_text
from app.notifications.stream import hint_many
from app.trades.round_trips import RoundTrip, open_round_trips, write_round_trips
from app.trades.service import OwnOrder, insert_orders, update_orders
from app.trading.market import Triggers
from app.trading.orders import Status
from app.trading.strategy import Match, Severity, UnderWay
from app.transactions import after_commit, transaction

log = logging.getLogger(__name__)

ACCOUNTS: Table = ExchangeAccount.__table__  # type: ignore[assignment]  # typed FromClause, is a Table
_SAVE_CURSORS = bulk_update(ACCOUNTS, ("id",), ("fills_cursor",))
_SAVE_FUNDING = bulk_update(ACCOUNTS, ("id",), ("funding_cursor",))
_SAVE_AUDITS = bulk_update(ACCOUNTS, ("id",), ("audited_at",))


@dataclass(frozen=True, slots=True)
class Waiting:
    """At which prices a bot wants to be woken, and up to which point it has seen its market."""

    market_id: int
    account_id: int
    bot_id: int
    wake: Triggers
    seq: int


@dataclass(slots=True)
class Decided:
    """What a decision leaves to do, by account, and where its bots wait now."""

    work: dict[int, Work] = field(default_factory=dict)
    waiting: dict[int, Waiting] = field(default_factory=dict)
    fills: int = 0
    failed: int = 0
    # Accounts whose next comparison should come soon: a position may have been closed by hand.
    suspects: set[int] = field(default_factory=set)


def decide(
    accounts: Mapping[int, Account],
    tokens: Mapping[int, int],
    seen: Mapping[int, Seen],
    tick_id: str,
) -> Decided:
    """Decide for the accounts whose lease is still ours; the others are left to who took them."""
    with transaction():
        held = still_held({number: tokens[number] for number in seen})
        if len(held) < len(seen):
            log.warning("fenced_off tick=%s accounts=%s", tick_id, sorted(set(seen) - held))
        ours = {number: seen[number] for number in sorted(held)}
        desk = _Desk(open_books(ours, accounts), ours, tick_id)
        desk.serve_all()
        desk.write()
        desk.compare()
        # One that somebody asked for is not asked for once more: that could go on for ever.
        suspects = desk.decided.suspects = {
            number for number in desk.decided.suspects if accounts[number].audited_at is not None
        }
        moved, audited = _save_cursors(ours, accounts, desk.books.now, suspects)
        desk.tell_pages()
    for number, cursor in moved:
        accounts[number].fills_cursor = cursor
    for number, entry in ours.items():
        if entry.funding_cursor is not None:
            accounts[number].funding_cursor = entry.funding_cursor
    for number, at in audited:
        accounts[number].audited_at = at
    for number in suspects:
        accounts[number].audited_at = None
    return desk.decided


def _save_cursors(
    seen: Mapping[int, Seen],
    accounts: Mapping[int, Account],
    now: datetime,
    suspects: Collection[int],
) -> tuple[list[tuple[int, str]], list[tuple[int, datetime]]]:
    moved = [(n, e.cursor) for n, e in seen.items() if e.cursor != accounts[n].fills_cursor]
    if moved:
        db.session.execute(_SAVE_CURSORS.statement, _SAVE_CURSORS.values(moved))
    funded = [(n, e.funding_cursor) for n, e in seen.items() if e.funding_cursor is not None]
    if funded:
        db.session.execute(_SAVE_FUNDING.statement, _SAVE_FUNDING.values(funded))
    done = {number for number, entry in seen.items() if entry.is_audit}
    ask_for_audit(suspects)
    audited = [(number, now) for number in done.difference(suspects)]
    if audited:
        db.session.execute(_SAVE_AUDITS.statement, _SAVE_AUDITS.values(audited))
    return moved, audited


class _Desk:
    """Where the bots of a batch are served one by one and their answers gathered."""

    def __init__(self, books: Books, seen: Mapping[int, Seen], tick_id: str) -> None:
        self.books, self.seen, self.tick_id = books, seen, tick_id
        self.decided = Decided(work={number: Work() for number in seen})
        self.answers: dict[int, Answer] = {}
        self._with_news: set[int] = set(books.fills)
        self.decided.fills = sum(map(len, books.fills.values()))
        for number, entry in seen.items():
            self.decided.work[number].again |= entry.is_cut
            self.decided.work[number].doubted += books.doubted[number]

    def serve_all(self) -> None:
        """Ask every bot; one that fails spoils nothing for the others."""
        for bot in self.books.bots:
            if bot.account_id not in self.seen:
                continue
            if not bot.is_running:
                self._keep(bot, self._hold(bot) if bot.is_paused else self._watch(bot))
                bot.last_tick_at = self.books.now
                continue
            try:
                answer = ask(self.books, bot, self.seen[bot.account_id], self.tick_id)
            except DomainError as error:
                self._fail(bot, error.code, dict(error.values), for_good=bot.is_fresh)
            except Exception as error:
                # The border between one bot and the others, so whatever it is.
                log.exception("tick_failed bot=%s tick=%s", bot.id, self.tick_id)
                self._fail(bot, "unexpected", {"error": type(error).__name__})
            else:
                self._keep(bot, answer)
                before = bot.state
                take_success(bot, answer, self.books)
                if bot.state != before:
                    self._with_news.add(bot.id)
                    self._note_left(bot, answer)

    def write(self) -> None:
        """Write all that changed, each table with one statement."""
        books = self.books
        new = [order for answer in self.answers.values() for order in answer.new_orders]
        written = insert_orders(new)
        intended = [own for own in written if own.status is Status.INTENDED]
        for own in intended:
            self.decided.work[own.account_id].sends.append(own)
        self._catch_up({own.account_id for own in intended})
        if len(written) < len(new):
            log.error("orders_exist tick=%s missing=%s", self.tick_id, len(new) - len(written))
        update_orders(books.touched.values())
        write_round_trips(self._round_trips())
        close_span([bot.id for bot, _ in books.taken_out], books.now)
        for bot, moved in books.taken_out:
            note_taken_out(bot.account_id, moved)
        write_bots([bot for bot in books.bots if bot.account_id in self.seen])
        write_metrics([each for each in books.metrics.values() if each.is_changed], books.now)
        events = [*books.events, *(e for answer in self.answers.values() for e in answer.events)]
        write_events(events, books.now, self.tick_id)
        self._with_news |= {order.bot_id for order in new} | {event.bot_id for event in events}

    def _catch_up(self, wanting: Collection[int]) -> None:
        books, works = self.books, self.decided.work
        for number in books.lost:
            more = number in wanting
            catch_up(books, number, self.seen[number], works[number], wants_more=more)
        for number, strays in books.strays.items():
            works[number].strays += strays
            for stray in strays:
                tell_of_stray(books, number, stray)

    def compare(self) -> None:
        """Compare money with the venues that told theirs, and tell both sides of a difference."""
        now = self.books.now
        told = {
            number: {
                **{name: balance.total for name, balance in entry.balances.items()},
                **entry.positions,
            }
            for number, entry in self.seen.items()
            if entry.balances is not None
        }
        events = []
        for found in compare_accounts(told, now):
            ours, venue = exact_text(found.ours), exact_text(found.venue)
            log.error(
                "books_differ account=%s currency=%s ours=%s venue=%s",
                found.account_id, found.currency, ours, venue,
            )  # fmt: skip
            values = {"currency": found.currency, "ours": ours, "venue": venue}
            bots = [bot for bot in self.books.bots if bot.account_id == found.account_id]
            running = [bot for bot in bots if bot.is_running]
            events += [Event(bot.id, "books_differ", values, Severity.WARNING) for bot in running]
            self._end_without_position([bot for bot in bots if bot.market.symbol == found.currency])
        write_events(events, now, self.tick_id)
        self._with_news |= {event.bot_id for event in events}
        self.decided.suspects = {bot.account_id for bot in self.books.bots if self._suspects(bot)}

    def _suspects(self, bot: LiveBot) -> bool:
        """Say whether a bot's position seems to be gone, and no order in doubt may explain that.

        Its orders would open another: whether it is so for sure is asked soon.
        """
        entry = self.seen.get(bot.account_id)
        held = None if entry is None else entry.positions.get(bot.market.symbol)
        if held is None or not (bot.is_running or bot.is_paused) or bot.stop_request is not None:
            return False
        in_doubt = any(
            own.status is Status.UNRESOLVED or (own.status is Status.INTENDED and own.sent_at)
            for own in self.books.orders[bot.id]
        )
        return not in_doubt and not self._waits_for_fills(bot) and lacks(self.books, bot, held)

    def _end_without_position(self, bots: Iterable[LiveBot]) -> None:
        """End bots whose position is gone for sure: their closing orders would open another."""
        for bot in bots:
            held = self.seen[bot.account_id].positions.get(bot.market.symbol)
            if held is None or not (bot.is_running or bot.is_paused) or self._waits_for_fills(bot):
                continue
            if lacks(self.books, bot, held):
                known = self.books.metrics[bot.id].books.position.base
                ours, venue = exact_text(known), exact_text(held)
                system_stop(bot.id, "position_changed_outside", ours=ours, venue=venue)

    def _waits_for_fills(self, bot: LiveBot) -> bool:
        """Say whether the venue shows an order as filled of which it has yet to tell the fills."""
        found = self.seen[bot.account_id].found
        return any(
            (shown := found.get(own.order.client_id)) is not None
            and shown.filled > own.order.filled
            for own in self.books.orders[bot.id]
        )

    def tell_pages(self) -> None:
        """Hint to open pages, after the commit, which bots have news."""
        topics: dict[int, list[str]] = defaultdict(list)
        for bot in self.books.bots:
            if bot.id in self._with_news:
                topics[bot.user_id].append(f"bot:{bot.id}")
        if topics:
            after_commit(partial(hint_many, {u: [*t, "dashboard"] for u, t in topics.items()}))

    def _keep(self, bot: LiveBot, answer: Answer) -> None:
        self.answers[bot.id] = answer
        if answer.matches:
            self.books.metrics[bot.id].add_matches(answer.matches)
        work = self.decided.work[bot.account_id]
        edited = [own for own in self.books.edited[bot.id] if own not in answer.cancels]
        wanted_back = answer.cancels + edited
        work.cancels += wanted_back
        if self.seen[bot.account_id].asks_again:
            self._note_asked_back(wanted_back)
        work.sends += answer.unsent
        work.again |= answer.again
        if bot.stop_request is not None:
            work.stopping.add(bot.id)
        work.edited |= answer.edited
        for own in answer.settled:
            own.settled = True
            self.books.touched[own.id] = own
        point = self.seen[bot.account_id].points.get(bot.market_id)
        if point is not None:
            self.decided.waiting[bot.id] = Waiting(
                bot.market_id, bot.account_id, bot.id, answer.wake, point.seq
            )

    def _note_asked_back(self, orders: Iterable[OwnOrder]) -> None:
        """Write down that orders of ours are about to be taken back.

        The answer may be lost with its worker: whoever finds one gone then knows that it was us.
        """
        for own in orders:
            if own.status in AT_VENUE and ask_back(own):
                self.books.touched[own.id] = own

    def _fail(
        self, bot: LiveBot, code: str, values: dict[str, object], for_good: bool = False
    ) -> None:
        self.decided.failed += 1
        self.books.events.append(take_failure(bot, code, values, self.books.now, for_good))
        # What it had read of its last start before it failed is read once more.
        bot.left_state = bot.left_stored
        # What it had decided before still goes out; what it has not taken in stays unsettled.
        waiting = unsent(self.books.orders[bot.id], bot.epoch, self.seen[bot.account_id])
        running = Answer(unsent=waiting, wake=bot.triggers)
        goes_on = bot.is_running and bot.stop_request is None
        self._keep(bot, running if goes_on else self._watch(bot))

    def _hold(self, bot: LiveBot) -> Answer:
        try:
            return hold(self.books, bot, self.seen[bot.account_id])
        except Exception:
            # As for a bot that runs: one that fails spoils nothing for the others.
            log.exception("hold_failed bot=%s tick=%s", bot.id, self.tick_id)
            return self._watch(bot)

    def _watch(self, bot: LiveBot) -> Answer:
        orders = self.books.orders[bot.id]
        held = self.books.metrics[bot.id].books.position.base
        if bot.is_paused:
            return rest(orders, held)
        # Taking orders back needs no strategy: a stop wins even if that fails.
        ends = bot.state == BotState.ERROR.value or bot.stop_request is not None
        left = mind_left(bot, orders, held)
        answer = watch(orders, take_back=ends, staying=held_stops(bot, orders, held))
        answer.cancels += [own for own in left.cancels if own not in answer.cancels]
        answer.events += left.events
        read_left(self.books, bot, answer)
        return answer

    def _note_left(self, bot: LiveBot, answer: Answer) -> None:
        if bot.state != BotState.STOPPED.value:
            return
        held = self.books.metrics[bot.id].books.position.base
        told = leave(bot, self.books.orders[bot.id], held)
        if told is not None:
            answer.events.append(told)

    def _round_trips(self) -> list[RoundTrip]:
        missing = {
            bot.id: why
            for bot, _ in self.books.taken_out
            if (why := self.answers[bot.id].finished) is not None
        }
        concerned = {
            bot.id: bot
            for bot in self.books.bots
            if bot.id in self.books.fills
            or self._matches(bot.id)
            or self._under_way(bot.id)
            or bot.id in missing
        }
        rows: dict[int, list[RoundTrip]] = defaultdict(list)
        for row in open_round_trips(list(concerned)):
            rows[row.bot_id].append(row)
        changed = []
        for number, bot in concerned.items():
            trips = RoundTrips(bot, rows[number], self.tick_id)
            by_client = {own.order.client_id: own for own in self.books.orders[number]}
            for new in self.books.fills.get(number, ()):
                trips.add_fill(new)
            for match in self._matches(number):
                trips.add_match(match, by_client)
            held = self.books.metrics[number].books.position.base
            fills = self.books.fills.get(number, ())
            trips.add_closing_sales(fills, self.books.orders[number], held)
            if number in missing:
                trips.take_out(missing[number], self.books.now)
            going_on = self._under_way(number)
            if going_on is not None:
                trips.carry_over(going_on, self.books.now)
            changed += trips.changed
        return changed

    def _under_way(self, bot_id: int) -> UnderWay | None:
        answer = self.answers.get(bot_id)
        return answer.under_way if answer else None

    def _matches(self, bot_id: int) -> tuple[Match, ...]:
        answer = self.answers.get(bot_id)
        return answer.matches if answer else ()
