"""The catalogue with its switches, pairs, and connected accounts without their keys."""

from collections.abc import Iterable
from typing import Any

from flask_admin import BaseView
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from app.accounts import audit
from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.base import AdminView
from app.admin.words import KIND_LABELS, badge, label
from app.db import db
from app.exchanges.models import Exchange, ExchangeAccount
from app.markets.models import MarketRow


class ExchangeView(AdminView):
    """Exchanges; managers switch them on and off, and new bots can't choose one that is off."""

    permission = Permission.DESK
    column_list = ("code", "name", "enabled", "note")
    column_default_sort = "name"
    form_columns = ("enabled", "note")
    column_labels = {
        "code": _l("Code"),
        "name": _l("Name"),
        "enabled": _l("Enabled"),
        "note": _l("Note"),
    }

    @property
    def can_edit(self) -> bool:  # type: ignore[override]  # a fixed flag there, a right here
        return current_may(Permission.EXCHANGES_MANAGE)

    def on_model_change(self, form: Any, model: Exchange, is_created: bool) -> None:
        audit.record(
            "exchange.changed",
            "exchange",
            model.code,
            actor_id=current_user.id,
            after={"enabled": model.enabled, "note": model.note},
        )


class MarketView(AdminView):
    """Pairs with their rules and the age of their price."""

    permission = Permission.DESK
    column_formatters = {"kind": label(KIND_LABELS)}
    column_list = (
        "id",
        "exchange",
        "symbol",
        "kind",
        "tick",
        "lot",
        "min_notional",
        "last_price",
        "last_price_at",
        "source",
        "blocked_reason",
    )
    column_searchable_list = ("symbol",)
    column_filters = ("exchange", "kind", "blocked_reason", "source")
    column_default_sort = [("exchange", False), ("symbol", False)]
    column_labels = {
        "exchange": _l("Exchange"),
        "symbol": _l("Pair"),
        "kind": _l("Kind"),
        "tick": _l("Tick"),
        "lot": _l("Lot"),
        "min_notional": _l("Smallest order"),
        "last_price": _l("Last price"),
        "last_price_at": _l("Price time"),
        "source": _l("Source"),
        "blocked_reason": _l("Not tradable because"),
    }


class AccountView(AdminView):
    """Connected accounts: label, rights and the last four characters; never a key."""

    permission = Permission.BOTS_VIEW_ALL
    column_formatters = {"mode": badge}
    column_list = (
        "id",
        "user_id",
        "exchange",
        "venue",
        "label",
        "mode",
        "testnet",
        "active",
        "last_four",
        "permissions",
        "checked_at",
        "check_error",
        "created_at",
        "deleted_at",
    )
    column_searchable_list = ("label",)
    column_filters = ("user_id", "exchange", "mode", "testnet", "active")
    column_labels = {
        "user_id": _l("User"),
        "exchange": _l("Exchange"),
        "venue": _l("Prices of"),
        "label": _l("Label"),
        "mode": _l("Mode"),
        "testnet": _l("Testnet"),
        "active": _l("Active"),
        "last_four": _l("Key ends in"),
        "permissions": _l("Rights"),
        "checked_at": _l("Checked"),
        "check_error": _l("Error"),
        "created_at": _l("Created"),
        "deleted_at": _l("Deleted"),
    }


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield ExchangeView(
        Exchange, db, name=_l("Exchanges"), endpoint="admin_exchanges", url="/admin/exchanges"
    )
    yield MarketView(
        MarketRow, db, name=_l("Markets"), endpoint="admin_markets", url="/admin/markets"
    )
    yield AccountView(
        ExchangeAccount, db, name=_l("Accounts"), endpoint="admin_accounts", url="/admin/accounts"
    )
