"""Limits that every intent passes before it becomes an order, whoever had the idea."""

from dataclasses import dataclass
from decimal import Decimal

from app.trading.contracts import OrderSums, Stake, margin
from app.trading.intents import Cancel, Intent, Place, Plain, plain_values
from app.trading.market import ONE, ZERO, Market, MarketKind
from app.trading.orders import FINAL, OrderKind, Purpose, Side
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

    On a contract the position and the `orders` around it count against the margin instead.
    """

    base: Decimal
    quote: Decimal
    open_orders: int
    orders: OrderSums = OrderSums()


def check(intents: tuple[Intent, ...], view: View, limits: Limits = NO_LIMITS) -> Verdict:
    """Sort intents into allowed and denied; each allowed one uses up its part of the budget.

    A bot never commits more cash or coins than it holds, so never more than was put in and earned.
    """
    if not any(isinstance(intent, Place) for intent in intents):
        return Verdict(intents, ())
    contract = view.market.kind is MarketKind.LINEAR
    budget = _contract_budget(view) if contract else budget_of(view)
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
        if contract:
            budget.open_orders += 1
            budget.orders = _with_intent(budget.orders, intent, view)
        else:
            _claim(budget, intent.key.side, *_claims(intent, view))
        allowed.append(intent)
    return Verdict(tuple(allowed), tuple(denied))


def budget_of(view: View) -> Budget:
    """Return what is free after all own orders that stand or may stand at the venue."""
    standing = 0
    coins = resting = at_market = ZERO
    for order in view.orders:
        if order.status in FINAL:
            continue
        standing += 1
        if order.key.side is Side.SELL:
            coins += order.quantity - order.filled
        elif order.price is None:
            at_market += view.price * (order.quantity - order.filled)
        else:
            resting += order.price * (order.quantity - order.filled)
    quote = resting * _with_fee(OrderKind.LIMIT, view.market)
    quote += at_market * _with_fee(OrderKind.MARKET, view.market)
    return Budget(view.holdings.base - coins, view.holdings.quote - quote, standing)


def _claim(budget: Budget, side: Side, base: Decimal, quote: Decimal) -> None:
    budget.open_orders += 1
    if side is Side.BUY:
        budget.quote -= quote
    else:
        budget.base -= base


def _claims(intent: Place, view: View) -> tuple[Decimal, Decimal]:
    price = view.price if intent.price is None else intent.price
    return intent.quantity, intent.quantity * price * _with_fee(intent.kind, view.market)


def _with_fee(kind: OrderKind, market: Market) -> Decimal:
    rate = market.taker_fee if kind is OrderKind.MARKET else market.maker_fee
    return ONE + max(ZERO, market.buy_fee_in_quote(rate))


def _broken_limit(intent: Place, view: View, limits: Limits, budget: Budget) -> Denied | None:
    closing = intent.key.purpose in CLOSING
    if limits.halted and not closing:
        return Denied(intent, "halted", {})
    if not closing and _is_full(limits, view.market, budget):
        return _deny(intent, "too_many_open_orders", open=budget.open_orders)
    price = view.price if intent.price is None else intent.price
    if not view.market.is_tradable(intent.quantity, price):
        return _deny(
            intent,
            "below_minimum_order",
            quantity=intent.quantity,
            price=price,
            min_quantity=view.market.min_quantity,
            min_notional=view.market.min_notional,
        )
    if view.market.kind is MarketKind.LINEAR:
        return _beyond_margin(intent, view, budget)
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
    leverage = getattr(view.params, "leverage", ONE)
    return margin(stake, standing_orders(view), leverage)


def standing_orders(view: View) -> OrderSums:
    """Return the sums of all own orders that stand or may stand at the venue."""
    orders = OrderSums()
    for order in view.orders:
        if order.status not in FINAL:
            price = view.price if order.price is None else order.price
            orders = orders.plus(order.key.side, order.remaining, order.remaining * price)
    return orders


def _contract_budget(view: View) -> Budget:
    standing = sum(order.status not in FINAL for order in view.orders)
    return Budget(view.holdings.base, view.holdings.wallet, standing, standing_orders(view))


def _with_intent(orders: OrderSums, intent: Place, view: View) -> OrderSums:
    price = view.price if intent.price is None else intent.price
    return orders.plus(intent.key.side, intent.quantity, intent.quantity * price)


def _beyond_margin(intent: Place, view: View, budget: Budget) -> Denied | None:
    """Deny what would turn the position of a one-way bot, or need more margin than there is."""
    orders = _with_intent(budget.orders, intent, view)
    direction = getattr(view.params, "direction", None)
    base = view.holdings.base
    opens = intent.key.purpose is Purpose.ENTRY
    if direction == "long" and not opens and orders.sells > max(ZERO, base):
        return _deny(intent, "would_open_short", quantity=orders.sells, held=base)
    if direction == "short" and not opens and orders.buys > max(ZERO, -base):
        return _deny(intent, "would_open_long", quantity=orders.buys, held=base)
    leverage = getattr(view.params, "leverage", ONE)
    stake = Stake(base, view.holdings.cost)
    needed = margin(stake, orders, leverage)
    if needed > budget.quote and needed > margin(stake, budget.orders, leverage):
        return _deny(intent, "over_margin", needed=needed, free=budget.quote)
    return None


def _is_full(limits: Limits, market: Market, budget: Budget) -> bool:
    caps = [cap for cap in (limits.max_open_orders, market.max_orders) if cap is not None]
    return bool(caps) and budget.open_orders >= min(caps)


def _deny(intent: Place, code: str, **values: Decimal | Plain) -> Denied:
    return Denied(intent, code, plain_values(values))
