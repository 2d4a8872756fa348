"""Disputed payments: the provider takes the money, we freeze what is left, then it is decided.

A dispute is named with its rail, as `stripe:dp_1`; each step is booked once. Money of the payment
that comes into the wallet only later, because a refund has failed, is frozen by a further step.
"""

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import select

from app.db import db
from app.errors import Conflict, InvalidInput, NotFound
from app.money import Money, exact_text
from app.wallet import rules
from app.wallet.ledger import (
    AccountRow,
    Posted,
    account,
    entries_of,
    lock_available,
    post,
    posting_by_key,
    reverse,
)
from app.wallet.models import LedgerPosting
from app.wallet.rules import ZERO, Entry, frozen_of, wallet_of

# What payments call.
__all__ = ["claimed_by", "freeze_more", "lose_dispute", "open_dispute", "win_dispute"]

LOSS = "loss:chargeback"
_KIND = "dispute"


def open_dispute(
    dispute: str,
    user_id: int,
    rail: str,
    money: Money,
    *,
    wallet_part: Decimal = ZERO,
    refs: Sequence[str] = (),
) -> Posted:
    """Book that the provider took disputed money; freeze what the wallet still has of its part.

    `wallet_part` is how much of the payment went into the wallet. A dispute opened before stays as
    it is, whatever the wallet has now.
    """
    rules.checked_positive(money.amount, money.currency)
    rules.checked_amount(wallet_part, money.currency)
    if not ZERO <= wallet_part <= money.amount:
        raise InvalidInput("wallet_part_out_of_range", field="wallet_part")
    wallet = account(wallet_of(user_id), money.currency)
    free = lock_available(wallet.id)
    standing = posting_by_key(_key(dispute, "opened"))
    frozen = _frozen_by(standing, user_id) if standing else min(max(free, ZERO), wallet_part)
    entries = (
        Entry(f"dispute:{rail}", money.currency, money.amount),
        Entry(f"psp:{rail}", money.currency, -money.amount),
        Entry(wallet.name, money.currency, frozen),
        Entry(frozen_of(user_id), money.currency, -frozen),
    )
    details = {
        "user": user_id,
        "amount": exact_text(money.amount),
        "currency": money.currency,
        "wallet_part": exact_text(wallet_part),
    }
    key = _key(dispute, "opened")
    return post(key, _KIND, entries, refs=(dispute, *refs), rail=rail, details=details)


def claimed_by(dispute: str) -> Decimal:
    """Return how much of the wallet's part of its payment a dispute stands for already."""
    return _claimed(_steps(_opened(dispute)))


def freeze_more(dispute: str, step: str, wallet_part: Decimal) -> Posted | None:
    """Freeze a part that came into the wallet after a dispute was opened; a lost one takes it.

    Nothing is booked where it was won, or where the loss is smaller already.
    """
    opened = _opened(dispute)
    rules.checked_positive(wallet_part, str(opened.details["currency"]))
    wallet, free = _lock_wallet(opened)
    if posting_by_key(_key(dispute, "won")):
        return None
    lost = posting_by_key(_key(dispute, "lost"))
    taken = min(max(free, ZERO), wallet_part, _lost_by(lost) if lost else wallet_part)
    if not taken:
        return None
    place = LOSS if lost else frozen_of(_user(opened))
    entries = (
        Entry(wallet.name, wallet.commodity, taken),
        Entry(place, wallet.commodity, -taken),
    )
    details = {"wallet_part": exact_text(taken if lost else wallet_part)}
    key = _key(dispute, f"more:{step}")
    return post(key, _KIND, entries, refs=opened.refs, rail=opened.rail, details=details)


def win_dispute(dispute: str) -> Posted:
    """Take everything back: the provider returned the money, the wallet is free again.

    Also after it was lost: a bank may change its mind later.
    """
    opened = _opened(dispute)
    _lock_wallet(opened)
    lost = posting_by_key(_key(dispute, "lost"))
    if lost:
        reverse(_key(dispute, "lost:undone"), lost.key)
    for further in _further(opened):
        reverse(f"{further.key}:won", further.key)
    return reverse(_key(dispute, "won"), opened.key)


def lose_dispute(dispute: str) -> Posted:
    """Pay a lost dispute from the frozen money, then from the wallet; the rest is our loss.

    Never more than the wallet got of the disputed payment.
    """
    opened = _opened(dispute)
    wallet, free = _lock_wallet(opened)
    if posting_by_key(_key(dispute, "won")):
        raise Conflict("dispute_decided")
    standing = posting_by_key(_key(dispute, "lost"))
    entries = entries_of(standing.id) if standing else _loss(opened, wallet, free)
    key = _key(dispute, "lost")
    return post(key, "dispute_lost", entries, refs=opened.refs, rail=opened.rail)


def _lock_wallet(opened: LedgerPosting) -> tuple[AccountRow, Decimal]:
    """Return the wallet of a dispute and what it has free; one decision at a time."""
    wallet = account(wallet_of(_user(opened)), str(opened.details["currency"]))
    return wallet, lock_available(wallet.id)


def _user(opened: LedgerPosting) -> int:
    return int(opened.details["user"])


def _loss(opened: LedgerPosting, wallet: AccountRow, free: Decimal) -> tuple[Entry, ...]:
    user_id, amount = _user(opened), Decimal(opened.details["amount"])
    steps = _steps(opened)
    frozen = sum((_frozen_by(step, user_id) for step in steps), ZERO)
    more = min(max(free, ZERO), _claimed(steps) - frozen)
    return (
        Entry(frozen_of(user_id), wallet.commodity, frozen),
        Entry(wallet.name, wallet.commodity, more),
        Entry(LOSS, wallet.commodity, amount - frozen - more),
        Entry(f"dispute:{opened.rail}", wallet.commodity, -amount),
    )


def _steps(opened: LedgerPosting) -> tuple[LedgerPosting, ...]:
    return (opened, *_further(opened))


def _further(opened: LedgerPosting) -> tuple[LedgerPosting, ...]:
    """Return what was frozen after a dispute was opened."""
    found = db.session.scalars(
        select(LedgerPosting)
        .where(
            LedgerPosting.kind == _KIND,
            LedgerPosting.refs.contains(opened.refs),
            LedgerPosting.id != opened.id,
        )
        .order_by(LedgerPosting.id)
    )
    return tuple(found)


def _claimed(steps: Sequence[LedgerPosting]) -> Decimal:
    return sum((Decimal(step.details["wallet_part"]) for step in steps), ZERO)


def _frozen_by(step: LedgerPosting, user_id: int) -> Decimal:
    return -_on(step, frozen_of(user_id))


def _lost_by(lost: LedgerPosting) -> Decimal:
    return _on(lost, LOSS)


def _on(step: LedgerPosting, place: str) -> Decimal:
    """Return what a step has moved on an account."""
    return rules.total_of(line for line in entries_of(step.id) if line.account == place)


def _opened(dispute: str) -> LedgerPosting:
    found = posting_by_key(_key(dispute, "opened"))
    if found is None:
        raise NotFound("unknown_dispute", dispute=dispute)
    return found


def _key(dispute: str, step: str) -> str:
    return f"dispute:{dispute}:{step}"
