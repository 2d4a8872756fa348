"""Orders, fills and trades of all customers: to look at, never to edit."""

from collections.abc import Iterable

from flask_admin import BaseView
from flask_babel import lazy_gettext as _l

from app.accounts.permissions import Permission
from app.admin.base import AdminView
from app.admin.words import ORDER_WORDS, TRADE_LABELS, badge, label
from app.db import db
from app.trades.models import FillRow, OrderRow, TradeRow

LABELS = {
    "user_id": _l("User"),
    "account_id": _l("Account"),
    "bot_id": _l("Bot"),
    "order_id": _l("Order"),
    "symbol": _l("Pair"),
    "client_id": _l("Client order id"),
    "exchange_order_id": _l("Exchange order id"),
    "trade_id": _l("Exchange trade id"),
    "purpose": _l("Purpose"),
    "level": _l("Level"),
    "side": _l("Side"),
    "attempt": _l("Attempt"),
    "kind": _l("Kind"),
    "price": _l("Price"),
    "quantity": _l("Amount"),
    "filled": _l("Filled"),
    "status": _l("State"),
    "error": _l("Error"),
    "fee": _l("Fee"),
    "fee_currency": _l("Fee currency"),
    "maker": _l("Maker"),
    "at": _l("Time"),
    "created_at": _l("Created"),
    "updated_at": _l("Changed"),
    "entry_price": _l("Entry price"),
    "exit_price": _l("Exit price"),
    "entry_at": _l("Entry"),
    "exit_at": _l("Exit"),
    "profit": _l("Profit"),
    "fees": _l("Fees"),
    "currency": _l("Currency"),
}


class OrderView(AdminView):
    """Orders, newest first; filter by UNRESOLVED to see what needs a person."""

    permission = Permission.TRADES_VIEW_ALL
    column_list = (
        "id",
        "bot_id",
        "symbol",
        "side",
        "kind",
        "price",
        "quantity",
        "filled",
        "status",
        "error",
        "level",
        "attempt",
        "client_id",
        "exchange_order_id",
        "created_at",
        "updated_at",
    )
    column_formatters = ORDER_WORDS
    column_searchable_list = ("client_id", "exchange_order_id")
    column_filters = ("status", "bot_id", "account_id", "user_id", "side", "symbol", "created_at")
    column_labels = LABELS


class FillView(AdminView):
    """Executions as the exchange told them."""

    permission = Permission.TRADES_VIEW_ALL
    column_list = (
        "id",
        "at",
        "bot_id",
        "order_id",
        "side",
        "price",
        "quantity",
        "fee",
        "fee_currency",
        "maker",
        "trade_id",
    )
    column_formatters = {"side": badge}
    column_searchable_list = ("trade_id",)
    column_filters = ("bot_id", "account_id", "user_id", "side", "at")
    column_labels = LABELS


class TradeView(AdminView):
    """Round trips."""

    permission = Permission.TRADES_VIEW_ALL
    column_list = (
        "id",
        "bot_id",
        "symbol",
        "status",
        "quantity",
        "entry_price",
        "exit_price",
        "profit",
        "fees",
        "currency",
        "entry_at",
        "exit_at",
    )
    column_formatters = {"status": label(TRADE_LABELS)}
    column_filters = ("bot_id", "user_id", "status", "symbol", "exit_at")
    column_labels = LABELS


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield OrderView(OrderRow, db, name=_l("Orders"), endpoint="admin_orders", url="/admin/orders")
    yield FillView(FillRow, db, name=_l("Fills"), endpoint="admin_fills", url="/admin/fills")
    yield TradeView(TradeRow, db, name=_l("Trades"), endpoint="admin_trades", url="/admin/trades")
