"""The pairs that every installation starts with, and the rules of each exchange for them.

The rules are those last known when this was written; with live market data they are read anew from
the exchange. None means that the exchange states no such rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

QUOTE = "USDT"


@dataclass(frozen=True, slots=True)
class Rules:
    """Steps and minimums of a pair, and the exchange's ordinary fees as fractions of the value."""

    tick: Decimal | None
    lot: Decimal | None
    min_quantity: Decimal | None
    min_notional: Decimal | None
    maker_fee: Decimal
    taker_fee: Decimal
    fee_side: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair at one exchange."""

    exchange: str
    base: str
    quote: str
    rules: Rules

    @property
    def symbol(self) -> str:
        return f"{self.base}/{self.quote}"


@dataclass(frozen=True, slots=True)
class _Venue:
    maker_fee: str
    taker_fee: str
    fee_side: str
    min_notional: str | None
    # Coin: tick, lot, smallest quantity (empty: the lot).
    coins: str


_VENUES = {
    "bybit": _Venue(
        "0.001", "0.001", "received_asset", "5",
        """
        BTC 0.1 0.000001            ETH 0.01 0.00001          SOL 0.01 0.0001
        XRP 0.0001 0.01             DOGE 0.00001 0.1          ADA 0.0001 0.01
        AVAX 0.01 0.001             LINK 0.001 0.001          LTC 0.01 0.00001
        TRX 0.0001 0.01             NEAR 0.001 0.01           TON 0.001 0.01
        BNB 0.1 0.0001              PEPE 0.000000001 1
        """,
    ),
    "binance": _Venue(
        "0.001", "0.001", "received_asset", "5",
        """
        BTC 0.01 0.00001            ETH 0.01 0.0001           SOL 0.01 0.001
        XRP 0.0001 0.1              DOGE 0.00001 1            ADA 0.0001 0.1
        AVAX 0.01 0.01              LINK 0.01 0.01            LTC 0.01 0.001
        TRX 0.0001 0.1              NEAR 0.001 0.1            TON 0.001 0.01
        BNB 0.01 0.001              PEPE 0.00000001 1
        """,
    ),
    "okx": _Venue(
        "0.0008", "0.001", "received_asset", None,
        """
        BTC 0.1 0.00000001 0.00001  ETH 0.01 0.000001 0.0001  SOL 0.01 0.000001 0.01
        XRP 0.0001 0.000001 1       DOGE 0.00001 0.000001 10  ADA 0.0001 0.000001 1
        AVAX 0.01 0.000001 0.1      LINK 0.001 0.000001 0.1   LTC 0.01 0.000001 0.01
        TRX 0.0001 0.000001 10      NEAR 0.001 0.000001 0.1   TON 0.001 0.000001 0.1
        BNB 0.1 0.000001 0.001      PEPE 0.000000001 1 100000
        """,
    ),
    "kucoin": _Venue(
        "0.001", "0.001", "quote", "0.1",
        """
        BTC 0.1 0.00000001 0.00001  ETH 0.01 0.0000001 0.0001 SOL 0.01 0.0001 0.01
        XRP 0.0001 0.0001 0.1       DOGE 0.00001 0.0001 1     ADA 0.0001 0.0001 0.1
        AVAX 0.001 0.0001 0.01      LINK 0.001 0.0001 0.01    LTC 0.01 0.000001 0.01
        TRX 0.0001 0.0001 1         NEAR 0.001 0.0001 0.1     TON 0.001 0.0001 0.1
        BNB 0.01 0.0001 0.001       PEPE 0.000000001 1 10000
        """,
    ),
    "mexc": _Venue(
        "0", "0.0005", "quote", "1",
        """
        BTC 0.01 0.00000001         ETH 0.01 0.00001          SOL 0.01 0.001
        XRP 0.0001 0.01             DOGE 0.00001 0.01         ADA 0.0001 0.01
        AVAX 0.01 0.01              LINK 0.001 0.01           LTC 0.01 0.001
        TRX 0.0001 0.01             NEAR 0.001 0.01           TON 0.001 0.01
        BNB 0.01 0.0001             PEPE 0.000000001 1
        """,
    ),
}  # fmt: skip

# Where the synthetic market turns around.
BASE_PRICES = {
    coin: Decimal(price)
    for coin, price in {
        "BTC": "97000", "ETH": "3400", "SOL": "190", "XRP": "2.2", "DOGE": "0.33", "ADA": "0.9",
        "AVAX": "38", "LINK": "21", "LTC": "105", "TRX": "0.25", "NEAR": "5.2", "TON": "5.4",
        "BNB": "690", "PEPE": "0.0000185",
    }.items()
}  # fmt: skip


def default_rules(exchange: str, *, tick: Decimal | None = None) -> Rules:
    """Return what holds for a pair of an exchange of which only the tick is known."""
    venue = _VENUES[exchange]
    return Rules(
        tick=tick,
        lot=None,
        min_quantity=None,
        min_notional=_decimal(venue.min_notional),
        maker_fee=Decimal(venue.maker_fee),
        taker_fee=Decimal(venue.taker_fee),
        fee_side=venue.fee_side,
    )


def known_pairs() -> Iterator[Pair]:
    """Yield the pairs of all exchanges."""
    for exchange, venue in _VENUES.items():
        words = iter(venue.coins.split())
        row: list[str] = []
        for word in words:
            if word.isalpha() and row:
                yield _pair(exchange, row)
                row = []
            row.append(word)
        yield _pair(exchange, row)


def _pair(exchange: str, row: list[str]) -> Pair:
    venue = _VENUES[exchange]
    coin, tick, lot, *smallest = row
    rules = Rules(
        tick=Decimal(tick),
        lot=Decimal(lot),
        min_quantity=Decimal(smallest[0] if smallest else lot),
        min_notional=_decimal(venue.min_notional),
        maker_fee=Decimal(venue.maker_fee),
        taker_fee=Decimal(venue.taker_fee),
        fee_side=venue.fee_side,
    )
    return Pair(exchange, coin, QUOTE, rules)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
