"""The demo's own paper bot, as visitors see it: figures that anybody may know, and no name.

The name is left out because everybody can sign in to the demo and write anything into it.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from app.accounts import demo
from app.accounts.models import User
from app.bots.metrics import read_metrics
from app.bots.models import RUNNING, Bot
from app.cache import Cache, read_exact
from app.config import MarketSource, current_config
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.markets.models import MarketRow
from app.trading.market import FeeSide, Market, MarketKind
from app.trading.performance import Figures, figures


@dataclass(frozen=True, slots=True)
class Showcase:
    """A running paper bot of the demo: its pair, its figures, and whose prices it sees."""

    symbol: str
    mode: str
    currency: str
    started_at: datetime
    last_price_at: datetime
    figures: Figures
    prices: MarketSource


def running_bot() -> Showcase | None:
    """Return the demo customer's first running paper bot, as it was 5 s ago at most, or None."""
    return _SHOWCASE.get("demo", _read_running_bot)


def _read_running_bot() -> Showcase | None:
    row = db.session.execute(
        select(Bot, MarketRow, ExchangeAccount)
        .join(User, User.id == Bot.user_id)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .where(
            User.email == demo.CUSTOMER.email,
            Bot.mode == "paper",
            Bot.state.in_(RUNNING),
            Bot.deleted_at.is_(None),
            Bot.started_at.is_not(None),
        )
        .order_by(Bot.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    bot, market, account = row.Bot, row.MarketRow, row.ExchangeAccount
    metrics = read_metrics([bot.id]).get(bot.id)
    if metrics is None or market.last_price is None or market.last_price_at is None:
        return None
    return Showcase(
        symbol=market.symbol,
        mode=bot.mode,
        currency=bot.currency,
        started_at=bot.started_at,
        last_price_at=market.last_price_at,
        figures=figures(metrics.books, market.last_price, _market(market, account)),
        prices=current_config().market_source,
    )


def _market(row: MarketRow, account: ExchangeAccount) -> Market:
    return Market(
        symbol=row.symbol,
        base=row.base,
        quote=row.quote,
        kind=MarketKind(row.kind),
        tick=row.tick,
        lot=row.lot,
        min_quantity=row.min_quantity,
        min_notional=row.min_notional,
        maker_fee=account.maker_fee,
        taker_fee=account.taker_fee,
        fee_side=FeeSide(row.fee_side),
    )


def _dump(shown: Showcase | None) -> dict[str, Any] | None:
    if shown is None:
        return None
    moments = {name: getattr(shown, name).isoformat() for name in _MOMENTS}
    figures = {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in asdict(shown.figures).items()
    }
    return {**asdict(shown), **moments, "figures": figures}


def _load(kept: dict[str, Any] | None) -> Showcase | None:
    if kept is None:
        return None
    moments = {name: datetime.fromisoformat(kept[name]) for name in _MOMENTS}
    figures: dict[str, Any] = {
        name: read_exact(value) if isinstance(value, str) else value
        for name, value in kept["figures"].items()
    }
    return Showcase(**{**kept, **moments, "figures": Figures(**figures)})


_MOMENTS = ("started_at", "last_price_at")
_SHOWCASE = Cache("showcase", 5, _dump, _load)
