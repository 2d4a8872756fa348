"""Money set aside in two phases: held, then taken, let go, or free again when its time is over.

The balance is locked before its holds, as by every posting: who pays and who ends a hold in the
same moment wait for each other in one order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.money import Money
from app.wallet import rules
from app.wallet.ledger import Posted, account, lock_available, post, refusing_overdrafts
from app.wallet.models import LedgerAccount, LedgerHold
from app.wallet.rules import ZERO, HoldState, Line, wallet_of
from app.wallet.service import WALLET, wallet_payment

# What payments call, and the job that ends what is over.
__all__ = ["HoldView", "capture", "expire_due", "hold", "release"]

EXPIRY_BATCH = 200


@dataclass(frozen=True, slots=True)
class HoldView:
    """A hold as it stands; `replayed` says that it stood there before."""

    id: int
    key: str
    amount: Decimal
    currency: str
    state: HoldState
    expires_at: datetime
    replayed: bool = False


def hold(
    key: str, user_id: int, money: Money, *, expires_at: datetime, refs: Sequence[str] = ()
) -> HoldView:
    """Set money of a wallet aside until a moment; the same again returns what stands."""
    rules.checked_positive(money.amount, money.currency)
    place = account(wallet_of(user_id), money.currency)
    about = list(rules.checked_refs(refs))
    query = upsert(LedgerHold).values(
        key=rules.checked_key(key),
        account_id=place.id,
        amount=money.amount,
        state=HoldState.PENDING.value,
        refs=about,
        expires_at=expires_at,
    )
    lock_available(place.id)
    with refusing_overdrafts({place: money.amount}):
        made = db.session.scalar(
            query.on_conflict_do_nothing(index_elements=["key"]).returning(LedgerHold.id)
        )
    row = _locked(key)
    if (row.account_id, row.amount, row.refs) != (place.id, money.amount, about):
        raise Conflict("posting_key_taken", key=key)
    return _view(row, money.currency, replayed=made is None)


def capture(
    hold_key: str,
    key: str,
    lines: Sequence[Line],
    *,
    tax: Decimal = ZERO,
    refs: Sequence[str] = (),
) -> Posted:
    """Pay from a hold at most what it holds; the rest is free again. The same again is harmless."""
    row = _locked(hold_key)
    place = db.session.get_one(LedgerAccount, row.account_id)
    entries = wallet_payment(place.name, place.commodity, lines, tax)
    if entries[0].amount > row.amount:
        raise InvalidInput("more_than_held", field="amount")
    if row.state == HoldState.CAPTURED.value and row.posting_key == key:
        return post(key, "wallet_payment", entries, refs=refs, rail=WALLET)
    if row.state != HoldState.PENDING.value or row.expires_at <= utc_now():
        raise Conflict("hold_closed")
    # Free first: the posting finds no more than what is not held.
    row.posting_key = rules.checked_key(key)
    _close(row, HoldState.CAPTURED)
    posted = post(key, "wallet_payment", entries, refs=refs, rail=WALLET)
    if posted.replayed:
        raise Conflict("posting_key_taken", key=key)
    return posted


def release(hold_key: str) -> HoldView:
    """Let a hold go; one that has ended stays as it is."""
    row = _locked(hold_key)
    if row.state == HoldState.PENDING.value:
        _close(row, HoldState.RELEASED)
    return _view(row, db.session.get_one(LedgerAccount, row.account_id).commodity, replayed=False)


def expire_due() -> int:
    """End a batch of holds whose time is over; return how many."""
    due = db.session.execute(
        select(LedgerHold.id, LedgerHold.account_id)
        .where(LedgerHold.state == HoldState.PENDING.value, LedgerHold.expires_at <= utc_now())
        .order_by(LedgerHold.account_id, LedgerHold.id)
        .limit(EXPIRY_BATCH)
    ).all()
    for account_id in dict.fromkeys(row.account_id for row in due):
        lock_available(account_id)
    # Others may have ended some of them while we waited.
    rows = db.session.scalars(
        select(LedgerHold)
        .where(
            LedgerHold.id.in_([row.id for row in due]),
            LedgerHold.state == HoldState.PENDING.value,
        )
        .order_by(LedgerHold.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    for row in rows:
        _close(row, HoldState.EXPIRED)
    return len(rows)


def _locked(key: str) -> LedgerHold:
    place = db.session.scalar(select(LedgerHold.account_id).where(LedgerHold.key == key))
    if place is not None:
        lock_available(place)
    row = db.session.scalar(
        select(LedgerHold)
        .where(LedgerHold.key == key)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise NotFound("unknown_hold", key=key)
    return row


def _close(row: LedgerHold, state: HoldState) -> None:
    # The database refuses to end it twice.
    row.state, row.closed_at = state.value, utc_now()
    db.session.flush()


def _view(row: LedgerHold, currency: str, *, replayed: bool) -> HoldView:
    return HoldView(
        row.id, row.key, row.amount, currency, HoldState(row.state), row.expires_at, replayed
    )
