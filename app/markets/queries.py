"""Reads of pairs, prices and candles."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import Row, column, func, or_, select, text

from app.cache import Cache, read_exact
from app.db import Exact, UtcTime, db, utc_now
from app.errors import InvalidInput, NotFound
from app.markets import store
from app.markets.models import MarketRow
from app.trading.market import Candle, FeeSide, MarginRule, Market, MarketKind, Tier

# Which stored candles a timeframe is summed from, and its length.
TIMEFRAMES: Mapping[str, tuple[str, timedelta]] = {
    "1m": (store.MINUTE, timedelta(minutes=1)),
    "5m": (store.MINUTE, timedelta(minutes=5)),
    "15m": (store.MINUTE, timedelta(minutes=15)),
    "1h": (store.HOUR, timedelta(hours=1)),
    "4h": (store.HOUR, timedelta(hours=4)),
    "1d": (store.HOUR, timedelta(days=1)),
}
MOST_CANDLES = 3000
LONGEST_SEARCH = 30
DAY = timedelta(hours=24)
LARGEST_ID = 2**63 - 1


class HasFees(Protocol):
    """An account, or whatever else says what trading costs."""

    @property
    def maker_fee(self) -> Decimal: ...

    @property
    def taker_fee(self) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class Price:
    """The last price of a pair and how old it is; `stale_reason` is a code, empty for mere age."""

    market_id: int
    price: Decimal | None
    at: datetime | None
    age: timedelta | None
    is_stale: bool
    stale_reason: str


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The last 24 hours of a pair: change as a fraction, and the traded value in quote currency."""

    change: Decimal | None
    volume: Decimal


def market_row(market_id: int) -> MarketRow:
    """Return a pair; raise NotFound."""
    row = db.session.get(MarketRow, market_id) if 0 < market_id <= LARGEST_ID else None
    if row is None:
        raise NotFound("unknown_market")
    return row


def find_market(exchange: str, symbol: str) -> MarketRow | None:
    """Return the pair of an exchange that is called exactly so."""
    return db.session.scalar(
        select(MarketRow).where(MarketRow.exchange == exchange, MarketRow.symbol == symbol)
    )


def exchanges_with_markets() -> list[str]:
    """Return the codes of all exchanges that have pairs."""
    return list(db.session.scalars(select(MarketRow.exchange).distinct().order_by("exchange")))


def search_markets(
    words: str,
    *,
    exchanges: Collection[str] | None = None,
    kind: str | None = MarketKind.SPOT.value,
    tradable_only: bool = True,
    limit: int = 20,
) -> list[MarketRow]:
    """Find pairs by coin or name (`btc`, `BTC/USDT`, `btcusdt`); an empty text finds all.

    Pairs whose coin is exactly what was typed come first.
    """
    wanted = _clean(words).upper()
    letters = "".join(letter for letter in wanted if letter.isalnum())
    query = select(MarketRow)
    if wanted and not letters:
        return []
    if letters:
        name = func.replace(MarketRow.symbol, "/", "")
        query = query.where(
            or_(MarketRow.base.startswith(letters), name.startswith(letters))
        ).order_by(MarketRow.base != letters)
    if exchanges is not None:
        query = query.where(MarketRow.exchange.in_(exchanges))
    if kind is not None:
        query = query.where(MarketRow.kind == kind)
    if tradable_only:
        query = query.where(MarketRow.blocked_reason == "")
    query = query.order_by(MarketRow.id).limit(max(1, min(limit, 200)))
    return list(db.session.scalars(query))


def to_market(row: MarketRow | Row[Any], fees: HasFees | None = None) -> Market:
    """Return the pair as the trading core sees it, with an account's fees or the usual ones.

    An account's fees are those on coins; contracts have the usual ones of their exchange. Contracts
    are traded with isolated margin only, so just the position's own margin stands behind it.
    """
    kind = MarketKind(row.kind)
    paid: Any = row if fees is None or kind is MarketKind.LINEAR else fees
    return Market(
        symbol=row.symbol,
        base=row.base,
        quote=row.quote,
        kind=kind,
        tick=row.tick,
        lot=row.lot,
        min_quantity=row.min_quantity,
        min_notional=row.min_notional,
        maker_fee=paid.maker_fee,
        taker_fee=paid.taker_fee,
        fee_side=FeeSide(row.fee_side),
        tiers=read_tiers(row.tiers),
        max_leverage=row.max_leverage,
        funding_interval_s=row.funding_interval_s,
        margin_rule=MarginRule.POSITION if kind is MarketKind.LINEAR else MarginRule.WALLET,
    )


def read_tiers(stored: Sequence[Sequence[str]] | None) -> tuple[Tier, ...]:
    """Read maintenance margins as they are stored."""
    return tuple(Tier(*map(Decimal, tier)) for tier in stored or ())


def price_of(row: MarketRow, now: datetime | None = None) -> Price:
    """Return the last price of a loaded pair with its age."""
    now = now or utc_now()
    if row.last_price is None or row.last_price_at is None:
        return Price(row.id, None, None, None, True, row.stale_reason or "no_prices")
    age = max(timedelta(0), now - row.last_price_at)
    stale = bool(row.stale_reason) or age > timedelta(seconds=row.stale_after_s)
    return Price(row.id, row.last_price, row.last_price_at, age, stale, row.stale_reason)


def last_prices(ids: Iterable[int]) -> dict[int, Price]:
    """Return the newest prices of pairs, read from the database now."""
    query = select(MarketRow).where(MarketRow.id.in_(set(ids)))
    rows = db.session.scalars(query.execution_options(populate_existing=True))
    now = utc_now()
    return {row.id: price_of(row, now) for row in rows}


def last_price(market_id: int) -> Price:
    """Return the newest price of one pair; raise NotFound."""
    found = last_prices([market_id]) if 0 < market_id <= LARGEST_ID else {}
    if market_id not in found:
        raise NotFound("unknown_market")
    return found[market_id]


def candles(market_id: int, timeframe: str, limit: int = 500) -> list[Candle]:
    """Return the newest candles of a pair, oldest first; raise InvalidInput: `timeframe`."""
    if timeframe not in TIMEFRAMES:
        raise InvalidInput("unknown_timeframe", field="timeframe")
    stored, length = TIMEFRAMES[timeframe]
    rows = db.session.execute(
        _CANDLES,
        {
            "market": market_id,
            "stored": stored,
            "length": length,
            "limit": max(1, min(limit, MOST_CANDLES)),
        },
    ).all()
    return [Candle(int(row.opened_at.timestamp() * 1000), *row[1:]) for row in reversed(rows)]


# The newest buckets that hold anything, however long the pauses between them.
_CANDLES = text("""
    select date_bin(:length, opened_at, timestamptz '1970-01-01 00:00+00') as opened_at,
        (array_agg(open order by candles.opened_at))[1],
        max(high), min(low),
        (array_agg(close order by candles.opened_at desc))[1],
        sum(volume)
    from candles
    where market_id = :market and timeframe = :stored
    group by 1 order by 1 desc limit :limit
""").columns(
    column("opened_at", UtcTime), column("open", Exact), column("high", Exact),
    column("low", Exact), column("close", Exact), column("volume", Exact),
)  # fmt: skip


def day_figures(ids: Sequence[int]) -> dict[int, DayFigures]:
    """Return change and volume of pairs over 24 hours, as they were 10 s ago at most."""
    found = _DAY_FIGURES.get_many(map(str, ids), _read_day_figures)
    return {int(key): figures for key, figures in found.items()}


def _read_day_figures(ids: list[str]) -> dict[str, DayFigures]:
    rows = db.session.execute(_DAY, {"ids": list(map(int, ids)), "since": utc_now() - DAY})
    return {
        str(row.id): DayFigures(
            change=(row.last_price / row.first_price - 1)
            if row.first_price and row.last_price
            else None,
            volume=row.volume or Decimal(0),
        )
        for row in rows
    }


def _dump_day(day: DayFigures) -> list[str | None]:
    return [None if day.change is None else str(day.change), str(day.volume)]


def _load_day(kept: list[object]) -> DayFigures:
    change, volume = kept
    return DayFigures(None if change is None else read_exact(change), read_exact(volume))


_DAY_FIGURES = Cache("day_figures", 10, _dump_day, _load_day)
_DAY = text("""
    select market.id, market.last_price, day.first_price, day.volume
    from markets as market
    left join lateral (
        select (array_agg(open order by opened_at))[1] as first_price, sum(volume * close) as volume
        from candles
        where market_id = market.id and timeframe = '1h' and opened_at >= :since
    ) as day on true
    where market.id = any(cast(:ids as bigint[]))
""")


def feed_state() -> tuple[str, datetime, Mapping[str, str]] | None:
    """Return the source of prices, when the feed was last at work, and its notes."""
    row = store.read_feed_state()
    return None if row is None else (row.source, row.beat_at, row.notes)


def _clean(words: str) -> str:
    return words.replace("\x00", "")[:LONGEST_SEARCH].strip()
