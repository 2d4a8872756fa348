"""Limits that a person sets for a whole bot: beyond one of them it pauses and says why."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.trading.intents import Reason, reason
from app.trading.market import ONE, ZERO, exact
from app.trading.params import read_fields, write_fields
from app.trading.strategy import Field, FieldKind, InvalidParams


@dataclass(frozen=True, slots=True)
class Guard:
    """The limits of one bot; None where there is none. Money in its quote currency."""

    max_capital: Decimal | None = None
    max_daily_loss: Decimal | None = None
    max_open_orders: int | None = None
    max_leverage: Decimal | None = None


def _money(name: str) -> Field:
    return Field(name, FieldKind.DECIMAL, minimum=ZERO, open_minimum=True)


GUARD_FIELDS = (
    _money("max_capital"),
    _money("max_daily_loss"),
    Field("max_open_orders", FieldKind.INTEGER, minimum=ONE, maximum=Decimal(10_000)),
    Field("max_leverage", FieldKind.DECIMAL, minimum=ONE, maximum=Decimal(200)),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the limits are held against.

    `day_equity` is the value of the bot when the day began, `day_flows` the money put in (negative:
    taken out) since then, `exposure` the value of coins or position at the price.
    """

    capital: Decimal
    equity: Decimal
    day_equity: Decimal
    day_flows: Decimal
    open_orders: int
    exposure: Decimal


def read_guard(values: Mapping[str, object]) -> Guard:
    """Read limits; raise InvalidParams naming every bad field."""
    read, problems = read_fields(GUARD_FIELDS, values)
    if problems:
        raise InvalidParams(tuple(problems))
    known: dict[str, Any] = dict(read)
    return Guard(**known)


def write_guard(guard: Guard) -> dict[str, str | int | bool | None]:
    """Write limits as JSON-able values that `read_guard` reads back exactly."""
    return write_fields(GUARD_FIELDS, guard)


@exact
def broken(guard: Guard, facts: Facts) -> Reason | None:
    """Return which limit a bot is beyond, with the value and the limit, or None."""
    loss = facts.day_equity + facts.day_flows - facts.equity
    leverage = facts.exposure / facts.equity if facts.equity > 0 else None
    if leverage is None and facts.exposure > 0:
        leverage = guard.max_leverage and guard.max_leverage + ONE
    checks: tuple[tuple[str, Decimal | int | None, Decimal | int | None], ...] = (
        ("limit_max_capital", facts.capital, guard.max_capital),
        ("limit_daily_loss", loss, guard.max_daily_loss),
        ("limit_open_orders", facts.open_orders, guard.max_open_orders),
        ("limit_leverage", leverage, guard.max_leverage),
    )
    for code, value, limit in checks:
        if limit is not None and value is not None and value > limit:
            shown = value.quantize(Decimal("0.000001")) if isinstance(value, Decimal) else value
            return reason(code, value=shown, limit=limit)
    return None
