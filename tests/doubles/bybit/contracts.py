"""Linear contracts at the stand-in: one-way positions, margin, reduce-only."""

from decimal import Decimal
from typing import TYPE_CHECKING

from tests.doubles.bybit.account import Customer
from tests.doubles.bybit.instruments import Instrument
from tests.doubles.bybit.rows import ZERO, Position, VenueOrder

UNIT = Decimal("1e-18")

if TYPE_CHECKING:
    from tests.doubles.bybit.venue import Venue


def check_order(
    venue: "Venue", customer: Customer, pair: Instrument, order: VenueOrder, price: Decimal
) -> None:
    """Refuse an order that nothing backs, or one that would not reduce although it must."""
    from tests.doubles.bybit.venue import Refusal

    position = venue.position(customer, order.symbol)
    if order.reduce_only:
        if closable(customer, order) <= 0:
            raise Refusal(110017, "current position is zero, cannot fix reduce-only order qty")
        return
    opening = order.quantity - min(order.quantity, closable(customer, order))
    needed = opening * price / position.leverage + order.quantity * price * pair.taker_fee
    if needed > available(venue, customer, pair.quote):
        raise Refusal(110007, "ab not enough for new order")


def available(venue: "Venue", customer: Customer, coin: str) -> Decimal:
    """Return the money that may still back orders: equity less what backs something already."""
    money = customer.free(coin, venue.instruments)
    for symbol, position in customer.positions.items():
        pair = venue.instruments["linear", symbol]
        price = venue.prices[pair.key]
        money += position.size * price - position.signed_cost
        money -= position.cost / position.leverage
        for order in customer.open_orders(pair.key):
            if order.is_resting and not order.reduce_only:
                money -= order.left * order.price / position.leverage
    return money


def closable(customer: Customer, order: VenueOrder) -> Decimal:
    """Return how much of the position an order of this side can close."""
    position = customer.positions.get(order.symbol)
    if position is None:
        return ZERO
    return max(ZERO, -position.size if order.side == "Buy" else position.size)


def move(position: Position, order: VenueOrder, price: Decimal, quantity: Decimal) -> Decimal:
    """Change a position by a fill; return the profit of what it closed.

    What is closed takes its share of the cost along, so wallet and cost never lose a unit together.
    """
    change = quantity if order.side == "Buy" else -quantity
    size = position.size
    if size == 0 or (size > 0) == (change > 0):
        position.size = size + change
        position.cost += price * quantity
        return ZERO
    closed = min(abs(size), quantity)
    left = (position.cost * (abs(size) - closed) / abs(size)).quantize(UNIT)
    gained = (closed * price - (position.cost - left)) * (1 if size > 0 else -1)
    position.size = size + change
    position.cost = left if closed == quantity else (quantity - closed) * price
    return gained
