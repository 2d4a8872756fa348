"""Figures for one input, whatever it asks: a plan, a trailing grid, a round trip, a liquidation."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.money import exact_text
from app.trading.backtest import Replay
from app.trading.contracts import liquidation_price
from app.trading.inputs import read_plan_input
from app.trading.market import FeeSide, PricePoint, exact
from app.trading.orders import Side, Status
from app.trading.params import BadValue, read_decimal
from app.trading.strategies.grid import GRID
from app.trading.strategies.grid_levels import cycle, profit_bounds, ratio
from app.trading.strategies.grid_params import Spacing
from app.trading.strategies.grid_plan import plan_grid
from app.trading.strategies.grid_trail import steps_of
from app.trading.strategy import InvalidParams, problem

HUNDRED = Decimal(100)
BEGAN = datetime(2000, 1, 1, tzinfo=UTC)


def kind_of(values: Mapping[str, object]) -> str:
    """Say what an input asks for, by the names that only it has."""
    marks = {
        "liquidation": "entry_price",
        "cycle": "buy_quantity",
        "trailing": "then_price",
        "profit": "fee",
    }
    found = next((kind for kind, name in marks.items() if name in values), "plan")
    return "plan" if found == "profit" and "price" in values else found


def figures_for(values: Mapping[str, object]) -> dict[str, Any] | None:
    """Return the figures of an input that asks for more than a plan or another thing, else None.

    Raise InvalidParams naming a bad field.
    """
    found = FIGURES.get(kind_of(values))
    if found is None:
        return None
    try:
        return found(values)
    except (KeyError, ValueError, ArithmeticError) as error:
        if isinstance(error, InvalidParams):
            raise
        name = error.args[0] if isinstance(error, KeyError) else "input"
        code = "missing" if isinstance(error, KeyError) else "not_a_number"
        raise InvalidParams((problem(str(name), code),)) from error


@exact
def liquidation_figures(values: Mapping[str, object]) -> dict[str, Any]:
    """Return where an isolated position is liquidated."""
    side = {"long": Side.BUY, "short": Side.SELL}.get(str(values["side"]))
    if side is None:
        said = str(values["side"])[:40]
        raise InvalidParams((problem("side", "not_a_choice", value=said, choices="long, short"),))
    price = liquidation_price(
        side,
        _number(values, "quantity"),
        _number(values, "entry_price"),
        _number(values, "wallet_balance"),
        _number(values, "maintenance_rate"),
        _number(values, "maintenance_amount", "0"),
    )
    return {"price": _text(price)}


@exact
def cycle_figures(values: Mapping[str, object]) -> dict[str, Any]:
    """Return what one round trip brings after fees."""
    found = cycle(
        _number(values, "buy"),
        _number(values, "sell"),
        _number(values, "buy_quantity"),
        _number(values, "sell_quantity"),
        _number(values, "fee"),
        FeeSide(str(values.get("fee_side", FeeSide.QUOTE))),
    )
    return {"grid_profit": _text(found.grid_profit), "fees_in_quote": _text(found.fees_in_quote)}


@exact
def profit_figures(values: Mapping[str, object]) -> dict[str, Any]:
    """Return the least and the greatest net profit of a grid's round trips."""
    lower, upper = _number(values, "lower"), _number(values, "upper")
    grids = int(_number(values, "grids"))
    spacing = Spacing(str(values.get("spacing", Spacing.ARITHMETIC)))
    side = FeeSide(str(values.get("fee_side", FeeSide.QUOTE)))
    least, most = profit_bounds(lower, upper, grids, spacing, _number(values, "fee"), side)
    return {
        "lowest_percent": _text(least * HUNDRED),
        "highest_percent": _text(most * HUNDRED),
        "profit_percent": _text(least * HUNDRED),
        "ratio": _text(ratio(lower, upper, grids)),
    }


@exact
def trailing_figures(values: Mapping[str, object]) -> dict[str, Any]:
    """Return the orders of a grid before and after the price went elsewhere, by running it."""
    then = _number(values, "then_price")
    asked = {name: value for name, value in values.items() if name != "then_price"}
    params, market, price, _ = read_plan_input(asked)
    if price is None:
        raise KeyError("price")
    if params.investment is None and params.quantity is None:
        # Any size shows where the orders stand.
        params = replace(params, quantity=Decimal(1))
    plan = plan_grid(params, market, price)
    if plan.errors:
        raise InvalidParams(plan.errors)
    replay = Replay(GRID, params, market, plan.investment or Decimal(0))
    replay.see(PricePoint(1, BEGAN, price))
    before = {name for name, order in replay.orders.items() if order.status.is_live}
    replay.see(PricePoint(2, BEGAN, then))
    steps = steps_of(params, market, replay.state)
    gone = [o for o in replay.orders.values() if o.status is Status.CANCELLED]
    new = [o for name, o in replay.live.items() if name not in before]
    buys = [o.price for o in new if o.key.side is Side.BUY and o.price is not None]
    return {
        "before": {
            "buys": [_text(order.price) for order in plan.buys or ()],
            "empty_level": _text(plan.empty_level or Decimal(0)),
            "sells": [_text(order.price) for order in plan.sells or ()],
        },
        "after": {
            "cancelled": [_text(order.price or Decimal(0)) for order in gone],
            "new_buy": _text(max(buys)) if buys else None,
            "lower": _text(steps.levels[0]),
            "upper": _text(steps.levels[-1]),
        },
    }


FIGURES: dict[str, Callable[[Mapping[str, object]], dict[str, Any]]] = {
    "liquidation": liquidation_figures,
    "cycle": cycle_figures,
    "profit": profit_figures,
    "trailing": trailing_figures,
}


def _number(values: Mapping[str, object], name: str, default: str | None = None) -> Decimal:
    value = values.get(name, default)
    if value is None:
        raise KeyError(name)
    try:
        return read_decimal(value)
    except BadValue as bad:
        raise InvalidParams((problem(name, bad.code, **bad.values_said),)) from bad


def _text(value: Decimal) -> str:
    return exact_text(value)
