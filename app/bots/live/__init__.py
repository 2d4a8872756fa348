"""One live tick of a batch of accounts: see, decide, act, file the next triggers.

Starting and recovering are one path: whatever a crash has left half done is found and finished by
the next tick. See docs/architecture/bots.md for the steps and what each protects against.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from rq.timeouts import BaseTimeoutException
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError

from app.bots.live import paper_side, real_side
from app.bots.live.deciding import Waiting, decide
from app.bots.live.facts import Account, Seen, Work
from app.bots.live.filing import file_waiting
from app.bots.live.rows import (
    Event,
    fail_bots,
    give_up_stops,
    keep_swings,
    pause_bots,
    write_events,
)
from app.bots.wake import note_away
from app.db import db, utc_now
from app.errors import Unavailable
from app.exchanges.audits import ask_for_audit
from app.exchanges.catalogue import VENUES
from app.exchanges.leases import LEASE_SECONDS, acquire, release, renew
from app.exchanges.models import ExchangeAccount
from app.markets.refresh import ask_for_rules
from app.notifications.stream import hint_many
from app.trading.strategy import Severity
from app.transactions import after_commit, transaction

log = logging.getLogger(__name__)

# So many accounts share the statements of a tick; many more would only keep locks longer.
BATCH = 250
# A paper account that is far behind goes on in the next job, so that others get their turn.
LONGEST_TICK_S = 10
RENEW_AFTER_S = LEASE_SECONDS / 4
MOST_LOOKS = 4
# The venue answers, but not to this key or not for this kind of account: looking again and again
# helps nobody, its owner has to do something.
KEY_REFUSED = "exchange_key_refused"
UNUSABLE = frozenset({KEY_REFUSED, "margin_not_isolated", "position_mode_hedged"})
MOST_REFUSALS = 3
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_refusals: dict[int, int] = {}
# The same by bot, where the key may still read but orders are refused.
_keyless: dict[int, int] = {}
# Not the fault of an account: the database is away, or the job's time is up.
PASSED_ON = (OperationalError, InterfaceError, BaseTimeoutException)


@dataclass(slots=True)
class TickReport:
    """What a tick did.

    `busy` are accounts that another worker holds, `unfinished` those that have more to do at once,
    `put_off` those whose exchange is away or whose tick failed as a whole: try again after a pause.
    `suspects` are to be compared once more soon.
    """

    accounts: int = 0
    fills: int = 0
    sent: int = 0
    failed: int = 0
    busy: set[int] = field(default_factory=set)
    unfinished: set[int] = field(default_factory=set)
    put_off: set[int] = field(default_factory=set)
    suspects: set[int] = field(default_factory=set)


def tick_accounts(account_ids: Iterable[int], holder: str) -> TickReport:
    """Tick all bots of these accounts; opens its own transactions.

    `holder` names the worker's place. An account that somebody else holds is left alone. Paper
    accounts share the statements of a batch; a real one is taken alone, so that nobody's lease runs
    out while another's exchange is slow.
    """
    report = TickReport()
    with transaction():
        accounts = _read_accounts(sorted(set(account_ids)))
    paper = (account.id for account in accounts if account.is_paper)
    while batch := list(islice(paper, BATCH)):
        _tick_batch(batch, holder, report)
    began = time.monotonic()
    for account in accounts:
        if account.is_paper:
            continue
        if time.monotonic() - began > LONGEST_TICK_S:
            report.unfinished.add(account.id)
        else:
            _tick_batch([account.id], holder, report)
    return report


def _tick_batch(batch: list[int], holder: str, report: TickReport) -> None:
    with transaction():
        tokens = acquire(batch, holder)
        accounts = {account.id: account for account in _read_accounts(tokens)}
    report.busy |= set(batch) - set(tokens)
    if not tokens:
        return
    try:
        _Tick(accounts, tokens, report).run()
    except PASSED_ON:
        raise
    except Exception:
        log.exception("batch_failed accounts=%s", len(tokens))
        # One account breaks what all share: find it by ticking each alone.
        if len(tokens) == 1:
            _note_failure(next(iter(tokens)), report)
        else:
            for number in tokens:
                _tick_batch([number], holder, report)
    finally:
        _release(tokens)


def _note_failure(account_id: int, report: TickReport) -> None:
    report.failed += 1
    report.put_off.add(account_id)
    with transaction():
        fail_bots(account_id)


def _release(tokens: Mapping[int, int]) -> None:
    try:
        with transaction():
            release(tokens)
    except (OperationalError, InterfaceError) as error:
        # The leases end by themselves.
        log.warning("release_failed error=%s", type(error).__name__)


def _read_accounts(account_ids: Iterable[int]) -> list[Account]:
    query = select(
        ExchangeAccount.id,
        ExchangeAccount.user_id,
        ExchangeAccount.exchange,
        ExchangeAccount.fills_cursor,
        ExchangeAccount.funding_cursor,
        ExchangeAccount.audited_at,
    )
    wanted = ExchangeAccount.id.in_(list(account_ids)), ExchangeAccount.deleted_at.is_(None)
    query = query.where(*wanted).order_by(ExchangeAccount.id)
    return [Account(*row) for row in db.session.execute(query)]


def _note_away(account: Account, code: str) -> None:
    """Compare everything when the venue is back; pause the bots if it is not, but refuses us."""
    with transaction():
        ask_for_audit([account.id])
        keep_swings(account.id)
    if code not in UNUSABLE:
        return
    _refusals[account.id] = _refusals.get(account.id, 0) + 1
    if _refusals[account.id] < MOST_REFUSALS:
        return
    _pause(account, code)


def _note_keyless(account: Account, work: Work) -> None:
    """Pause bots whose key may read, but trade no more; tell those that stop what they wait for."""
    for bot in work.served:
        _keyless.pop(bot, None)
    for bot in work.keyless - work.served:
        _keyless[bot] = _keyless.get(bot, 0) + 1
    refused = {bot for bot in work.keyless if _keyless.get(bot) == MOST_REFUSALS}
    if not refused:
        return
    paused = _pause(account, KEY_REFUSED, refused)
    for bot in paused:
        del _keyless[bot]
    with transaction():
        write_events(
            [Event(bot, "stop_key_refused", {}, Severity.ERROR) for bot in refused - set(paused)],
            utc_now(),
            "",
        )


def _pause(account: Account, code: str, bots: Iterable[int] | None = None) -> dict[int, int]:
    with transaction():
        now = utc_now()
        owners = pause_bots(account.id, VENUES[account.exchange].name, code, now, bots)
        if bots is None and code == KEY_REFUSED:
            # The key may not even read: what was to stop there can't.
            owners |= give_up_stops(account.id, now)
        topics = ["dashboard", *(f"bot:{bot}" for bot in owners)]
        after_commit(partial(hint_many, dict.fromkeys(owners.values(), topics)))
    return owners


class _Tick:
    """The rounds of one batch; accounts leave it one by one as they come to rest."""

    def __init__(
        self, accounts: dict[int, Account], tokens: dict[int, int], report: TickReport
    ) -> None:
        self.accounts, self.tokens, self.report = accounts, tokens, report
        self.waiting: dict[int, Waiting] = {}
        self._began = self._renewed = time.monotonic()
        self._stamp = f"{time.time_ns() // 1_000_000:x}"

    def run(self) -> None:
        """Tick every account of the batch until it has come to rest."""
        self.report.accounts += len(self.accounts)
        paper = {n: account for n, account in self.accounts.items() if account.is_paper}
        if paper:
            self._run_paper(paper)
        for account in self.accounts.values():
            if not account.is_paper:
                self._run_real(account)
        file_waiting(self.waiting.values())

    def _run_paper(self, accounts: Mapping[int, Account]) -> None:
        seen = paper_side.look(accounts, {number: self.tokens[number] for number in accounts})
        rounds = 0
        while news := {number: entry for number, entry in seen.items() if entry.is_news}:
            rounds += 1
            work = self._decide(news, rounds)
            pending = {
                number: todo
                for number, todo in work.items()
                if not (todo.is_empty and news[number].is_last)
            }
            if not pending:
                return
            seen = paper_side.act(accounts, self.tokens, pending)
            if self._is_late():
                # The next tick finds fills and prices that wake a bot; the rest is decided here.
                later = {n for n, entry in seen.items() if entry.is_news and entry.has_walked}
                self.report.unfinished |= later
                seen = {n: entry for n, entry in seen.items() if n not in later}

    def _run_real(self, account: Account) -> None:
        for look in range(1, MOST_LOOKS + 1):
            try:
                seen = real_side.look(account, self.tokens)
            except Unavailable as error:
                log.warning("venue_away account=%s error=%s", account.id, error.code)
                self.report.put_off.add(account.id)
                note_away(account.id)
                _note_away(account, error.code)
                return
            _refusals.pop(account.id, None)
            if seen is None:
                self.report.unfinished.add(account.id)
                return
            todo = self._decide({account.id: seen}, look).get(account.id, Work())
            if seen.is_partial:
                # The rest is read whole, for a look at what stands alone would pass it by.
                self._read_on(account)
            try:
                goes_on = not todo.is_empty and real_side.act(account, self.tokens, todo)
                if not goes_on and not seen.is_partial:
                    return
            except Unavailable as error:
                log.warning("put_off account=%s error=%s", account.id, error.code)
                self.report.put_off.add(account.id)
                note_away(account.id)
                return
            finally:
                _note_keyless(account, todo)
                ask_for_rules(todo.misfits)
                if todo.closes_nothing:
                    # The position is not what we believe: the next look asks for all of it.
                    account.audited_at = LONG_AGO
            self._renew()
        self.report.unfinished.add(account.id)

    def _read_on(self, account: Account) -> None:
        account.audited_at = LONG_AGO
        with transaction():
            ask_for_audit([account.id])

    def _decide(self, seen: Mapping[int, Seen], number: int) -> dict[int, Work]:
        self._renew()
        decided = decide(self.accounts, self.tokens, seen, f"{self._stamp}-{number}")
        self.waiting |= decided.waiting
        self.report.fills += decided.fills
        self.report.failed += decided.failed
        self.report.suspects |= decided.suspects
        self.report.sent += sum(len(work.sends) for work in decided.work.values())
        return decided.work

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._renewed > RENEW_AFTER_S:
            with transaction():
                renew(self.tokens)
            self._renewed = now

    def _is_late(self) -> bool:
        return time.monotonic() - self._began > LONGEST_TICK_S
