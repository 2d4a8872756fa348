"""Read a market's rules by their public names, as files and commands give them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.trading.funding import USUAL_INTERVAL_S
from app.trading.market import ONE, ZERO, FeeSide, MarginRule, Market, MarketKind
from app.trading.params import read_fields
from app.trading.strategies.grid_params import FIELDS, GridParams, read_grid
from app.trading.strategy import Field, FieldKind, InvalidParams, Problem

# Both words are in use for a contract settled in the quote currency.
MARKET_TYPES = {"spot": MarketKind.SPOT, "linear": MarketKind.LINEAR, "futures": MarketKind.LINEAR}


def _positive(name: str) -> Field:
    return Field(name, FieldKind.DECIMAL, minimum=ZERO, open_minimum=True)


def _rate(name: str, default: Decimal | None = None) -> Field:
    return Field(
        name, FieldKind.DECIMAL, default=default, minimum=-ONE, maximum=ONE, open_maximum=True
    )


MARKET_FIELDS = (
    Field("market_type", FieldKind.CHOICE, default="spot", choices=tuple(MARKET_TYPES)),
    _positive("price"),
    _rate("maker_fee", ZERO),
    _rate("taker_fee"),
    Field("fee_side", FieldKind.CHOICE, default="quote", choices=tuple(FeeSide)),
    _positive("tick"),
    _positive("lot"),
    Field("min_quantity", FieldKind.DECIMAL, minimum=ZERO),
    Field("min_notional", FieldKind.DECIMAL, minimum=ZERO),
    Field("max_orders", FieldKind.INTEGER, minimum=ONE, maximum=Decimal(100_000)),
    Field("funding_interval_s", FieldKind.INTEGER, minimum=ONE, maximum=Decimal(604_800)),
    Field("max_leverage", FieldKind.DECIMAL, minimum=ONE, maximum=Decimal(1000)),
    Field("margin_rule", FieldKind.CHOICE, default="wallet", choices=tuple(MarginRule)),
)
MARKET_NAMES = frozenset(field.name for field in MARKET_FIELDS)
GRID_NAMES = frozenset(field.name for field in FIELDS)


def read_market(
    values: Mapping[str, object], symbol: str = "BASE/QUOTE"
) -> tuple[Market, Decimal | None]:
    """Read a market and its price from public names; raise InvalidParams naming every bad field.

    Absent: maker_fee 0, taker_fee = maker_fee, fee_side quote, market_type spot; no tick or lot
    means unrounded. Other names are left to others.
    """
    own = {name: value for name, value in values.items() if name in MARKET_NAMES}
    found, problems = read_fields(MARKET_FIELDS, own)
    if problems:
        raise InvalidParams(tuple(problems))
    read: dict[str, Any] = dict(found)
    base, _, quote = symbol.partition("/")
    price: Decimal | None = read.pop("price")
    maker, taker = read.pop("maker_fee"), read.pop("taker_fee")
    kind = MARKET_TYPES[read.pop("market_type")]
    if kind is MarketKind.LINEAR and read["funding_interval_s"] is None:
        read["funding_interval_s"] = USUAL_INTERVAL_S
    market = Market(
        symbol=symbol,
        base=base,
        quote=quote,
        kind=kind,
        maker_fee=maker,
        taker_fee=maker if taker is None else taker,
        fee_side=FeeSide(read.pop("fee_side")),
        margin_rule=MarginRule(read.pop("margin_rule")),
        **read,
    )
    return market, price


def read_plan_input(
    values: Mapping[str, object],
) -> tuple[GridParams, Market, Decimal | None, list[str]]:
    """Read everything that a grid's plan takes, and the names that mean nothing to it.

    Here an absent reserve is 0 and money may be missing. Raise InvalidParams naming every bad
    field.
    """
    grid: dict[str, object] = {"reserve": ZERO}
    grid |= {name: value for name, value in values.items() if name in GRID_NAMES}
    try:
        params = read_grid(grid, needs_money=False)
    except InvalidParams as bad:
        raise InvalidParams((*bad.problems, *_market_problems(values))) from bad
    market, price = read_market(values)
    unknown = [name for name in values if name not in GRID_NAMES | MARKET_NAMES]
    return params, market, price, unknown


def _market_problems(values: Mapping[str, object]) -> tuple[Problem, ...]:
    try:
        read_market(values)
    except InvalidParams as bad:
        return bad.problems
    return ()
