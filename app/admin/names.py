"""Names instead of numbers: whose and what a row of the desk's lists is, with a way there."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from flask import g, url_for
from markupsafe import Markup
from sqlalchemy import select

from app.accounts.access import current_may
from app.accounts.models import User
from app.accounts.permissions import Permission
from app.bots.models import Bot
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.payments.models import Invoice, Payment
from app.wallet.models import LedgerAccount, LedgerPosting


class _Kind(NamedTuple):
    id: Any
    name: Any
    permission: Permission
    page: str


_KINDS: Mapping[str, _Kind] = {
    "users": _Kind(User.id, User.email, Permission.USERS_VIEW, "admin_users.details_view"),
    "bots": _Kind(Bot.id, Bot.name, Permission.BOTS_VIEW_ALL, "admin_bots.details_view"),
    "exchange_accounts": _Kind(
        ExchangeAccount.id,
        ExchangeAccount.label,
        Permission.BOTS_VIEW_ALL,
        "admin_accounts.details_view",
    ),
    "invoices": _Kind(Invoice.id, Invoice.number, Permission.BILLING_VIEW, "admin_invoices.page"),
    "payments": _Kind(
        Payment.id, Payment.id.label("name"), Permission.BILLING_VIEW, "admin_payments.details_view"
    ),
    "ledger_accounts": _Kind(
        LedgerAccount.id,
        LedgerAccount.name,
        Permission.LEDGER_VIEW,
        "admin_ledger_accounts.details_view",
    ),
    "ledger_postings": _Kind(
        LedgerPosting.id,
        LedgerPosting.key,
        Permission.LEDGER_VIEW,
        "admin_ledger_postings.details_view",
    ),
}
# A column of lists about payments: whose the payment is.
PAYER = "payer"
# Where a table refers to them without a foreign key.
_BY_NAME = {"user_id": "users", "actor_id": "users", "bot_id": "bots"}


def read_names(model: Any, rows: Iterable[Any], columns: Collection[str]) -> None:
    """Read the names of all that these rows refer to, each kind with one statement."""
    wanted: dict[str, set[int]] = defaultdict(set)
    kinds = {name: kind for name in columns if (kind := _kind_of(model, name))}
    for row in rows:
        for name, kind in kinds.items():
            number = getattr(row, name)
            if number is not None:
                wanted[kind].add(number)
    for kind, numbers in wanted.items():
        _read(kind, numbers)


def named(row: Any, column: str) -> Markup | None:
    """Return the name that a number in this column stands for, as a link.

    None for other columns, and where the reader may not open the page of it.
    """
    kind = _kind_of(type(row), column)
    return _link(kind, getattr(row, column)) if kind else None


def doer(user_id: int | None) -> Markup | str:
    """Return who did something, as a link; a dash where nobody of us did."""
    return "—" if user_id is None else _link("users", user_id) or str(user_id)


def read_payers(payment_ids: Collection[int]) -> None:
    """Read whose all these payments are, with one statement for them and one for their names."""
    known = _payers()
    missing = {number for number in payment_ids if number not in known}
    if not missing:
        return
    query = select(Payment.id, Payment.user_id).where(Payment.id.in_(missing))
    known.update({payment_id: user_id for payment_id, user_id in db.session.execute(query)})
    _read("users", set(known.values()))


def payer(_view: object, _context: object, row: Any, _name: str) -> Markup | str:
    """Write whose payment a row of the desk is about."""
    read_payers({row.payment_id})
    return doer(_payers().get(row.payment_id))


def _payers() -> dict[int, int]:
    payers: dict[int, int] = g.setdefault("desk_payers", {})
    return payers


def _link(kind: str, number: int | None) -> Markup | None:
    if number is None or not current_may(_KINDS[kind].permission):
        return None
    if (kind, number) not in _known():
        _read(kind, {number})
    name = _known()[kind, number]
    if name is None:
        return None
    address = url_for(_KINDS[kind].page, id=number)
    return Markup('<a href="{}">{}</a>').format(address, name)


def _read(kind: str, numbers: Collection[int]) -> None:
    known = _known()
    missing = {number for number in numbers if (kind, number) not in known}
    if not missing:
        return
    its = _KINDS[kind]
    query = select(its.id, its.name).where(its.id.in_(missing))
    found = {row[0]: row[1] for row in db.session.execute(query)}
    known.update({(kind, number): _text(found.get(number)) for number in missing})


def _text(name: object) -> str | None:
    return None if name is None else str(name)


def _known() -> dict[tuple[str, int], str | None]:
    names: dict[tuple[str, int], str | None] = g.setdefault("desk_names", {})
    return names


def _kind_of(model: Any, name: str) -> str | None:
    column = model.__table__.columns.get(name)
    if column is None or column.primary_key:
        return None
    for key in column.foreign_keys:
        return key.column.table.name if key.column.table.name in _KINDS else None
    return _BY_NAME.get(name)
