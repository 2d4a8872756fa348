"""What the books of the stand-in are made of: orders, executions, positions."""

from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from typing import Any, get_type_hints

ZERO = Decimal(0)
OPEN = frozenset({"New", "PartiallyFilled", "Untriggered"})


@dataclass(slots=True)
class VenueOrder:
    """An order as the exchange keeps it; times are milliseconds of the epoch."""

    order_id: str
    link_id: str
    account: str
    category: str
    symbol: str
    side: str
    kind: str
    price: Decimal
    quantity: Decimal
    time_in_force: str
    created: int
    updated: int
    number: int
    status: str = "New"
    filled: Decimal = ZERO
    value: Decimal = ZERO
    fee: Decimal = ZERO
    reduce_only: bool = False
    trigger_price: Decimal = ZERO
    trigger_direction: int = 0
    reject_reason: str = "EC_NoError"
    order_filter: str = "Order"
    # Look-ups do not show it before this moment.
    shown_from: int = 0

    @property
    def is_open(self) -> bool:
        """Say whether it stands or waits for its trigger."""
        return self.status in OPEN

    @property
    def is_resting(self) -> bool:
        """Say whether it stands in the book."""
        return self.status in {"New", "PartiallyFilled"}

    @property
    def left(self) -> Decimal:
        """Return what is not filled."""
        return self.quantity - self.filled

    def copy(self) -> "VenueOrder":
        """Return it as it is now."""
        return replace(self)


@dataclass(slots=True)
class Execution:
    """One fill, or a funding payment (`kind` Funding, with the payment as its fee)."""

    exec_id: str
    account: str
    category: str
    symbol: str
    order_id: str
    link_id: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    time: int
    number: int
    order_kind: str = "Limit"
    kind: str = "Trade"
    shown_from: int = 0


@dataclass(slots=True)
class Position:
    """A one-way position in a contract: below zero when short; `cost` is its value at entry."""

    account: str
    symbol: str
    size: Decimal = ZERO
    cost: Decimal = ZERO
    leverage: Decimal = Decimal(1)

    @property
    def entry(self) -> Decimal:
        """Return the average price at which it was opened."""
        return self.cost / abs(self.size) if self.size else ZERO

    @property
    def signed_cost(self) -> Decimal:
        """Return its value at entry, below zero when short."""
        return self.cost if self.size >= 0 else -self.cost


Row = VenueOrder | Execution | Position


def to_json(row: Row) -> dict[str, Any]:
    """Return a row as plain texts and numbers."""
    return {
        name: format(value, "f") if isinstance(value, Decimal) else value
        for name, value in asdict(row).items()
    }


def from_json(kind: type[Any], values: dict[str, Any]) -> Any:
    """Read what `to_json` wrote."""
    hints = get_type_hints(kind)
    return kind(
        **{
            each.name: Decimal(values[each.name])
            if hints[each.name] is Decimal
            else values[each.name]
            for each in fields(kind)
        }
    )
