"""The bottom of the ledger: post balanced lines under a key, undo a posting, lock an account."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import func, insert, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from app.db import Exact, db
from app.errors import Conflict, NotFound
from app.wallet import rules
from app.wallet.models import LedgerAccount, LedgerEntry, LedgerPosting
from app.wallet.rules import CHART, Entry

OVERDRAWN = "ck_ledger_balances_not_overdrawn"
REVERSED = "uq_ledger_postings_reverses_id"


@dataclass(frozen=True, slots=True)
class Posted:
    """A posting as it stands; `replayed` says that it stood there before."""

    id: int
    key: str
    kind: str
    at: datetime
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account of the ledger by its number."""

    id: int
    name: str
    commodity: str
    guarded: bool


def post(
    key: str,
    kind: str,
    entries: Sequence[Entry],
    *,
    refs: Sequence[str] = (),
    rail: str = "",
    details: Mapping[str, Any] | None = None,
) -> Posted:
    """Book lines that balance, once for each key; the same again returns what stands.

    Raise Conflict for a key that stands with other content (details aside), and for too little
    money; after that the transaction can go on.
    """
    return _post(key, kind, entries, refs, rail, details or {}, None)


def reverse(
    key: str,
    original_key: str,
    *,
    refs: Sequence[str] = (),
    details: Mapping[str, Any] | None = None,
) -> Posted:
    """Book the opposite of a posting: the only way to correct one, and only once for each."""
    original = posting_by_key(original_key)
    if original is None:
        raise NotFound("unknown_posting", key=original_key)
    lines = rules.opposite(entries_of(original.id))
    every_ref = (*original.refs, *refs)
    return _post(key, "reversal", lines, every_ref, original.rail, details or {}, original.id)


def posting_by_key(key: str) -> LedgerPosting | None:
    """Return the posting under a key, if there is one."""
    return db.session.scalar(select(LedgerPosting).where(LedgerPosting.key == key))


def entries_of(posting_id: int) -> tuple[Entry, ...]:
    """Return the lines of a posting as they were given."""
    rows = db.session.execute(
        select(LedgerAccount.name, LedgerEntry.commodity, LedgerEntry.amount)
        .join(LedgerAccount, LedgerAccount.id == LedgerEntry.account_id)
        .where(LedgerEntry.posting_id == posting_id)
        .order_by(LedgerEntry.id)
    )
    return tuple(Entry(*row) for row in rows)


def account(name: str, commodity: str) -> AccountRow:
    """Return an account of the chart, opening it at its first use."""
    return _accounts([(name, commodity)])[name, commodity]


def lock_available(account_id: int) -> Decimal:
    """Return what a guarded account has free; nobody else moves it until the transaction ends."""
    query = select(func.ledger_lock(account_id, type_=Exact()))
    available: Decimal = db.session.scalars(query).one()
    return available


@contextmanager
def refusing_overdrafts(needs: Mapping[AccountRow, Decimal]) -> Iterator[None]:
    """Undo what is done inside and raise Conflict when an account would fall below zero."""
    try:
        with db.session.begin_nested():
            yield
    except IntegrityError as error:
        if _constraint_of(error) != OVERDRAWN:
            raise
    else:
        return
    raise _insufficient(needs)


def _post(
    key: str,
    kind: str,
    entries: Sequence[Entry],
    refs: Sequence[str],
    rail: str,
    details: Mapping[str, Any],
    reverses_id: int | None,
) -> Posted:
    lines, about = rules.checked_entries(entries), rules.checked_refs(refs)
    digest = rules.content_hash(kind, rail, about, lines)
    values = {
        "key": rules.checked_key(key),
        "kind": kind,
        "rail": rail,
        "refs": list(about),
        "details": dict(details),
        "reverses_id": reverses_id,
        "lines": len(lines),
        "content_hash": digest,
    }
    accounts = _accounts([(line.account, line.commodity) for line in lines])
    with refusing_overdrafts(_needs(lines, accounts)):
        posted = _insert_posting(values)
        if posted is not None:
            # One statement: the locks of the guarded accounts are taken in the order of their ids.
            db.session.execute(insert(LedgerEntry).values(_rows(posted.id, lines, accounts)))
    return posted or _standing(key, digest, reverses_id)


def _insert_posting(values: Mapping[str, Any]) -> Posted | None:
    """Add the posting, or return None when its key is taken."""
    query = upsert(LedgerPosting).values(values).on_conflict_do_nothing(index_elements=["key"])
    try:
        row = db.session.execute(query.returning(LedgerPosting.id, LedgerPosting.at)).first()
    except IntegrityError as error:
        if _constraint_of(error) != REVERSED:
            raise
        raise Conflict("already_reversed") from None
    return Posted(row.id, values["key"], values["kind"], row.at) if row else None


def _standing(key: str, digest: str, reverses_id: int | None) -> Posted:
    found = db.session.scalars(select(LedgerPosting).where(LedgerPosting.key == key)).one()
    if found.content_hash != digest or found.reverses_id != reverses_id:
        raise Conflict("posting_key_taken", key=key)
    return Posted(found.id, found.key, found.kind, found.at, replayed=True)


def _constraint_of(error: IntegrityError) -> str | None:
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None)


def _rows(
    posting_id: int,
    lines: Sequence[Entry],
    accounts: Mapping[tuple[str, str], AccountRow],
) -> list[dict[str, Any]]:
    return [
        {
            "posting_id": posting_id,
            "account_id": accounts[line.account, line.commodity].id,
            "commodity": line.commodity,
            "amount": line.amount,
        }
        for line in lines
    ]


def _accounts(places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], AccountRow]:
    """Return the accounts of names and commodities, opening those that are missing."""
    found = _find(places)
    missing = sorted(set(places) - set(found))
    if missing:
        db.session.execute(
            upsert(LedgerAccount)
            .values([_new_account(name, commodity) for name, commodity in missing])
            .on_conflict_do_nothing(index_elements=["name", "commodity"])
        )
        found |= _find(missing)
    return found


def _find(places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], AccountRow]:
    rows = db.session.execute(
        select(
            LedgerAccount.id, LedgerAccount.name, LedgerAccount.commodity, LedgerAccount.guard
        ).where(tuple_(LedgerAccount.name, LedgerAccount.commodity).in_(places))
    )
    return {
        (row.name, row.commodity): AccountRow(row.id, row.name, row.commodity, row.guard != 0)
        for row in rows
    }


def _new_account(name: str, commodity: str) -> dict[str, Any]:
    parsed = rules.parse_account(name)
    return {
        "name": name,
        "kind": parsed.kind,
        "commodity": commodity,
        "user_id": parsed.owner_id,
        "guard": -1 if CHART[parsed.kind].guarded else 0,
    }


def _needs(
    lines: Sequence[Entry], accounts: Mapping[tuple[str, str], AccountRow]
) -> dict[AccountRow, Decimal]:
    """Return what each guarded account has to give."""
    places = ((accounts[line.account, line.commodity], line.amount) for line in lines)
    return {row: amount for row, amount in places if row.guarded and amount > rules.ZERO}


def _insufficient(needs: Mapping[AccountRow, Decimal]) -> Conflict:
    """Tell how much is there of what was asked."""
    for row, amount in needs.items():
        available = lock_available(row.id)
        if available < amount:
            break
    else:
        # What was missing has come meanwhile: the answer stays no.
        row, amount = next(iter(needs.items()))
        available = lock_available(row.id)
    return Conflict(
        "insufficient_funds", available=available, amount=amount, currency=row.commodity
    )
