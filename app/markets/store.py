"""How the feed writes: a few statements for any number of pairs, nothing decided here."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, cast

from psycopg import sql
from sqlalchemy import CursorResult, Result, Table, delete, insert, select, text, update

from app.bulk import bulk_insert
from app.db import db, utc_now
from app.markets.events import Move
from app.markets.models import CandleRow, FeedState, MarketRow, PricePointRow
from app.markets.sources import Bar, History, MarketState, NewPoint

MINUTE, HOUR = "1m", "1h"
FEED_LOCK = 7_205_901

POINTS: Table = PricePointRow.__table__  # type: ignore[assignment]
CANDLES: Table = CandleRow.__table__  # type: ignore[assignment]

_INSERT_POINTS = bulk_insert(POINTS, ("market_id", "seq", "at", "price", "funding"))
CANDLE_COLUMNS = (
    "market_id", "timeframe", "opened_at", "open", "high", "low", "close", "volume",
)  # fmt: skip
_MERGE_CANDLES = bulk_insert(
    CANDLES,
    CANDLE_COLUMNS,
    "on conflict (market_id, timeframe, opened_at) do update set"
    " high = greatest(candles.high, excluded.high), low = least(candles.low, excluded.low),"
    " close = excluded.close, volume = candles.volume + excluded.volume",
)
# A row is changed only from the number that we know: a second feed can't slip in between.
_MOVE_MARKETS = text("""
    update markets set last_seq = given.seq, last_price = given.price, last_price_at = given.at,
        source_position = given.position, stale_reason = ''
    from unnest(
        cast(:ids as bigint[]), cast(:olds as bigint[]), cast(:seqs as bigint[]),
        cast(:prices as numeric[]), cast(:ats as timestamptz[]), cast(:positions as bigint[])
    ) as given (id, old, seq, price, at, position)
    where markets.id = given.id and markets.last_seq = given.old
""")
_ADD_CANDLES = bulk_insert(CANDLES, CANDLE_COLUMNS, "on conflict do nothing")
_BEAT = text("""
    insert into feed_state (id, source, beat_at, notes)
    values (1, :source, :beat_at, cast(:notes as jsonb))
    on conflict (id) do update
    set source = excluded.source, beat_at = excluded.beat_at, notes = excluded.notes
""")


class SecondFeed(Exception):
    """Somebody else numbered a pair's points meanwhile: read where things stand, and go on."""


class Standing(NamedTuple):
    """Where a pair stands after a round: its last number and price."""

    seq: int
    price: Decimal | None


_STATE = select(
    MarketRow.id, MarketRow.exchange, MarketRow.symbol, MarketRow.base, MarketRow.tick,
    MarketRow.source, MarketRow.source_position, MarketRow.last_seq, MarketRow.last_price,
    MarketRow.last_price_at, MarketRow.funding_interval_s,
)  # fmt: skip


def read_states() -> list[MarketState]:
    """Read every pair as the feed needs it."""
    return [MarketState(*row) for row in db.session.execute(_STATE.order_by(MarketRow.id))]


def read_state(market_id: int) -> MarketState:
    """Read one pair."""
    return MarketState(*db.session.execute(_STATE.where(MarketRow.id == market_id)).one())


def write_round(
    points: Mapping[int, Sequence[NewPoint]], standing: dict[int, Standing]
) -> list[Move]:
    """Store new points with their numbers, candles and last prices; return how prices moved.

    `standing` is brought up to date by the caller after the commit, from the moves. Raise
    SecondFeed when the numbers in the database are not those in `standing`.
    """
    # Always in one order, so that two writers can't wait for each other.
    numbered = {
        market_id: list(enumerate(points[market_id], standing[market_id].seq + 1))
        for market_id in sorted(points)
        if points[market_id]
    }
    if not numbered:
        return []
    _move_markets(numbered)
    rows = [
        (market_id, seq, point.at, point.price, point.funding)
        for market_id, news in numbered.items()
        for seq, point in news
    ]
    db.session.execute(_INSERT_POINTS.statement, _INSERT_POINTS.values(rows))
    candles = _candles(points)
    db.session.execute(_MERGE_CANDLES.statement, _MERGE_CANDLES.values(candles))
    return [_move(market_id, news) for market_id, news in numbered.items()]


def _move_markets(numbered: Mapping[int, Sequence[tuple[int, NewPoint]]]) -> None:
    last = {market_id: news[-1] for market_id, news in numbered.items()}
    result = db.session.execute(
        _MOVE_MARKETS,
        {
            "ids": list(last),
            "olds": [news[0][0] - 1 for news in numbered.values()],
            "seqs": [seq for seq, _ in last.values()],
            "prices": [point.price for _, point in last.values()],
            "ats": [point.at for _, point in last.values()],
            "positions": [point.position for _, point in last.values()],
        },
    )
    if _count(result) != len(last):
        raise SecondFeed


def _move(market_id: int, news: Sequence[tuple[int, NewPoint]]) -> Move:
    prices = [point.price for _, point in news]
    return Move(market_id, min(prices), max(prices), prices[-1], news[-1][0])


def _candles(points: Mapping[int, Sequence[NewPoint]]) -> list[tuple[Any, ...]]:
    candles: dict[tuple[int, str, datetime], list[Decimal]] = {}
    for market_id in sorted(points):
        for at, price, volume, *_ in points[market_id]:
            minute = at.replace(second=0, microsecond=0)
            for timeframe, opened_at in ((MINUTE, minute), (HOUR, minute.replace(minute=0))):
                known = candles.get((market_id, timeframe, opened_at))
                if known is None:
                    candles[market_id, timeframe, opened_at] = [price, price, price, price, volume]
                    continue
                known[1] = max(known[1], price)
                known[2] = min(known[2], price)
                known[3] = price
                known[4] += volume
    return [(*key, *values) for key, values in candles.items()]


def mark_stale(reasons: Mapping[int, str]) -> None:
    """Say at once that prices are stale, and why."""
    for market_id, reason in sorted(reasons.items()):
        db.session.execute(
            update(MarketRow).where(MarketRow.id == market_id).values(stale_reason=reason)
        )


def beat(source: str, notes: str) -> None:
    """Note that the feed is at work; `notes` is JSON."""
    db.session.execute(_BEAT, {"source": source, "beat_at": utc_now(), "notes": notes})


def set_first_price(state: MarketState, price: Decimal, now: datetime) -> None:
    """Let a pair that never had a price begin with one."""
    seq = state.last_seq + 1
    db.session.execute(
        insert(PricePointRow).values(market_id=state.id, seq=seq, at=now, price=price)
    )
    db.session.execute(
        update(MarketRow)
        .where(MarketRow.id == state.id)
        .values(last_seq=seq, last_price=price, last_price_at=now, stale_reason="")
    )


def begin_market(
    state: MarketState, identity: str, history: History | None, stale_after_s: int, now: datetime
) -> None:
    """Let a pair begin with a source: its old candles go, the history and a first price come."""
    db.session.execute(delete(CandleRow).where(CandleRow.market_id == state.id))
    db.session.execute(
        update(MarketRow)
        .where(MarketRow.id == state.id)
        .values(
            source=identity,
            source_position=history.position if history else 0,
            stale_after_s=stale_after_s,
            stale_reason="",
        )
    )
    if history is None:
        return
    write_bars(state.id, HOUR, history.hours)
    write_bars(state.id, MINUTE, history.minutes)
    if history.last_price is not None:
        set_first_price(state, history.last_price, now)


def write_bars(market_id: int, timeframe: str, bars: Iterable[Bar]) -> None:
    """Copy candles in, thousands in a few milliseconds."""
    statement = sql.SQL("copy candles ({}) from stdin").format(
        sql.SQL(", ").join(map(sql.Identifier, CANDLE_COLUMNS))
    )
    raw: Any = db.session.connection().connection.driver_connection
    start = f"{market_id}\t{timeframe}\t"
    lines = (start + "\t".join(map(str, bar)) + "\n" for bar in bars)
    with raw.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write("".join(lines))


def add_history(market_id: int, history: History) -> None:
    """Add bars that came after the first prices, leaving those that are there."""
    rows = [(market_id, HOUR, *bar) for bar in history.hours]
    rows += [(market_id, MINUTE, *bar) for bar in history.minutes]
    if rows:
        db.session.execute(_ADD_CANDLES.statement, _ADD_CANDLES.values(rows))
    db.session.execute(
        update(MarketRow).where(MarketRow.id == market_id).values(source_position=history.position)
    )


def delete_points(
    floors: Mapping[int, int], followed_for: timedelta, others_for: timedelta, most: int
) -> int:
    """Delete old points: of followed pairs (`floors`: the last number needed by nobody) up to it.

    A pair keeps `most` points at the utmost beside those still needed; pairs that nobody follows
    keep theirs for `others_for` only.
    """
    now = utc_now()
    deleted = db.session.execute(
        text("""
            delete from price_points as point
            using unnest(cast(:ids as bigint[]), cast(:floors as bigint[])) as given (id, floor)
            join markets as market on market.id = given.id
            where point.market_id = given.id and point.seq <= given.floor
              and (point.at < :before or point.seq <= market.last_seq - :most)
        """),
        {
            "ids": list(floors),
            "floors": list(floors.values()),
            "before": now - followed_for,
            "most": most,
        },
    )
    others = db.session.execute(
        delete(PricePointRow).where(
            PricePointRow.at < now - others_for, PricePointRow.market_id.not_in(list(floors))
        )
    )
    return _count(deleted) + _count(others)


def delete_candles(minutes_for: timedelta) -> int:
    """Delete candles of a minute that no chart shows any more."""
    result = db.session.execute(
        delete(CandleRow).where(
            CandleRow.timeframe == MINUTE, CandleRow.opened_at < utc_now() - minutes_for
        )
    )
    return _count(result)


def _count(result: Result[Any]) -> int:
    return cast(CursorResult[Any], result).rowcount


def read_feed_state() -> FeedState | None:
    """Return what the feed said of itself last."""
    return db.session.get(FeedState, 1)
