"""The ends of a grid: what is held, lost or liquidated after every order of a side has filled."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from app.trading.contracts import Stake, forced_close, position_margin
from app.trading.market import ONE, ZERO, MarginRule, Market, MarketKind
from app.trading.orders import Side
from app.trading.strategies.grid_levels import LEVEL_DIGITS
from app.trading.strategies.grid_params import Direction, GridParams

# So many round trips in a row at one end of the range are looked at.
MOST_TRIPS = 20


@dataclass(frozen=True, slots=True)
class WorstCase:
    """What is held when the price stands at the bad end of the range and every order filled.

    `coins` are negative for a short position. `loss` is money put in less `value`; `break_even`
    the price at which closing gives the money back. Where the venue closes the position by force
    on the way, `price` is that of the closing, and no coins are left.
    """

    price: Decimal
    coins: Decimal
    value: Decimal
    loss: Decimal
    loss_share: Decimal
    break_even: Decimal | None


@dataclass(frozen=True, slots=True)
class Liquidation:
    """Where a contract is liquidated after every buy (`below`) or every sell (`above`) filled.

    Or earlier, where the margin of what is filled until then does not reach to the next order.
    """

    below: Decimal | None = None
    above: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The last order of a side at `price` lacks margin after so many round trips there.

    `needed` is the money that would have kept it placed through all that were looked at.
    """

    price: Decimal
    trips: int
    needed: Decimal


class Ends(NamedTuple):
    """The sums of a plan from which its ends follow; `first` is negative for a first short sale.

    `buys` and `sells` are the orders of each side, price and quantity, lowest price first.
    """

    first: Decimal
    investment: Decimal
    bought: Decimal
    buys_value: Decimal
    sold: Decimal
    sells_value: Decimal
    buys: tuple[tuple[Decimal, Decimal], ...] = ()
    sells: tuple[tuple[Decimal, Decimal], ...] = ()


class Found(NamedTuple):
    """The worse end of a grid, its liquidation prices, and where its margin runs short."""

    worst: WorstCase | None
    liquidation: Liquidation | None
    shortfalls: tuple[Shortfall, ...] = ()


class _Close(NamedTuple):
    price: Decimal
    margin: Decimal


class _End(NamedTuple):
    price: Decimal
    coins: Decimal
    cash: Decimal
    wallet: Decimal
    close: _Close | None
    shortfall: Shortfall | None = None


def ends_of(params: GridParams, market: Market, price: Decimal, sums: Ends) -> Found:
    """Return the worse end of a grid; contracts have liquidation prices too.

    For a grid the entry price is the average over all levels of the side, and the wallet is all
    its money less the fees.
    """
    below = None if params.is_short else _after_buys(params, market, price, sums)
    falls_only = params.direction is Direction.LONG or params.infinity
    above = None if falls_only else _after_sells(params, market, price, sums)
    worst = [_worst(end, market, sums.investment) for end in (below, above) if end is not None]
    if market.kind is MarketKind.SPOT:
        return Found(max(worst, key=_loss), None)
    found = Liquidation(*(end and end.close and end.close.price for end in (below, above)))
    ends = tuple(end.shortfall for end in (below, above) if end is not None and end.shortfall)
    return Found(max(worst, key=_loss), found, ends)


def _loss(worst: WorstCase) -> Decimal:
    return worst.loss


def _after_buys(params: GridParams, market: Market, price: Decimal, sums: Ends) -> _End:
    maker, taker = market.maker_fee, market.taker_fee
    coins = sums.first * (ONE - market.buy_fee_in_base(taker))
    coins += sums.bought * (ONE - market.buy_fee_in_base(maker))
    value = sums.first * price + sums.buys_value
    fees = sums.first * price * market.buy_fee_in_quote(taker)
    fees += sums.buys_value * market.buy_fee_in_quote(maker)
    wallet = sums.investment - fees
    close = shortfall = None
    if market.kind is MarketKind.LINEAR:
        orders = sums.buys[::-1]
        stakes = _stakes(Stake(sums.first, sums.first * price), Side.BUY, orders)
        close = _close(stakes, wallet, params, market)
        across = _across(params, orders, sums.sells)
        shortfall = _shortfall(stakes[-1][1], Side.BUY, orders, wallet, params, market, across)
    return _End(params.lower, coins, wallet - value, wallet, close, shortfall)


def _after_sells(params: GridParams, market: Market, price: Decimal, sums: Ends) -> _End:
    # `first` is 0 (neutral) or what was sold short first.
    short = sums.sold - sums.first
    value = sums.sells_value - sums.first * price
    fees = sums.sells_value * market.maker_fee - sums.first * price * market.taker_fee
    wallet = sums.investment - fees
    stakes = _stakes(Stake(sums.first, -sums.first * price), Side.SELL, sums.sells)
    close = _close(stakes, wallet, params, market)
    across = _across(params, sums.sells, sums.buys[::-1])
    shortfall = _shortfall(stakes[-1][1], Side.SELL, sums.sells, wallet, params, market, across)
    return _End(params.upper, -short, wallet + value, wallet, close, shortfall)


_Way = Sequence[tuple[Decimal | None, Stake]]


def _stakes(begin: Stake, side: Side, orders: Sequence[tuple[Decimal, Decimal]]) -> _Way:
    """Return the position before each order as the price goes that way, with its price, and last.

    The last one has no next order.
    """
    stakes: list[tuple[Decimal | None, Stake]] = []
    for price, quantity in orders:
        stakes.append((price, begin))
        begin, _ = begin.after(side, price, quantity)
    return [*stakes, (None, begin)]


def _close(stakes: _Way, wallet: Decimal, params: GridParams, market: Market) -> _Close | None:
    if market.margin_rule is MarginRule.WALLET:
        # Each order adds to the position, not to what stands behind it: the end is the worst.
        stakes = stakes[-1:]
    for following, stake in stakes:
        price = forced_close(stake, wallet, params.leverage, market)
        if price is None:
            continue
        reached = following is None or stake.sign * (price - following) >= 0
        if reached:
            return _Close(price, position_margin(stake, params.leverage))
    return None


def _shortfall(
    stake: Stake,
    side: Side,
    orders: Sequence[tuple[Decimal, Decimal]],
    wallet: Decimal,
    params: GridParams,
    market: Market,
    across: Decimal,
) -> Shortfall | None:
    """Return where round trips at the end of a side leave too little margin for its last order.

    Venues count at average cost: closing at that end realises a loss, though the trip earned, and
    opening again makes the position dearer. The wallet pays both, so a thin one runs short there.
    The dearer side binds margin, which may be orders `across` that would open the other way.
    """
    if len(orders) <= 1:
        return None
    (before, _), (price, quantity) = orders[-2:]
    back = Side.SELL if side is Side.BUY else Side.BUY
    fees = quantity * (price + before) * market.maker_fee
    trips, needed = 0, ZERO
    for trip in range(MOST_TRIPS + 1):
        lack = max(position_margin(stake, params.leverage), across) - wallet
        if lack > 0 and trip == 0:
            # Short from the start: the reserve is warned of.
            return None
        if lack > needed:
            trips, needed = trips or trip, lack
        left, gained = stake.after(back, before, quantity)
        stake, _ = left.after(side, price, quantity)
        wallet += gained - fees
    return Shortfall(price, trips, needed) if trips else None


def _across(
    params: GridParams,
    filled: Sequence[tuple[Decimal, Decimal]],
    others: Sequence[tuple[Decimal, Decimal]],
) -> Decimal:
    """Return the margin of orders that open the other way while all of a side has filled.

    A neutral grid has them: they stand together with those that close, each at its average price.
    """
    if params.direction is not Direction.NEUTRAL or not others or len(filled) <= 1:
        return ZERO
    # Each closes one level nearer to where it began, the first one just beside the other side.
    step = filled[0][0] - filled[1][0]
    closing = [(filled[0][0] + step, filled[0][1])]
    closing += [(near, quantity) for (near, _), (_, quantity) in pairwise(filled)]
    standing = [*closing[:-1], *others]
    value = sum((price * quantity for price, quantity in standing), ZERO)
    coins = sum((quantity for _, quantity in standing), ZERO)
    opening = sum((quantity for _, quantity in others), ZERO)
    # No order has a size where the money is too little for a single lot.
    return value * opening / coins / params.leverage if coins else ZERO


def _worst(end: _End, market: Market, investment: Decimal) -> WorstCase:
    closed = _closed_on_the_way(end, market)
    if closed is not None:
        value = end.wallet - closed.margin
        return WorstCase(closed.price, ZERO, value, *_losses(investment, value), None)
    value = end.cash + end.coins * end.price
    taker = market.taker_fee if end.coins > 0 else -market.taker_fee
    left = end.coins * (ONE - taker)
    return WorstCase(
        end.price,
        end.coins,
        value,
        *_losses(investment, value),
        LEVEL_DIGITS.plus((investment - end.cash) / left) if left else None,
    )


def _closed_on_the_way(end: _End, market: Market) -> _Close | None:
    if market.margin_rule is MarginRule.WALLET or end.close is None:
        return None
    before = end.close.price - end.price
    return end.close if (before > 0 if end.coins > 0 else before < 0) else None


def _losses(investment: Decimal, value: Decimal) -> tuple[Decimal, Decimal]:
    loss = investment - value
    return loss, LEVEL_DIGITS.plus(loss / investment) if investment else ZERO
