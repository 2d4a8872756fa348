"""Orders fitted to what the venue takes now: its lot and minimum may change while a grid runs.

An order that rests stays as it is. The next one of its gap goes out rounded down to the lot of now;
what falls away of coins waits for a bigger order. One that is too small by now waits itself, as
does one for which coins or money are missing. Each of these is told once, until the rules change.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from app.trading.market import ONE, ZERO, MarketKind
from app.trading.orders import OrderKind, Side
from app.trading.risk import MarginLeft, budget_of, cost_of_coin, standing_orders, with_fee
from app.trading.strategies.grid_news import parted
from app.trading.strategies.grid_params import Direction, GridParams
from app.trading.strategies.grid_state import NOTHING, Entry, GridState, Slot, Sums
from app.trading.strategy import LogLine, Severity, View, log_line

# What is told, as the state remembers it.
SMALLER, TOO_SMALL, NO_MEANS = "smaller", "too_small", "without_means"
NO_MARGIN = "without_margin"


@dataclass(slots=True)
class Fitter:
    """Fits the orders of one decision; what it changes of the state is in `state` afterwards.

    While it `has_strays`, those bind coins and money until they are gone: what lacks some of it
    waits for that, and stays as big as it is.
    """

    view: View
    state: GridState
    has_strays: bool = False
    _found: dict[str, dict[str, Decimal | str | int]] = field(default_factory=dict)
    # What no order claims: coins or position by the side that closes them, and money.
    _left: dict[Side, Decimal] = field(default_factory=dict)
    _margin: MarginLeft | None = None

    def fit(self, gap: int, slot: Slot, price: Decimal) -> Slot | None:
        """Return a gap's order (or its twin) as the venue takes it, or None while it waits."""
        market, whole = self.view.market, slot.remaining
        quantity = market.quantity_down(whole)
        if not market.is_tradable(quantity, price):
            if slot.done.quantity:
                # Denied, and then taken in as done: no order closes the rest.
                return slot
            self._find(TOO_SMALL, quantity=whole, price=price)
            return None
        if quantity == whole:
            return slot
        found, left = shrunk(slot, slot.done.quantity + quantity)
        self._find(SMALLER, symbol=market.symbol, lot=market.lot or ZERO)
        self._keep(gap, found)
        state = self.state
        if slot.side is Side.SELL:
            self.state = replace(state, carried=state.carried.joined(left))
        else:
            self.state = replace(state, carried_short=state.carried_short.joined(left))
        return found

    def within_means(self, gap: int, slot: Slot, price: Decimal) -> Slot | None:
        """Return an order that takes no more than others leave, or None while it waits.

        One that closes more than is held would open the other way, or sell what is not there. Money
        may be missing for fees, or be bound in coins that the venue does not take. On a contract
        the margin may not reach to the last order that opens, for a grid that follows the price
        realises losses: it waits until there is more, as the venue would only refuse it.
        """
        closes = slot.side is closing_side(self.view.params)
        if closes and slot.opening is None:
            return slot
        if self.view.market.kind is MarketKind.LINEAR and not closes:
            return self._within_margin(gap, slot, price)
        return self._within_holdings(gap, slot, price)

    def _within_holdings(self, gap: int, slot: Slot, price: Decimal) -> Slot | None:
        side = slot.side
        if side not in self._left:
            self._left[side] = _unclaimed(self.view, side)
        spends = self.view.market.kind is MarketKind.SPOT and side is Side.BUY
        cost = cost_of_coin(self.view, price) if spends else ONE
        if slot.remaining * cost > self._left[side]:
            taken = self._smaller(gap, slot, price, max(ZERO, self._left[side] / cost))
            if taken is None:
                self._waits(NO_MEANS, slot, price)
                return None
            slot = taken
        self._left[side] -= slot.remaining * cost
        return slot

    def _within_margin(self, gap: int, slot: Slot, price: Decimal) -> Slot | None:
        """Return an order that may open; in a neutral grid also one that closes its own gap."""
        if self._margin is None:
            self._margin = MarginLeft.of(self.view)
        left, side = self._margin, slot.side
        if left.lack(side, slot.remaining, price) > 0:
            most = self.view.market.quantity_down(left.room(side, price))
            is_whole = slot.opening is not None
            if is_whole or left.lack(side, most, price) > 0:
                most = ZERO
            taken = self._smaller(gap, slot, price, most)
            if taken is None:
                self._waits(NO_MARGIN, slot, price)
                return None
            slot = taken
        left.claim(side, slot.remaining, price)
        return slot

    def _smaller(self, gap: int, slot: Slot, price: Decimal, most: Decimal) -> Slot | None:
        """Return a gap with an order of no more than so much, unless it has to wait."""
        quantity = self.view.market.quantity_down(most)
        if self.has_strays or not self.view.market.is_tradable(quantity, price):
            return None
        found, _ = shrunk(slot, slot.done.quantity + quantity)
        self._keep(gap, found)
        return found

    def _waits(self, why: str, slot: Slot, price: Decimal) -> None:
        if not self.has_strays:
            self._find(why, quantity=slot.remaining, price=price)

    def finish(self) -> list[LogLine]:
        """Return what has to be told for the first time under these rules, and remember it."""
        if not self._found:
            return []
        market = self.view.market
        rules = f"{market.lot} {market.min_quantity} {market.min_notional}"
        known, _, words = self.state.told.partition(":")
        told = set(words.split()) if known == rules else set()
        new = [code for code in self._found if code not in told]
        if new:
            words = " ".join(sorted(told | self._found.keys()))
            self.state = replace(self.state, told=f"{rules}:{words}")
        return [log_line(f"orders_{c}", Severity.WARNING, **self._found[c]) for c in new]

    def _find(self, code: str, **values: Decimal | str | int) -> None:
        count = int(self._found.get(code, {}).get("orders", 0)) + 1
        self._found.setdefault(code, dict(values))["orders"] = count

    def _keep(self, gap: int, changed: Slot) -> None:
        slots = list(self.state.slots)
        own = slots[gap]
        if own.side is changed.side:
            slots[gap] = replace(own, quantity=changed.quantity, opening=changed.opening)
        else:
            slots[gap] = replace(own, twin=changed)
        self.state = replace(self.state, slots=tuple(slots))


def closing_side(params: GridParams) -> Side | None:
    """Return the side on which a grid only closes; a neutral one opens on both."""
    if params.direction is Direction.NEUTRAL:
        return None
    return Side.BUY if params.is_short else Side.SELL


def _unclaimed(view: View, side: Side) -> Decimal:
    """Return the coins (or the position) for sells and the money for buys that no order claims."""
    if view.market.kind is MarketKind.SPOT:
        free = budget_of(view)
        return free.base if side is Side.SELL else free.quote
    standing = standing_orders(view)
    if side is Side.SELL:
        return view.holdings.base - standing.sells
    return -view.holdings.base - standing.buys


def shrunk(slot: Slot, quantity: Decimal) -> tuple[Slot, Sums]:
    """Return a gap with a smaller order, and what of its opening that does not close."""
    if slot.opening is None:
        return replace(slot, quantity=quantity), NOTHING
    opening, left = parted(slot.opening, quantity, slot.quantity)
    return replace(slot, quantity=quantity, opening=opening), left


def fitting_entry(view: View, entry: Entry) -> Decimal:
    """Return the rest of the first trade as far as the money suffices, in whole lots.

    Without a reserve the fee of one that takes nearly all money makes it dearer than what is there.
    """
    market, left = view.market, entry.quantity - entry.done
    fitting = market.quantity_down(min(left, _payable(view, entry.side, left)))
    return fitting if market.is_tradable(fitting, view.price) else left


def _payable(view: View, side: Side, wanted: Decimal) -> Decimal:
    market, price = view.market, view.price
    if market.kind is MarketKind.LINEAR:
        margin = MarginLeft.of(view)
        is_there = margin.lack(side, wanted, price, OrderKind.MARKET) <= 0
        return wanted if is_there else margin.room(side, price, OrderKind.MARKET)
    free = budget_of(view)
    if side is Side.SELL:
        return free.base
    return max(ZERO, free.quote) / (price * with_fee(OrderKind.MARKET, market))
