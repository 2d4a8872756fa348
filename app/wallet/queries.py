"""Reads of the ledger: for their owner with the sign turned round, for staff as it is booked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import aliased

from app.db import db
from app.errors import NotFound
from app.listing.paging import PAGE_SIZE, Slice, offset_of
from app.wallet.models import (
    LedgerAccount,
    LedgerBalance,
    LedgerEntry,
    LedgerHold,
    LedgerPosting,
)
from app.wallet.rules import FEES, ZERO, Entry, HoldState, wallet_of

_Lines = Select[LedgerPosting, str, Decimal, bool]

LARGEST_ID = 2**63 - 1
EXPORT_BATCH = 1000
_OWN = ("wallet", "frozen")
OTHERS = "others:wallet"

# What payments and subscriptions call, beside the pages of this subject.
__all__ = ["account_sums", "available", "postings_about"]


@dataclass(frozen=True, slots=True)
class Balance:
    """What a person has in one currency: `total` is the sum of the lines of the wallet."""

    currency: str
    total: Decimal
    held: Decimal
    frozen: Decimal

    @property
    def available(self) -> Decimal:
        """Return what can be spent now."""
        return self.total - self.held


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which lines of a wallet are meant; what is empty means any."""

    currency: str = ""
    kind: str = ""
    rail: str = ""
    direction: str = ""
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class LineView:
    """One line of somebody's wallet; more is positive."""

    posting_id: int
    at: datetime
    kind: str
    rail: str
    refs: tuple[str, ...]
    state: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class CounterLine:
    """One line of a transaction as its owner reads it: their own, or where the money went."""

    account: str
    kind: str
    currency: str
    amount: Decimal
    own: bool


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction of a person with all its lines, which sum to zero."""

    id: int
    at: datetime
    kind: str
    rail: str
    refs: tuple[str, ...]
    state: str
    reason: str
    # What undid it, or what it undoes.
    undone_by: int | None
    undoes: int | None
    lines: tuple[CounterLine, ...]

    @property
    def amounts(self) -> tuple[CounterLine, ...]:
        """Return what it did to the wallet, a line for each currency."""
        return tuple(line for line in self.lines if line.own and line.kind == "wallet")


@dataclass(frozen=True, slots=True)
class LineChoices:
    """What the lines of a person can be filtered by."""

    currencies: tuple[str, ...]
    kinds: tuple[str, ...]
    rails: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenHold:
    """Money that is set aside now."""

    amount: Decimal
    currency: str
    refs: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PostingView:
    """A posting as it is booked, debit positive."""

    id: int
    key: str
    kind: str
    at: datetime
    rail: str
    refs: tuple[str, ...]
    details: Mapping[str, Any]
    entries: tuple[Entry, ...]


def balances_of(user_id: int) -> tuple[Balance, ...]:
    """Return what a person has, currency by currency; without any line nothing."""
    rows = db.session.execute(
        select(
            LedgerAccount.kind, LedgerAccount.commodity, LedgerBalance.posted, LedgerBalance.held
        )
        .join(LedgerBalance, LedgerBalance.account_id == LedgerAccount.id)
        .where(LedgerAccount.user_id == user_id, LedgerAccount.kind.in_(_OWN))
    ).all()
    wallets = {row.commodity: row for row in rows if row.kind == "wallet"}
    frozen = {row.commodity: -row.posted for row in rows if row.kind == "frozen"}
    return tuple(
        Balance(currency, -row.posted, row.held, frozen.get(currency, ZERO))
        for currency, row in sorted(wallets.items())
    )


def money_of(user_id: int) -> list[tuple[Decimal, str]]:
    """Return what a person has in the wallet or frozen, with its currency; nothing for nothing."""
    sums = ((one.total + one.frozen, one.currency) for one in balances_of(user_id))
    return [(amount, currency) for amount, currency in sums if amount]


def available(user_id: int, currency: str) -> Decimal:
    """Return what a person can spend of a currency now; only a posting knows it for certain."""
    found = db.session.scalar(
        select(-LedgerBalance.posted - LedgerBalance.held)
        .join(LedgerAccount, LedgerAccount.id == LedgerBalance.account_id)
        .where(LedgerAccount.name == wallet_of(user_id), LedgerAccount.commodity == currency)
    )
    return found if found is not None else ZERO


def list_lines(user_id: int, wanted: LineFilter, number: int) -> Slice[LineView]:
    """Return one page of the lines of a person's wallets, the newest first."""
    query = _lines(user_id, wanted)
    total = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = db.session.execute(_newest(query).offset(offset_of(number)).limit(PAGE_SIZE))
    return Slice(tuple(_line(*row) for row in rows), number, total)


def all_lines(user_id: int, wanted: LineFilter) -> Iterator[LineView]:
    """Return all lines of a filter, the newest first."""
    query = _newest(_lines(user_id, wanted)).execution_options(yield_per=EXPORT_BATCH)
    return (_line(*row) for row in db.session.execute(query))


def line_choices(user_id: int) -> LineChoices:
    """Return what stands in the lines of a person."""
    rows = db.session.execute(
        _lines(user_id, LineFilter())
        .with_only_columns(LedgerEntry.commodity, LedgerPosting.kind, LedgerPosting.rail)
        .distinct()
    ).all()
    currencies, kinds, rails = (
        tuple(sorted({row[place] for row in rows if row[place]})) for place in range(3)
    )
    return LineChoices(currencies, kinds, rails)


def open_holds(user_id: int) -> tuple[OpenHold, ...]:
    """Return what is set aside of a person's wallets, the first to end first."""
    rows = db.session.execute(
        select(LedgerHold.amount, LedgerAccount.commodity, LedgerHold.refs, LedgerHold.expires_at)
        .join(LedgerAccount, LedgerAccount.id == LedgerHold.account_id)
        .where(
            LedgerAccount.user_id == user_id,
            LedgerAccount.kind == "wallet",
            LedgerHold.state == HoldState.PENDING.value,
        )
        .order_by(LedgerHold.expires_at, LedgerHold.id)
    )
    return tuple(OpenHold(row[0], row[1], tuple(row[2]), row[3]) for row in rows)


def transaction_of(user_id: int, posting_id: int) -> Transaction:
    """Return a transaction of a person's wallet; raise NotFound for anybody else's."""
    own = exists().where(
        LedgerEntry.posting_id == LedgerPosting.id,
        LedgerEntry.account_id == LedgerAccount.id,
        LedgerAccount.user_id == user_id,
        LedgerAccount.kind.in_(_OWN),
    )
    query = select(LedgerPosting).where(LedgerPosting.id == min(posting_id, LARGEST_ID), own)
    posting = db.session.scalar(query)
    if posting is None:
        raise NotFound("unknown_posting")
    undone_by = db.session.scalar(
        select(LedgerPosting.id).where(LedgerPosting.reverses_id == posting.id)
    )
    return Transaction(
        id=posting.id,
        at=posting.at,
        kind=posting.kind,
        rail=posting.rail,
        refs=tuple(posting.refs),
        state="reversed" if undone_by else "settled",
        reason=str(posting.details.get("reason", "")),
        undone_by=undone_by,
        undoes=posting.reverses_id,
        lines=tuple(_counter_lines(user_id, posting.id)),
    )


def postings_about(ref: str) -> tuple[PostingView, ...]:
    """Return the postings with a reference, the oldest first."""
    rows = db.session.scalars(
        select(LedgerPosting).where(LedgerPosting.refs.contains([ref])).order_by(LedgerPosting.id)
    ).all()
    entries = _entries_of([row.id for row in rows])
    return tuple(
        PostingView(
            row.id,
            row.key,
            row.kind,
            row.at,
            row.rail,
            tuple(row.refs),
            row.details,
            tuple(entries[row.id]),
        )
        for row in rows
    )


def account_sums(
    kinds: Sequence[str], since: datetime | None = None, until: datetime | None = None
) -> dict[tuple[str, str], Decimal]:
    """Return what was booked on accounts of these kinds, debit positive, by name and commodity."""
    query = (
        select(LedgerAccount.name, LedgerAccount.commodity, func.sum(LedgerEntry.amount))
        .join(LedgerEntry, LedgerEntry.account_id == LedgerAccount.id)
        .join(LedgerPosting, LedgerPosting.id == LedgerEntry.posting_id)
        .where(LedgerAccount.kind.in_(kinds), *_between(since, until))
        .group_by(LedgerAccount.id)
        .order_by(LedgerAccount.name, LedgerAccount.commodity)
    )
    return {(row[0], row[1]): row[2] for row in db.session.execute(query)}


def _lines(user_id: int, wanted: LineFilter) -> _Lines:
    undone = aliased(LedgerPosting)
    is_undone = exists().where(undone.reverses_id == LedgerPosting.id)
    query = (
        select(LedgerPosting, LedgerEntry.commodity, LedgerEntry.amount, is_undone)
        .select_from(LedgerAccount)
        .join(LedgerEntry, LedgerEntry.account_id == LedgerAccount.id)
        .join(LedgerPosting, LedgerPosting.id == LedgerEntry.posting_id)
        .where(LedgerAccount.user_id == user_id, LedgerAccount.kind == "wallet")
    )
    return query.where(*_conditions(wanted))


def _conditions(wanted: LineFilter) -> list[ColumnElement[bool]]:
    found = _between(wanted.first, wanted.last)
    if wanted.currency:
        found.append(LedgerEntry.commodity == wanted.currency)
    if wanted.kind:
        found.append(LedgerPosting.kind == wanted.kind)
    if wanted.rail:
        found.append(LedgerPosting.rail == wanted.rail)
    if wanted.direction:
        # Credit, below zero, is the person's gain.
        comes = wanted.direction == "in"
        found.append(LedgerEntry.amount < 0 if comes else LedgerEntry.amount > 0)
    return found


def _between(since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    found = []
    if since is not None:
        found.append(LedgerPosting.at >= since)
    if until is not None:
        found.append(LedgerPosting.at < until)
    return found


def _newest(query: _Lines) -> _Lines:
    return query.order_by(LedgerPosting.id.desc(), LedgerEntry.commodity)


def _line(posting: LedgerPosting, currency: str, amount: Decimal, undone: bool) -> LineView:
    return LineView(
        posting.id,
        posting.at,
        posting.kind,
        posting.rail,
        tuple(posting.refs),
        "reversed" if undone else "settled",
        currency,
        -amount,
    )


def _counter_lines(user_id: int, posting_id: int) -> Iterator[CounterLine]:
    """Yield the lines of a posting, the person's own first; nobody else is named.

    What a provider keeps is our matter: it stands with what came by the provider.
    """
    rows = db.session.execute(
        select(
            LedgerAccount.kind,
            LedgerAccount.name,
            LedgerAccount.user_id,
            LedgerEntry.commodity,
            LedgerEntry.amount,
        )
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(LedgerEntry.posting_id == posting_id)
        .order_by(LedgerEntry.id)
    ).all()
    providers = {row.commodity: row for row in rows if row.kind == "psp"}
    sums: dict[tuple[str, str, str, bool], Decimal] = {}
    for row in rows:
        stands_for = providers.get(row.commodity, row) if row.name == FEES else row
        others = row.user_id not in {None, user_id}
        name = OTHERS if others else stands_for.name
        place = (name, stands_for.kind, row.commodity, row.user_id == user_id)
        sums[place] = sums.get(place, ZERO) - row.amount
    for (name, kind, commodity, own), amount in sorted(sums.items(), key=lambda one: not one[0][3]):
        if amount:
            yield CounterLine(name, kind, commodity, amount, own)


def _entries_of(posting_ids: Sequence[int]) -> dict[int, list[Entry]]:
    found: dict[int, list[Entry]] = {posting_id: [] for posting_id in posting_ids}
    rows = db.session.execute(
        select(
            LedgerEntry.posting_id, LedgerAccount.name, LedgerEntry.commodity, LedgerEntry.amount
        )
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(LedgerEntry.posting_id.in_(posting_ids))
        .order_by(LedgerEntry.id)
    )
    for posting_id, name, commodity, amount in rows:
        found[posting_id].append(Entry(name, commodity, amount))
    return found
