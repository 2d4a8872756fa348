"""All that a strategy may ask for: place an order, cancel one; each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from app.money import exact_text
from app.trading.orders import OrderKey, OrderKind

Plain = str | int | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is done: a code and plain values; put into words where it is read."""

    code: str
    values: Mapping[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Ask for an order; `price` is None for a market order.

    One that is `reduce_only` closes a contract's position and never opens one. Of one that
    `is_told` the log has said before that it was denied, and says it no more.
    """

    key: OrderKey
    attempt: int
    kind: OrderKind
    price: Decimal | None
    quantity: Decimal
    reason: Reason
    reduce_only: bool = False
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask that an order be taken back; asking twice does no harm."""

    client_id: str
    reason: Reason


Intent = Place | Cancel


def reason(code: str, /, **values: Decimal | Plain) -> Reason:
    """Build a reason; decimals become exact text."""
    return Reason(code, plain_values(values))


def plain_values(values: Mapping[str, Decimal | Plain]) -> dict[str, Plain]:
    """Turn decimals into exact text, so that values can be stored as JSON."""
    return {
        name: exact_text(value) if isinstance(value, Decimal) else value
        for name, value in values.items()
    }
