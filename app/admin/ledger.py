"""The books: what stands on every account, and every account, posting and entry, to look at."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_babel import lazy_gettext as _l

from app.accounts.permissions import Permission
from app.admin.base import AdminView, StaffPage
from app.admin.words import label, yes_or_no
from app.db import db
from app.formatting.filters import signed_money
from app.wallet import figures
from app.wallet.models import LedgerAccount, LedgerEntry, LedgerHold, LedgerPosting
from app.wallet.rules import ZERO
from app.wallet.texts import ACCOUNT_KIND_LABELS, HOLD_LABELS, KIND_LABELS, RAIL_LABELS

LABELS = {
    "name": _l("Account"),
    "account_id": _l("Account"),
    "kind": _l("Kind"),
    "commodity": _l("Currency"),
    "user_id": _l("User"),
    "guard": _l("Never below zero"),
    "created_at": _l("Created"),
    "key": _l("Key"),
    "rail": _l("Way"),
    "refs": _l("Belongs to"),
    "details": _l("Details"),
    "reverses_id": _l("Takes back"),
    "lines": _l("Lines"),
    "at": _l("Time"),
    "posting_id": _l("Transaction"),
    "posting_key": _l("Key"),
    "amount": _l("Sum"),
    "state": _l("State"),
    "expires_at": _l("Free again"),
    "closed_at": _l("Ended"),
}


def _words(_view: object, _context: object, model: Any, name: str) -> str:
    return ", ".join(getattr(model, name))


class BooksPage(StaffPage):
    """What stands on every account; in each currency all of it sums to zero."""

    permission = Permission.LEDGER_VIEW

    @expose("/")
    def index(self) -> ResponseReturnValue:
        accounts = figures.trial_balance()
        totals: dict[str, Decimal] = {}
        for one in accounts:
            totals[one.currency] = totals.get(one.currency, ZERO) + one.total
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/books.html", accounts=accounts, totals=totals
        )


class AccountView(AdminView):
    """Accounts of the chart and of people."""

    permission = Permission.LEDGER_VIEW
    column_list = ("id", "name", "kind", "commodity", "user_id", "guard", "created_at")
    column_formatters = {
        "kind": label(ACCOUNT_KIND_LABELS),
        "guard": lambda view, _context, account, name: yes_or_no(view, account.guard, name),
    }
    column_searchable_list = ("name",)
    column_filters = ("kind", "commodity", "user_id")
    column_labels = LABELS


class PostingView(AdminView):
    """Transactions, the newest first."""

    permission = Permission.LEDGER_VIEW
    column_list = ("id", "at", "kind", "rail", "key", "refs", "reverses_id", "lines")
    column_details_list = (*column_list, "details")
    column_formatters = {
        "kind": label(KIND_LABELS),
        "rail": label(RAIL_LABELS),
        "refs": _words,
    }
    column_searchable_list = ("key",)
    column_filters = ("kind", "rail", "at")
    column_labels = LABELS


class EntryView(AdminView):
    """Lines of transactions, debit positive."""

    permission = Permission.LEDGER_VIEW
    column_list = ("id", "posting_id", "account_id", "amount")
    column_formatters = {
        "amount": lambda _view, _context, line, _name: signed_money(line.amount, line.commodity)
    }
    column_filters = ("posting_id", "account_id", "commodity")
    column_labels = LABELS


class HoldView(AdminView):
    """Money set aside, and how it ended."""

    permission = Permission.LEDGER_VIEW
    column_list = (
        "id",
        "key",
        "account_id",
        "amount",
        "state",
        "refs",
        "created_at",
        "expires_at",
        "closed_at",
        "posting_key",
    )
    column_formatters = {"state": label(HOLD_LABELS), "refs": _words}
    column_searchable_list = ("key",)
    column_filters = ("state", "account_id", "expires_at")
    column_labels = LABELS


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield BooksPage(name=_l("Books"), endpoint="admin_books", url="/admin/books")
    for view, model, name, word in (
        (PostingView, LedgerPosting, _l("Transactions"), "postings"),
        (EntryView, LedgerEntry, _l("Lines of transactions"), "entries"),
        (AccountView, LedgerAccount, _l("Ledger accounts"), "accounts"),
        (HoldView, LedgerHold, _l("Money set aside"), "holds"),
    ):
        yield view(
            model, db, name=name, endpoint=f"admin_ledger_{word}", url=f"/admin/ledger/{word}"
        )
