"""The best bids and asks of a pair: from the exchange, or made up where prices are made up."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from app.adapters.exchanges import public
from app.cache import Cache, read_exact
from app.db import utc_now
from app.markets.models import MarketRow
from app.money import floor_to_step

LEVELS = 10
KEPT_S = 2
# Distance of made levels, as a part of the price, and their size in quote currency.
STEP = Decimal("0.0002")
SIZE = Decimal(500)
FINEST_TICK = Decimal("1e-8")
_PLACES = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Level:
    """So much stands at a price."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Depth:
    """The best levels of both sides at a moment, best first; a simulated one was made by us."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    at: datetime
    is_simulated: bool


def depth_of(row: MarketRow) -> Depth | None:
    """Return the best ten levels of each side; None without a price; raise Unavailable.

    An exchange is asked once in some seconds for all who look.
    """
    if row.source.startswith("ccxt:"):
        return _DEPTHS.get(f"{row.exchange}:{row.symbol}", lambda: _fetch(row.exchange, row.symbol))
    if row.last_price is None or row.last_price_at is None:
        return None
    return simulated(row.last_price, row.tick or FINEST_TICK, row.last_seq, row.last_price_at)


def simulated(price: Decimal, tick: Decimal, seed: int, at: datetime) -> Depth:
    """Make levels around a price, the same for everybody who looks at the same price."""
    step = max(tick, floor_to_step(price * STEP, tick))
    best_bid = floor_to_step(price - tick, tick)
    bids = [best_bid - step * number for number in range(LEVELS)]
    asks = [best_bid + 2 * tick + step * number for number in range(LEVELS)]
    return Depth(
        tuple(_level(one, seed, "bid", n) for n, one in enumerate(bids) if one > 0),
        tuple(_level(one, seed, "ask", n) for n, one in enumerate(asks)),
        at,
        is_simulated=True,
    )


def _level(price: Decimal, seed: int, side: str, number: int) -> Level:
    # Between half of the usual size and one and a half.
    dice = blake2b(f"{seed}|{side}|{number}".encode(), digest_size=2).digest()
    part = Decimal(int.from_bytes(dice, "big")) / 65_536 + Decimal("0.5")
    return Level(price, (SIZE * part / price).quantize(_PLACES) or _PLACES)


def _fetch(exchange: str, symbol: str) -> Depth:
    book = public.order_book(exchange, symbol, LEVELS)
    return Depth(
        tuple(Level(*one) for one in book.bids),
        tuple(Level(*one) for one in book.asks),
        book.at or utc_now(),
        is_simulated=False,
    )


def _dump(depth: Depth) -> Any:
    return {
        "bids": [[str(one.price), str(one.quantity)] for one in depth.bids],
        "asks": [[str(one.price), str(one.quantity)] for one in depth.asks],
        "at": depth.at.timestamp(),
    }


def _load(kept: Any) -> Depth:
    sides = {
        side: tuple(Level(read_exact(price), read_exact(size)) for price, size in kept[side])
        for side in ("bids", "asks")
    }
    at = datetime.fromtimestamp(float(kept["at"]), UTC)
    return Depth(sides["bids"], sides["asks"], at, is_simulated=False)


_DEPTHS: Cache[Depth] = Cache("depth", KEPT_S, _dump, _load)
