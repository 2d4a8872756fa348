"""Reads of orders, fills and round trips, always of one person."""

from app.trades.queries.lines import Line, line_of
from app.trades.queries.orders import (
    OPEN_ORDER,
    STATUSES,
    FillView,
    OrderView,
    Reserved,
    bot_orders,
    count_orders,
    fills_since,
    reserved_by,
)
from app.trades.queries.totals import (
    DaySums,
    TradeTotals,
    sums_of_a_day,
    trade_totals,
)
from app.trades.queries.trades import (
    LARGEST_ID,
    TradeChoices,
    TradeFilter,
    TradeView,
    all_trades,
    bot_trades,
    has_older,
    last_trades,
    list_trades,
    still_shown,
    trade_choices,
    trade_page,
)

__all__ = [
    "LARGEST_ID",
    "OPEN_ORDER",
    "STATUSES",
    "DaySums",
    "FillView",
    "Line",
    "OrderView",
    "Reserved",
    "TradeChoices",
    "TradeFilter",
    "TradeTotals",
    "TradeView",
    "all_trades",
    "bot_orders",
    "bot_trades",
    "count_orders",
    "fills_since",
    "has_older",
    "last_trades",
    "line_of",
    "list_trades",
    "reserved_by",
    "still_shown",
    "sums_of_a_day",
    "trade_choices",
    "trade_page",
    "trade_totals",
]
