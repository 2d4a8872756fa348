"""The pairs that every installation starts with, and the rules of each exchange for them.

The rules are those last known when this was written; with live market data they are read anew from
the exchange. None means that the exchange states no such rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from app.trading.funding import USUAL_INTERVAL_S
from app.trading.market import MarketKind, Tier

QUOTE = "USDT"


@dataclass(frozen=True, slots=True)
class Rules:
    """Steps and minimums of a pair, and the exchange's ordinary fees as fractions of the value.

    The last three are those of contracts; `tiers` are maintenance margins, lowest first.
    """

    tick: Decimal | None
    lot: Decimal | None
    min_quantity: Decimal | None
    min_notional: Decimal | None
    maker_fee: Decimal
    taker_fee: Decimal
    fee_side: str
    max_leverage: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    funding_interval_s: int | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair at one exchange: the coins themselves, or a contract on them settled in quote."""

    exchange: str
    base: str
    quote: str
    rules: Rules
    kind: MarketKind = MarketKind.SPOT

    @property
    def symbol(self) -> str:
        spot = f"{self.base}/{self.quote}"
        return spot if self.kind is MarketKind.SPOT else f"{spot}:{self.quote}"


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

# Where bots trade contracts: fees, and coin, tick, lot, greatest leverage.
_CONTRACTS = {
    "bybit": _Venue(
        "0.0002", "0.00055", "quote", "5",
        """
        BTC 0.1 0.001 100           ETH 0.01 0.01 100         SOL 0.01 0.1 100
        XRP 0.0001 0.1 100          DOGE 0.00001 1 75         ADA 0.0001 1 75
        LTC 0.01 0.1 50             TRX 0.00001 1 75          BNB 0.1 0.01 50
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


def default_rules(
    exchange: str, *, tick: Decimal | None = None, kind: MarketKind = MarketKind.SPOT
) -> Rules:
    """Return what holds for a pair of an exchange of which only the tick is known."""
    is_contract = kind is MarketKind.LINEAR
    venue = _CONTRACTS.get(exchange, _VENUES[exchange]) if is_contract else _VENUES[exchange]
    return Rules(
        tick=tick,
        lot=None,
        min_quantity=None,
        min_notional=_decimal(venue.min_notional),
        maker_fee=Decimal(venue.maker_fee),
        taker_fee=Decimal(venue.taker_fee),
        fee_side="quote" if is_contract else venue.fee_side,
        funding_interval_s=USUAL_INTERVAL_S if is_contract else None,
    )


def known_pairs() -> Iterator[Pair]:
    """Yield the pairs of all exchanges, contracts last."""
    for exchange, venue in _VENUES.items():
        for row in _rows(venue):
            yield _pair(exchange, row)
    for exchange, venue in _CONTRACTS.items():
        for row in _rows(venue):
            yield _contract(exchange, venue, *row)


def _rows(venue: _Venue) -> Iterator[list[str]]:
    row: list[str] = []
    for word in venue.coins.split():
        if word.isalpha() and row:
            yield row
            row = []
        row.append(word)
    yield row


def _contract(
    exchange: str, venue: _Venue, coin: str, tick: str, lot: str, max_leverage: str
) -> Pair:
    rules = Rules(
        tick=Decimal(tick),
        lot=Decimal(lot),
        min_quantity=Decimal(lot),
        min_notional=_decimal(venue.min_notional),
        maker_fee=Decimal(venue.maker_fee),
        taker_fee=Decimal(venue.taker_fee),
        fee_side=venue.fee_side,
        max_leverage=Decimal(max_leverage),
        funding_interval_s=USUAL_INTERVAL_S,
    )
    return Pair(exchange, coin, QUOTE, rules, MarketKind.LINEAR)


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
