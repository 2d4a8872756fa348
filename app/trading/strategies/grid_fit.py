"""Orders fitted to what the venue takes now: its lot and minimum may change while a grid runs.

An order that rests stays as it is. The next one of its gap goes out rounded down to the lot of now;
what falls away of coins waits for a bigger order. One that is too small by now waits itself, as
does one for which coins or money are missing. Each of these is told once, until the rules change.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from app.trading.contracts import OrderSums, Stake, margin, only_closes
from app.trading.market import ONE, ZERO, Market, MarketKind
from app.trading.orders import FINAL, Side
from app.trading.risk import standing_orders
from app.trading.strategies.grid_news import parted
from app.trading.strategies.grid_params import Direction, GridParams
from app.trading.strategies.grid_state import NOTHING, GridState, Slot, Sums
from app.trading.strategy import LogLine, Severity, View, log_line

# What is told, as the state remembers it.
SMALLER, TOO_SMALL, NO_MEANS = "smaller", "too_small", "without_means"
NO_MARGIN = "without_margin"
MONEY, MARGIN = "money", "margin"


@dataclass(slots=True)
class Fitter:
    """Fits the orders of one decision; what it changes of the state is in `state` afterwards.

    Nothing is held back for lack of coins while `has_strays`: those lock coins until they are gone.
    """

    view: View
    state: GridState
    has_strays: bool = False
    _found: dict[str, dict[str, Decimal | str | int]] = field(default_factory=dict)
    _left: dict[Side | str, Decimal] = field(default_factory=dict)
    # What stands of a neutral grid, and what goes out with this decision.
    _orders: OrderSums | None = None

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

        One that closes more than is held would open the other way, or sell what is not there. On a
        contract the margin may not reach to the last order that opens, for a grid that follows the
        price realises losses: it waits until there is more, as the venue would only refuse it.
        Where coins wait that the venue does not take, money may be missing for buys as well.
        """
        if self.view.market.kind is MarketKind.LINEAR and closing_side(self.view.params) is None:
            return self._within_margin(slot, price)
        kind = self._means_of(slot)
        if kind is None or self.has_strays:
            return slot
        if kind not in self._left:
            self._left[kind] = _unclaimed(self.view, kind)
        market, whole = self.view.market, slot.remaining
        cost = ONE if isinstance(kind, Side) else price * _share(self.view, kind)
        if whole * cost > self._left[kind]:
            quantity = market.quantity_down(max(ZERO, self._left[kind] / cost))
            if not market.is_tradable(quantity, price):
                why = NO_MARGIN if kind == MARGIN else NO_MEANS
                self._find(why, quantity=whole, price=price)
                return None
            slot, _ = shrunk(slot, slot.done.quantity + quantity)
            self._keep(gap, slot)
        self._left[kind] -= slot.remaining * cost
        return slot

    def _within_margin(self, slot: Slot, price: Decimal) -> Slot | None:
        """Return an order of a neutral grid, or None while the margin does not reach to it.

        Either side may open, and only what goes beyond the position binds margin.
        """
        holdings, params = self.view.holdings, self.view.params
        if self._orders is None:
            self._orders = standing_orders(self.view)
        stake, quantity = Stake(holdings.base, holdings.cost), slot.remaining
        value = quantity * price
        wanted = self._orders.plus(slot.side, quantity, value)
        needed = margin(stake, wanted, params.leverage)
        if needed > holdings.wallet and not only_closes(stake, slot.side, wanted):
            self._find(NO_MARGIN, quantity=quantity, price=price)
            return None
        self._orders = wanted
        return slot

    def _means_of(self, slot: Slot) -> Side | str | None:
        closing = closing_side(self.view.params)
        if slot.side is closing:
            return None if slot.opening is None else slot.side
        if self.view.market.kind is MarketKind.SPOT:
            return MONEY if self.state.told else None
        return None if closing is None else MARGIN

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


def _unclaimed(view: View, kind: Side | str) -> Decimal:
    """Return the coins (or the position, or the money) that no order claims which stands."""
    side = kind if isinstance(kind, Side) else _opening_side(view.params)
    standing = (o for o in view.orders if o.status not in FINAL and o.key.side is side)
    if isinstance(kind, Side):
        held = view.holdings.base if side is Side.SELL else -view.holdings.base
        return held - sum((order.remaining for order in standing), ZERO)
    value = sum(((order.price or view.price) * order.remaining for order in standing), ZERO)
    if kind == MONEY:
        return view.holdings.quote - value * _share(view, kind)
    bound: Decimal = (view.holdings.cost + value) / view.params.leverage
    return view.holdings.wallet - bound


def _opening_side(params: GridParams) -> Side:
    return Side.SELL if params.is_short else Side.BUY


def _share(view: View, kind: str) -> Decimal:
    """Return what an order takes of the money for each unit of its value.

    A contract's venue wants the fee beside the margin, also for the order that will close it.
    """
    market = view.market
    if kind == MONEY:
        return ONE + max(ZERO, market.buy_fee_in_quote(market.maker_fee))
    leverage: Decimal = view.params.leverage
    return ONE / leverage + 2 * max(ZERO, market.maker_fee)


def shrunk(slot: Slot, quantity: Decimal) -> tuple[Slot, Sums]:
    """Return a gap with a smaller order, and what of its opening that does not close."""
    if slot.opening is None:
        return replace(slot, quantity=quantity), NOTHING
    opening, left = parted(slot.opening, quantity, slot.quantity)
    return replace(slot, quantity=quantity, opening=opening), left


def fitting_entry(market: Market, quantity: Decimal, price: Decimal) -> Decimal:
    """Return the rest of the first trade rounded down to the lot, if the venue takes it so."""
    fitting = market.quantity_down(quantity)
    return fitting if market.is_tradable(fitting, price) else quantity
