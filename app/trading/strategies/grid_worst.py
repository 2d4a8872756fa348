"""The ends of a grid: what is held, lost or liquidated after every order of a side has filled."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from app.trading.contracts import Stake, liquidation_of
from app.trading.market import ONE, ZERO, Market, MarketKind
from app.trading.strategies.grid_levels import LEVEL_DIGITS
from app.trading.strategies.grid_params import Direction, GridParams


@dataclass(frozen=True, slots=True)
class WorstCase:
    """What is held when the price stands at the bad end of the range and every order filled.

    `coins` are negative for a short position. `loss` is money put in less `value`; `break_even`
    the price at which closing gives the money back.
    """

    price: Decimal
    coins: Decimal
    value: Decimal
    loss: Decimal
    loss_share: Decimal
    break_even: Decimal | None


@dataclass(frozen=True, slots=True)
class Liquidation:
    """Where a contract is liquidated after every buy (`below`) or every sell (`above`) filled."""

    below: Decimal | None = None
    above: Decimal | None = None


class Ends(NamedTuple):
    """The sums of a plan from which its ends follow; `first` is negative for a first short sale."""

    first: Decimal
    investment: Decimal
    bought: Decimal
    buys_value: Decimal
    sold: Decimal
    sells_value: Decimal


class Found(NamedTuple):
    """The worse end of a grid, and its liquidation prices."""

    worst: WorstCase | None
    liquidation: Liquidation | None


class _End(NamedTuple):
    price: Decimal
    coins: Decimal
    cash: Decimal
    stake: Stake
    wallet: Decimal


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
    found = Liquidation(
        None if below is None else liquidation_of(below.stake, below.wallet, market.tiers),
        None if above is None else liquidation_of(above.stake, above.wallet, market.tiers),
    )
    return Found(max(worst, key=_loss), found)


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
    return _End(params.lower, coins, wallet - value, Stake(coins, value), wallet)


def _after_sells(params: GridParams, market: Market, price: Decimal, sums: Ends) -> _End:
    # `first` is 0 (neutral) or what was sold short first.
    short = sums.sold - sums.first
    value = sums.sells_value - sums.first * price
    fees = sums.sells_value * market.maker_fee - sums.first * price * market.taker_fee
    wallet = sums.investment - fees
    return _End(params.upper, -short, wallet + value, Stake(-short, value), wallet)


def _worst(end: _End, market: Market, investment: Decimal) -> WorstCase:
    value = end.cash + end.coins * end.price
    taker = market.taker_fee if end.coins > 0 else -market.taker_fee
    left = end.coins * (ONE - taker)
    loss = investment - value
    return WorstCase(
        price=end.price,
        coins=end.coins,
        value=value,
        loss=loss,
        loss_share=LEVEL_DIGITS.plus(loss / investment) if investment else ZERO,
        break_even=LEVEL_DIGITS.plus((investment - end.cash) / left) if left else None,
    )
