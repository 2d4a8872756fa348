"""The pairs of the stand-in and their rules."""

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

SPOT, LINEAR = "spot", "linear"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One pair; a spot pair and a contract may have the same symbol."""

    category: str
    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    min_amount: Decimal
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")
    max_open: int = 500
    # Told to everybody and open for trade.
    listed: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """Return what names it among the others."""
        return self.category, self.symbol

    @property
    def is_spot(self) -> bool:
        """Say whether coins themselves are traded."""
        return self.category == SPOT

    def to_json(self) -> dict[str, Any]:
        """Return it as plain texts."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Instrument":
        """Read what `to_json` wrote."""
        money = {"tick", "lot", "min_quantity", "min_amount", "maker_fee", "taker_fee"}
        values: dict[str, Any] = {k: Decimal(v) if k in money else v for k, v in row.items()}
        return cls(**values)

    def told(self) -> dict[str, Any]:
        """Return it as instruments-info tells it."""
        shared = {
            "symbol": self.symbol,
            "baseCoin": self.base,
            "quoteCoin": self.quote,
            "status": "Trading",
            "priceFilter": {"tickSize": format(self.tick, "f")},
        }
        if self.is_spot:
            return {
                **shared,
                "innovation": "0",
                "marginTrading": "utaOnly",
                "lotSizeFilter": {
                    "basePrecision": format(self.lot, "f"),
                    "quotePrecision": "0.0000001",
                    "minOrderQty": format(self.min_quantity, "f"),
                    "maxOrderQty": "1000000",
                    "minOrderAmt": format(self.min_amount, "f"),
                    "maxOrderAmt": "100000000",
                },
            }
        return {
            **shared,
            "contractType": "LinearPerpetual",
            "settleCoin": self.quote,
            "launchTime": "1699990000000",
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": "2",
            "unifiedMarginTrade": True,
            "fundingInterval": 480,
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "0.01"},
            "lotSizeFilter": {
                "maxOrderQty": "1000000",
                "minOrderQty": format(self.min_quantity, "f"),
                "qtyStep": format(self.lot, "f"),
                "postOnlyMaxOrderQty": "1000000",
                "maxMktOrderQty": "1000000",
                "minNotionalValue": format(self.min_amount, "f"),
            },
        }


def _plain(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


def usual_instruments() -> tuple[Instrument, ...]:
    """Return the pairs that most tests trade: AAA/USDT on spot and as a contract, and BBB/USDT."""
    rules: dict[str, Any] = {
        "tick": Decimal("0.01"),
        "lot": Decimal("0.0001"),
        "min_quantity": Decimal("0.0001"),
        "min_amount": Decimal(1),
    }
    return (
        Instrument(SPOT, "AAAUSDT", "AAA", "USDT", **rules),
        Instrument(SPOT, "BBBUSDT", "BBB", "USDT", **rules),
        Instrument(LINEAR, "AAAUSDT", "AAA", "USDT", **rules),
    )
