"""What the ledger is made of: the chart of accounts, lines, and whether a posting balances.

Debit is positive, credit is negative. What we owe a customer is a liability, so 50.00 in a wallet
stands as -50.00 on its account.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.errors import InvalidInput
from app.money import COIN_DIGITS, MINOR_DIGITS, exact_text, floor_to_step

ZERO = Decimal(0)
# What the column holds: 38 digits, 18 of them behind the point.
LARGEST = Decimal("1e18")
# What providers keep of payments.
FEES = "expense:fees"
# Commodities that are no currency: points in micrograms of gold.
WHOLE = frozenset({"XAU_ug"})
MAX_KEY = 200
MAX_REFS = 20
MAX_REF = 200
MAX_LINES = 100

_COMMODITY = re.compile(r"[A-Z][A-Za-z0-9_]{1,15}")
_PART = re.compile(r"[a-z0-9_.-]{1,40}")
_OWNER = re.compile(r"u([1-9][0-9]{0,17})")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class Side(StrEnum):
    """On which side an account grows."""

    DEBIT = "debit"
    CREDIT = "credit"


class HoldState(StrEnum):
    """PENDING lowers what is available; the others are ends."""

    PENDING = "pending"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class AccountKind:
    """A line of the chart: where it grows, whether each person has one, whether it is guarded.

    A guarded account is never overdrawn: its balance is kept, and the database checks it.
    """

    side: Side
    personal: bool = False
    guarded: bool = False


CHART: Mapping[str, AccountKind] = {
    # What we owe to people.
    "wallet": AccountKind(Side.CREDIT, personal=True, guarded=True),
    "frozen": AccountKind(Side.CREDIT, personal=True, guarded=True),
    "points": AccountKind(Side.CREDIT, personal=True, guarded=True),
    # May be overdrawn: a reward that was paid out and is taken back is netted on the next one.
    "referral": AccountKind(Side.CREDIT, personal=True),
    "tax": AccountKind(Side.CREDIT),
    "suspense": AccountKind(Side.CREDIT),
    # Where our money is.
    "psp": AccountKind(Side.DEBIT),
    "dispute": AccountKind(Side.DEBIT),
    "bank": AccountKind(Side.DEBIT),
    "clearing": AccountKind(Side.DEBIT),
    # What we earn, give back, spend and lose.
    "revenue": AccountKind(Side.CREDIT),
    "contra": AccountKind(Side.DEBIT),
    "expense": AccountKind(Side.DEBIT),
    "loss": AccountKind(Side.DEBIT),
}
GUARDED = tuple(name for name, kind in CHART.items() if kind.guarded)
PERSONAL = tuple(name for name, kind in CHART.items() if kind.personal)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a posting: so much of a commodity on an account, debit positive."""

    account: str
    commodity: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """A part of what somebody pays, by the kind of income it is."""

    revenue: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class AccountName:
    """The name of an account taken apart: `wallet:u7` is of the kind wallet, of person 7."""

    kind: str
    part: str
    owner_id: int | None


def wallet_of(user_id: int) -> str:
    """Return the name of a person's wallet."""
    return f"wallet:u{user_id}"


def frozen_of(user_id: int) -> str:
    """Return the name of the account of a person's disputed money."""
    return f"frozen:u{user_id}"


def parse_account(name: str) -> AccountName:
    """Take the name of an account apart; raise InvalidInput for one outside the chart."""
    kind, _, part = name.partition(":")
    known = CHART.get(kind)
    owner = _OWNER.fullmatch(part)
    if known is None or not _PART.fullmatch(part) or known.personal != (owner is not None):
        raise InvalidInput("unknown_ledger_account", field="account", account=name[:MAX_REF])
    return AccountName(kind, part, int(owner[1]) if owner else None)


def smallest_unit(commodity: str) -> Decimal:
    """Return the smallest amount of a commodity that is booked."""
    if commodity in WHOLE:
        return Decimal(1)
    return Decimal(1).scaleb(-MINOR_DIGITS.get(commodity, COIN_DIGITS))


def checked_amount(amount: Decimal, commodity: str) -> Decimal:
    """Return an amount that can be booked; raise InvalidInput."""
    if not _COMMODITY.fullmatch(commodity):
        raise InvalidInput("unknown_commodity", field="currency", currency=commodity[:MAX_REF])
    if not isinstance(amount, Decimal) or not amount.is_finite() or abs(amount) >= LARGEST:
        raise InvalidInput("amount_out_of_range", field="amount")
    if floor_to_step(amount, smallest_unit(commodity)) != amount:
        raise InvalidInput("amount_too_fine", field="amount", currency=commodity)
    return amount


def checked_positive(amount: Decimal, commodity: str) -> Decimal:
    """Return an amount above zero that can be booked; raise InvalidInput."""
    if checked_amount(amount, commodity) <= ZERO:
        raise InvalidInput("amount_not_positive", field="amount")
    return amount


def checked_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the lines of a posting without empty ones; raise InvalidInput unless they balance."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    lines = []
    for entry in entries:
        parse_account(entry.account)
        sums[entry.commodity] += checked_amount(entry.amount, entry.commodity)
        if entry.amount:
            lines.append(entry)
    if len({(entry.account, entry.commodity) for entry in lines}) != len(lines):
        raise InvalidInput("ledger_account_twice")
    if not lines or len(lines) > MAX_LINES or any(sums.values()):
        raise InvalidInput("posting_unbalanced")
    return tuple(lines)


def checked_key(key: str) -> str:
    """Return a key under which something is booked once; raise InvalidInput."""
    if len(key) > MAX_KEY or not _PRINTABLE.fullmatch(key):
        raise InvalidInput("bad_posting_key", field="key")
    return key


def checked_refs(refs: Sequence[str]) -> tuple[str, ...]:
    """Return references in one order, each once; raise InvalidInput."""
    if len(refs) > MAX_REFS or any(
        len(ref) > MAX_REF or not _PRINTABLE.fullmatch(ref) for ref in refs
    ):
        raise InvalidInput("bad_posting_reference", field="refs")
    return tuple(sorted(set(refs)))


def content_hash(kind: str, rail: str, refs: Sequence[str], entries: Iterable[Entry]) -> str:
    """Return the digest of what a posting says, the same for any order of its lines."""
    lines = sorted((line.account, line.commodity, exact_text(line.amount)) for line in entries)
    plain = json.dumps([kind, rail, list(refs), lines], separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def opposite(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the lines that undo others."""
    return tuple(Entry(line.account, line.commodity, -line.amount) for line in entries)


def income_entries(lines: Sequence[Line], tax: Decimal, currency: str) -> tuple[Entry, ...]:
    """Return what was earned and what of it is owed as tax, as credits; raise InvalidInput."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line.revenue] += checked_amount(line.amount, currency)
    if not sums or any(amount < ZERO for amount in sums.values()) or tax < ZERO:
        raise InvalidInput("amount_not_positive", field="amount")
    earned = tuple(Entry(f"revenue:{name}", currency, -amount) for name, amount in sums.items())
    return (*earned, Entry("tax:payable", currency, -checked_amount(tax, currency)))


def total_of(entries: Iterable[Entry]) -> Decimal:
    """Return the sum of lines of one commodity."""
    return sum((entry.amount for entry in entries), ZERO)
