"""Limits that every intent passes before it becomes an order, whoever had the idea."""

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal

from app.trading.contracts import OrderSums, Stake, exposures, margin, only_closes
from app.trading.intents import Cancel, Intent, Place, Plain, plain_values
from app.trading.market import BOOK_STEP, ONE, ZERO, Market, MarketKind
from app.trading.orders import (
    FINAL,
    Order,
    OrderKind,
    Purpose,
    Side,
    Status,
    trades_at_once,
)
from app.trading.strategy import View

CLOSING = frozenset({Purpose.CLOSE, Purpose.STOP})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bot may do at most; `halted` leaves it only cancelling and closing."""

    max_open_orders: int | None = None
    halted: bool = False


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Denied:
    """An order that was asked for and not allowed, with the code of the limit."""

    intent: Place
    code: str
    values: dict[str, Plain]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Intents that may go on, in their order, and those that may not."""

    allowed: tuple[Intent, ...]
    denied: tuple[Denied, ...]


@dataclass(slots=True)
class Budget:
    """Coins and cash that no open order has claimed yet, and how many orders stand.

    On a contract what counts is the margin instead.
    """

    base: Decimal
    quote: Decimal
    open_orders: int
    margin: "MarginLeft | None" = None


def check(intents: tuple[Intent, ...], view: View, limits: Limits = NO_LIMITS) -> Verdict:
    """Sort intents into allowed and denied; each allowed one uses up its part of the budget.

    A bot never commits more cash or coins than it holds, so never more than was put in and earned.
    """
    if not any(isinstance(intent, Place) for intent in intents):
        return Verdict(intents, ())
    budget = _contract_budget(view) if _is_contract(view) else budget_of(view)
    allowed: list[Intent] = []
    denied: list[Denied] = []
    for intent in intents:
        if isinstance(intent, Cancel):
            allowed.append(intent)
            continue
        broken = _broken_limit(intent, view, limits, budget)
        if broken is not None:
            denied.append(broken)
            continue
        _claim(budget, intent, view)
        allowed.append(intent)
    return Verdict(tuple(allowed), tuple(denied))


def budget_of(view: View) -> Budget:
    """Return what is free after all own orders that stand or may stand at the venue."""
    standing = 0
    coins = quote = ZERO
    for order in view.orders:
        if order.status in FINAL:
            continue
        standing += 1
        if order.key.side is Side.SELL:
            coins += order.remaining
        else:
            quote += order.remaining * _bound_by(order, view)
    return Budget(view.holdings.base - coins, view.holdings.quote - quote, standing)


def _bound_by(order: Order, view: View) -> Decimal:
    """Return what a buy on spot takes of the cash for each coin, from its decision to its end."""
    if order.price is None:
        return view.price * with_fee(OrderKind.MARKET, view.market)
    if order.status is Status.INTENDED:
        return cost_of_coin(view, order.price)
    return order.price * with_fee(OrderKind.LIMIT, view.market)


def _is_contract(view: View) -> bool:
    return view.market.kind is MarketKind.LINEAR


def _claim(budget: Budget, intent: Place, view: View) -> None:
    budget.open_orders += 1
    if budget.margin is not None:
        budget.margin.claim(intent.key.side, intent.quantity, _price_of(intent, view))
        return
    base, quote = _claims(intent, view)
    if intent.key.side is Side.BUY:
        budget.quote -= quote
    else:
        budget.base -= base


def _claims(intent: Place, view: View) -> tuple[Decimal, Decimal]:
    price = _price_of(intent, view)
    return intent.quantity, intent.quantity * cost_of_coin(view, price, intent.kind)


def _price_of(intent: Place, view: View) -> Decimal:
    return view.price if intent.price is None else intent.price


def cost_of_coin(view: View, price: Decimal, kind: OrderKind = OrderKind.LIMIT) -> Decimal:
    """Return what a buy on spot takes of the cash for each coin: at most, if it trades at once."""
    at_limit = price * with_fee(kind, view.market)
    if not trades_at_once(Side.BUY, price, view.price):
        return at_limit
    return max(at_limit, view.price * with_fee(OrderKind.MARKET, view.market))


def with_fee(kind: OrderKind, market: Market) -> Decimal:
    """Return what a buy on spot takes of the cash for each unit of its value."""
    rate = market.taker_fee if kind is OrderKind.MARKET else market.maker_fee
    return ONE + max(ZERO, market.buy_fee_in_quote(rate))


def _broken_limit(intent: Place, view: View, limits: Limits, budget: Budget) -> Denied | None:
    closing = intent.key.purpose in CLOSING
    if limits.halted and not closing:
        return Denied(intent, "halted", {})
    if not closing and _is_full(limits, view.market, budget):
        return _deny(intent, "too_many_open_orders", open=budget.open_orders)
    price = _price_of(intent, view)
    if not view.market.is_tradable(intent.quantity, price):
        return _deny(
            intent,
            "below_minimum_order",
            quantity=intent.quantity,
            price=price,
            min_quantity=view.market.min_quantity,
            min_notional=view.market.min_notional,
        )
    if budget.margin is not None:
        return _beyond_margin(intent, view, budget.margin)
    return _beyond_budget(intent, view, budget)


def _beyond_budget(intent: Place, view: View, budget: Budget) -> Denied | None:
    base, quote = _claims(intent, view)
    if intent.key.side is Side.BUY and quote > budget.quote:
        return _deny(intent, "over_budget", needed=quote, free=budget.quote)
    if intent.key.side is Side.SELL and base > budget.base:
        return _deny(intent, "not_enough_coins", needed=base, free=budget.base)
    return None


def margin_of(view: View) -> Decimal:
    """Return the margin that a contract's position and its standing orders need."""
    stake = Stake(view.holdings.base, view.holdings.cost)
    return margin(stake, standing_orders(view), _leverage_of(view))


def standing_orders(view: View) -> OrderSums:
    """Return the sums of all own orders that stand or may stand at the venue."""
    orders = OrderSums()
    for order in view.orders:
        if order.status not in FINAL:
            price = view.price if order.price is None else order.price
            orders = orders.plus(order.key.side, order.remaining, order.remaining * price)
    return orders


@dataclass(slots=True)
class MarginLeft:
    """What a contract's margin leaves for more orders: the one rule for who asks and who allows.

    A venue takes an order that only closes; any other one if the money behind the position is
    enough for its margin, that of all orders on the dearer side, and their fees. It wants the fee
    for closing as well, as Bybit does. So while losses have left less than what stands needs, it
    takes no other order, not even one on the side that binds no more margin: the fee of that has to
    be there too.

    An order that trades at once pays the fee of a market order, and a sale below the market's price
    opens at that price: after a leap much more is needed than its limit says.
    """

    view: View
    orders: OrderSums
    # By how much fees of orders that trade at once are above those of orders that rest.
    dearer: Decimal = ZERO

    @classmethod
    def of(cls, view: View) -> "MarginLeft":
        """Return what is left beside all own orders that stand or are on their way."""
        on_their_way = [order for order in view.orders if order.status is Status.INTENDED]
        others = (order for order in view.orders if order.status is not Status.INTENDED)
        left = cls(view, standing_orders(replace(view, orders=tuple(others))))
        for order in on_their_way:
            # They claim what they claimed when they were decided, or others would go out as well.
            left.claim(order.key.side, order.remaining, order.price or view.price)
        return left

    def claim(self, side: Side, quantity: Decimal, price: Decimal) -> None:
        """Count one more order."""
        value = quantity * self._opens_at(side, price)
        self.orders = self.orders.plus(side, quantity, value)
        if not only_closes(self._stake, side, self.orders):
            self.dearer += self._dearer(side, price, value, OrderKind.LIMIT)

    def lack(
        self, side: Side, quantity: Decimal, price: Decimal, kind: OrderKind = OrderKind.LIMIT
    ) -> Decimal:
        """Return how much money an order lacks; 0 or less if there is enough."""
        value = quantity * self._opens_at(side, price)
        orders = self.orders.plus(side, quantity, value)
        if only_closes(self._stake, side, orders):
            return ZERO
        dearer = self.dearer + self._dearer(side, price, value, kind)
        beside = self._bound(orders) + value * self._fees()
        needed = max(beside, *self._ways(orders).values()) + dearer
        return needed.quantize(BOOK_STEP, ROUND_CEILING) - self.wallet

    def room(self, side: Side, price: Decimal, kind: OrderKind = OrderKind.LIMIT) -> Decimal:
        """Return for how many coins an order finds enough that only opens."""
        ways = self._ways(self.orders)
        if max(ways.values()) > self.wallet:
            return ZERO
        # What is needed is rounded up.
        wallet = self.wallet - self.dearer - BOOK_STEP
        fees = self._fees(self._kind(side, price, kind))
        most = (wallet - ways[side]) / (ONE / self._leverage + fees)
        if fees:
            most = min(most, (wallet - self._bound(self.orders)) / fees)
        return max(ZERO, most / self._opens_at(side, price))

    @property
    def wallet(self) -> Decimal:
        """Return all money behind the position."""
        return self.view.holdings.wallet

    def _opens_at(self, side: Side, price: Decimal) -> Decimal:
        return price if side is Side.BUY else max(price, self.view.price)

    def _dearer(self, side: Side, price: Decimal, value: Decimal, kind: OrderKind) -> Decimal:
        return value * (self._fees(self._kind(side, price, kind)) - self._fees())

    def _kind(self, side: Side, price: Decimal, kind: OrderKind) -> OrderKind:
        return OrderKind.MARKET if trades_at_once(side, price, self.view.price) else kind

    def _ways(self, orders: OrderSums) -> dict[Side, Decimal]:
        """Return the margin each way, with the fees of the orders that open."""
        stake, held = self._stake, {Side.BUY: ZERO, Side.SELL: ZERO}
        held[Side.BUY if stake.base > 0 else Side.SELL] = stake.cost
        return {
            side: value / self._leverage + (value - held[side]) * self._fees()
            for side, value in exposures(stake, orders).items()
        }

    def _bound(self, orders: OrderSums) -> Decimal:
        """Return the margin of the dearer way alone."""
        return max(exposures(self._stake, orders).values()) / self._leverage

    def _fees(self, kind: OrderKind = OrderKind.LIMIT) -> Decimal:
        market = self.view.market
        return 2 * max(ZERO, market.taker_fee if kind is OrderKind.MARKET else market.maker_fee)

    @property
    def _stake(self) -> Stake:
        return Stake(self.view.holdings.base, self.view.holdings.cost)

    @property
    def _leverage(self) -> Decimal:
        return _leverage_of(self.view)


def _leverage_of(view: View) -> Decimal:
    found: Decimal = getattr(view.params, "leverage", ONE)
    return found


def _contract_budget(view: View) -> Budget:
    standing = sum(order.status not in FINAL for order in view.orders)
    left = MarginLeft.of(view)
    return Budget(view.holdings.base, view.holdings.wallet, standing, left)


def _beyond_margin(intent: Place, view: View, left: MarginLeft) -> Denied | None:
    """Deny what would turn the position of a one-way bot, or need more margin than there is."""
    orders = left.orders.plus(intent.key.side, intent.quantity, ZERO)
    direction = getattr(view.params, "direction", None)
    base = view.holdings.base
    opens = intent.key.purpose is Purpose.ENTRY
    if direction == "long" and not opens and orders.sells > max(ZERO, base):
        return _deny(intent, "would_open_short", quantity=orders.sells, held=base)
    if direction == "short" and not opens and orders.buys > max(ZERO, -base):
        return _deny(intent, "would_open_long", quantity=orders.buys, held=base)
    price = _price_of(intent, view)
    lack = left.lack(intent.key.side, intent.quantity, price, intent.kind)
    if lack > 0 and intent.key.purpose not in CLOSING:
        return _deny(intent, "over_margin", needed=left.wallet + lack, free=left.wallet)
    return None


def _is_full(limits: Limits, market: Market, budget: Budget) -> bool:
    caps = [cap for cap in (limits.max_open_orders, market.max_orders) if cap is not None]
    return bool(caps) and budget.open_orders >= min(caps)


def _deny(intent: Place, code: str, **values: Decimal | Plain) -> Denied:
    return Denied(intent, code, plain_values(values))
