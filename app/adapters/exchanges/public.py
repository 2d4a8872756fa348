"""What an exchange tells everybody: prices, rules and candles, without keys."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeGuard, TypeVar

from app.adapters.exchanges.clock import TRIES
from app.adapters.exchanges.quirks import QUIRKS
from app.errors import DomainError
from app.trading.market import Candle, Market, MarketKind, Tier

T = TypeVar("T")

CANDLES_PAGE = 1000
MOST_PAGES = 10
# A list of pairs that is so much shorter than the one before was cut off.
LEAST_SHARE = 0.5
_TIMEFRAME_MS = {"1m": 60_000, "1h": 3_600_000}
_threads = threading.local()


class OrderBook(NamedTuple):
    """The best prices with what stands there, best first; `at` is None if it was not told."""

    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]
    at: datetime | None


def is_known(name: str) -> bool:
    """Say whether the exchange can be asked."""
    return name in QUIRKS


def offers(name: str, kind: MarketKind) -> bool:
    """Say whether bots trade coins, or contracts, there."""
    return kind in QUIRKS[name].kinds


class Quote(NamedTuple):
    """A last price; of a contract also the rate of funding that falls due next, and when."""

    price: Decimal
    funding: Decimal | None = None
    funding_at: datetime | None = None


def quotes(name: str, symbols: Sequence[str]) -> dict[str, Quote]:
    """Return last prices with one call for coins and one for contracts.

    Pairs that the exchange leaves out are absent.
    """
    markets = _client(name).markets
    found: dict[str, Quote] = {}
    for is_spot in (True, False):
        known = [s for s in symbols if s in markets and bool(markets[s].get("spot")) is is_spot]
        found |= _quotes(name, known)
    return {symbol: quote for symbol, quote in found.items() if quote.price > 0}


def _quotes(name: str, symbols: Sequence[str]) -> dict[str, Quote]:
    tickers = _asked(name, lambda client: client.fetch_tickers(symbols)) if symbols else {}
    return {symbol: _quote(name, ticker) for symbol, ticker in tickers.items()}


def _quote(name: str, ticker: Any) -> Quote:
    from app.adapters.exchanges.reading import at, decimal

    price, fields = decimal(ticker.get("last")) or Decimal(0), QUIRKS[name].ticker_funding
    info = ticker.get("info") or {}
    rate, moment = (decimal(info.get(field)) for field in fields or ("", ""))
    if rate is None or not moment:
        return Quote(price)
    return Quote(price, rate, at(moment))


def tiers(name: str, symbol: str) -> tuple[Tier, ...]:
    """Return the maintenance margins of a contract, lowest first; raise Unavailable."""
    from app.adapters.exchanges.reading import to_tiers

    rows = _asked(name, lambda client: client.fetch_market_leverage_tiers(symbol))
    return to_tiers(rows, QUIRKS[name])


def markets(name: str) -> dict[str, Market]:
    """Return the rules of every active pair as the exchange states them now; raise Unavailable.

    An answer that lacks most pairs that were known is no good: nobody drops them all at once.
    """
    from app.adapters.exchanges.reading import garbled, to_market

    before = _threads.__dict__.get("clients", {}).get(name)
    client = _reloaded(name)
    if before is not None and len(client.markets) < len(before.markets) * LEAST_SHARE:
        raise garbled(QUIRKS[name])
    if before is not None and before is not client:
        before.session.close()
    _threads.__dict__.setdefault("clients", {})[name] = client
    return {
        symbol: to_market(raw, QUIRKS[name])
        for symbol, raw in client.markets.items()
        if raw.get("active") is not False
    }


def order_book(name: str, symbol: str, levels: int) -> OrderBook:
    """Return the best levels of a pair, best first; raise Unavailable, also for a crossed book."""
    from app.adapters.exchanges.errors import ExchangeError
    from app.adapters.exchanges.reading import at, decimal

    limit = max(levels, QUIRKS[name].smallest_book)
    book = _asked(name, lambda client: client.fetch_order_book(symbol, limit))
    sides = []
    for side in ("bids", "asks"):
        rows = [(decimal(row[0]), decimal(row[1])) for row in book[side]]
        good = [(price, size) for price, size in rows if _is_more(price) and _is_more(size)]
        sides.append(tuple(sorted(good, reverse=side == "bids")[:levels]))
    bids, asks = sides
    if bids and asks and bids[0][0] >= asks[0][0]:
        # Nobody would sell below what others pay: half an update, or a pair that does not trade.
        raise ExchangeError("exchange_book_crossed", exchange=name)
    moment = book.get("timestamp")
    return OrderBook(bids, asks, at(moment) if moment else None)


def _is_more(number: Decimal | None) -> TypeGuard[Decimal]:
    return number is not None and number > 0


def measure_clock(name: str, *, testnet: bool = False) -> None:
    """Measure an exchange's clock and let every process know; raise Unavailable."""
    from app.adapters.exchanges.client import make_client
    from app.adapters.exchanges.errors import UnreachableError, read_error

    client = make_client(name, testnet=testnet)
    try:
        client.traffic.set_clock(client.fetch_time, tries=TRIES)
    except TimeoutError as error:
        raise UnreachableError("exchange_unreachable", exchange=name) from error
    except Exception as error:
        raise read_error(error, QUIRKS[name], client.answer) from error
    finally:
        client.session.close()


def candles(name: str, symbol: str, timeframe: str, since: datetime) -> list[Candle]:
    """Return candles from a moment on, oldest first, fetched page by page."""
    length = _TIMEFRAME_MS[timeframe]
    start = int(since.timestamp() * 1000) // length * length
    rows: dict[int, list[Any]] = {}
    for _ in range(MOST_PAGES):
        page = _candle_page(name, symbol, timeframe, start)
        fresh = [row for row in page if row[0] not in rows]
        if not fresh:
            break
        rows |= {int(row[0]): row for row in fresh}
        start = max(rows) + length
        if start > datetime.now(UTC).timestamp() * 1000:
            break
    return [
        Candle(moment, *(Decimal(str(value)) for value in row[1:6]))
        for moment, row in sorted(rows.items())
    ]


def _candle_page(name: str, symbol: str, timeframe: str, start: int) -> list[list[Any]]:
    return _asked(name, lambda client: client.fetch_ohlcv(symbol, timeframe, start, CANDLES_PAGE))


def _asked(name: str, ask: Callable[[Any], T]) -> T:
    from app.adapters.exchanges.errors import read_error

    try:
        return ask(_client(name))
    except DomainError:
        raise
    except Exception as error:
        raise read_error(error, QUIRKS[name]) from error


def _reloaded(name: str) -> Any:
    from app.adapters.exchanges.client import reload_markets
    from app.adapters.exchanges.errors import read_error

    try:
        return reload_markets(name)
    except DomainError:
        raise
    except Exception as error:
        raise read_error(error, QUIRKS[name]) from error


def _client(name: str) -> Any:
    """Return this thread's client of an exchange, with the shared markets."""
    from app.adapters.exchanges.client import make_client, share_markets
    from app.adapters.exchanges.errors import read_error

    clients: dict[str, Any] = _threads.__dict__.setdefault("clients", {})
    client = clients.get(name)
    if client is None:
        client = make_client(name)
        try:
            share_markets(client, name)
        except Exception as error:
            raise read_error(error, QUIRKS[name]) from error
        clients[name] = client
    return client
