"""The chart of a pair or a bot as data for a browser: prices as text, times in seconds, UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from app.bots.queries.cards import BotCard
from app.db import db
from app.errors import InvalidInput
from app.markets.queries import TIMEFRAMES, candles, market_row
from app.money import exact_text
from app.trades.models import OrderRow
from app.trades.queries import OPEN_ORDER, fills_since
from app.trading.market import Candle

MOST_CANDLES = 500
MOST_FILLS = 1000


def market_chart(market_id: int, timeframe: str) -> dict[str, Any]:
    """Return the candles of a pair; raise NotFound, or InvalidInput for another timeframe."""
    row = market_row(market_id)
    if timeframe not in TIMEFRAMES:
        raise InvalidInput("unknown_timeframe", field="timeframe")
    bars = candles(row.id, timeframe, MOST_CANDLES)
    return {
        "symbol": row.symbol,
        "base": row.base,
        "quote": row.quote,
        "tick": _text(row.tick),
        "timeframe": timeframe,
        "candles": [_bar(bar) for bar in bars],
        "bounds": bounds_of({}),
        "levels": [],
        "fills": [],
        "price": _text(row.last_price),
    }


def bot_chart(card: BotCard, timeframe: str) -> dict[str, Any]:
    """Return the candles of a bot's pair with its bounds, open orders and fills on them."""
    chart = market_chart(card.pair.id, timeframe)
    found = card.figures
    chart["bounds"] = bounds_of(
        {
            "lower": card.lower,
            "upper": card.upper,
            "stop": card.stop_loss,
            "target": card.take_profit,
            "average": found.average_entry if found else None,
            "break_even": found.break_even if found and not found.break_even_any else None,
        }
    )
    chart["levels"] = _levels(card.id)
    bars = chart["candles"]
    if bars:
        since = datetime.fromtimestamp(bars[0][0], UTC)
        chart["fills"] = [
            [int(fill.at.timestamp()), fill.side, exact_text(fill.price), exact_text(fill.quantity)]
            for fill in fills_since(card.id, since, MOST_FILLS)
        ]
    return chart


def bounds_of(values: Mapping[str, Decimal | None]) -> dict[str, str | None]:
    """Return the lines of a chart, each of them named."""
    names = ("lower", "upper", "stop", "target", "average", "break_even")
    return {name: _text(values.get(name)) for name in names}


def _levels(bot_id: int) -> list[list[str]]:
    rows = db.session.execute(
        select(OrderRow.price, OrderRow.side)
        .where(
            OrderRow.bot_id == bot_id,
            OrderRow.status.in_(OPEN_ORDER),
            OrderRow.price.is_not(None),
        )
        .order_by(OrderRow.price)
    )
    return [[exact_text(price), side] for price, side in rows if price is not None]


def _bar(bar: Candle) -> list[Any]:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return [bar.ts_ms // 1000, *map(exact_text, prices)]


def _text(value: Decimal | None) -> str | None:
    return None if value is None else exact_text(value)
