"""Price points in memory: read once by a process, shared by all bots that it ticks.

Points are never changed once they are stored, so what is in memory is always right, only perhaps
not the newest; every look fetches what came since. Memory is bounded for each pair.
"""

from collections.abc import Iterable
from threading import Lock

from sqlalchemy import column, select, text

from app.db import Exact, UtcTime, db
from app.markets.models import PricePointRow
from app.trading.market import PricePoint

KEPT_POINTS = 2000

_POINT = (PricePointRow.seq, PricePointRow.at, PricePointRow.price, PricePointRow.funding)

_NEWER = text("""
    select point.market_id, point.seq, point.at, point.price, point.funding
    from unnest(cast(:ids as bigint[]), cast(:lasts as bigint[])) as given (id, last)
    join price_points as point on point.market_id = given.id and point.seq > given.last
    order by point.market_id, point.seq
""").columns(
    column("market_id"), column("seq"), column("at", UtcTime), column("price", Exact),
    column("funding", Exact),
)  # fmt: skip


class PointCache:
    """The newest points of every pair that somebody asked for."""

    def __init__(self, kept: int = KEPT_POINTS) -> None:
        self._kept = kept
        self._points: dict[int, list[PricePoint]] = {}
        self._lock = Lock()

    def load(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Fetch what is new of several pairs at once: (market, number seen last) each."""
        lasts: dict[int, int] = {}
        for market_id, seen in wanted:
            known = self._points.get(market_id)
            last = known[-1].seq if known else seen
            lasts[market_id] = min(last, lasts.get(market_id, last)) if not known else last
        if not lasts:
            return
        rows = db.session.execute(_NEWER, {"ids": list(lasts), "lasts": list(lasts.values())}).all()
        with self._lock:
            for market_id, *point in rows:
                self._add(market_id, PricePoint(*point))

    def after(self, market_id: int, seq: int) -> list[PricePoint]:
        """Return the loaded points after a number, oldest first; older ones come from the rows."""
        known = self._points.get(market_id, [])
        if not known:
            return []
        first, last = known[0].seq, known[-1].seq
        if seq >= last:
            return []
        if seq >= first - 1:
            # Numbers have no gaps in memory, so the place follows from the number.
            return known[max(0, len(known) - (last - seq)) :]
        return _stored(market_id, seq, first) + known

    def forget(self) -> None:
        """Drop everything."""
        with self._lock:
            self._points.clear()

    def _add(self, market_id: int, point: PricePoint) -> None:
        known = self._points.get(market_id)
        if known is None:
            self._points[market_id] = [point]
        elif point.seq == known[-1].seq + 1:
            known.append(point)
            if len(known) > 2 * self._kept:
                # Replaced, not cut: a reader may hold the old list.
                self._points[market_id] = known[-self._kept :]
        elif point.seq > known[-1].seq:
            # Rows between were deleted: begin anew here.
            self._points[market_id] = [point]


_cache = PointCache()


def load_points(wanted: Iterable[tuple[int, int]]) -> None:
    """Fetch what is new of several pairs with one query: (market, number seen last) each."""
    _cache.load(wanted)


def loaded_after(market_id: int, seq: int) -> list[PricePoint]:
    """Return points after a number as `load_points` found them, without asking for newer ones."""
    return _cache.after(market_id, seq)


def points_after(market_id: int, seq: int) -> list[PricePoint]:
    """Return every stored point of a pair after a number, oldest first, the newest included."""
    _cache.load([(market_id, seq)])
    return _cache.after(market_id, seq)


def forget_points() -> None:
    """Drop what is in memory: for tests that empty the tables."""
    _cache.forget()


def _stored(market_id: int, seq: int, before: int) -> list[PricePoint]:
    rows = db.session.execute(
        select(*_POINT)
        .where(
            PricePointRow.market_id == market_id,
            PricePointRow.seq > seq,
            PricePointRow.seq < before,
        )
        .order_by(PricePointRow.seq)
    )
    return [PricePoint(*row) for row in rows]


def newest_point(market_id: int) -> PricePoint | None:
    """Return the newest stored point of a pair, or None before its first price."""
    row = db.session.execute(
        select(*_POINT)
        .where(PricePointRow.market_id == market_id)
        .order_by(PricePointRow.seq.desc())
        .limit(1)
    ).first()
    return PricePoint(*row) if row else None
