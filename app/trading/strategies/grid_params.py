"""The parameters of a grid, and how they are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.trading.market import ONE, ZERO
from app.trading.params import Value, read_fields
from app.trading.strategy import Field, FieldKind, InvalidParams, Problem, StopHow, problem

FEWEST_GRIDS = 2
MOST_GRIDS = 1000


class Spacing(StrEnum):
    """Whether neighbouring levels have the same distance or the same ratio."""

    ARITHMETIC = "arithmetic"
    GEOMETRIC = "geometric"


class Sizing(StrEnum):
    """Whether each order has the same quantity of coins or the same value."""

    EQUAL_BASE = "equal_base"
    EQUAL_QUOTE = "equal_quote"


class Direction(StrEnum):
    """What the grid holds when it starts: coins, nothing, or a debt of coins."""

    LONG = "long"
    NEUTRAL = "neutral"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class GridParams:
    """A grid of `grids` gaps, so `grids` + 1 levels, both bounds included.

    `reserve` is the share of the investment that stays aside for fees and slippage. With
    `quantity` the order size is given and the money needed follows from it.
    """

    lower: Decimal
    upper: Decimal
    grids: int
    spacing: Spacing = Spacing.ARITHMETIC
    sizing: Sizing = Sizing.EQUAL_BASE
    investment: Decimal | None = None
    quantity: Decimal | None = None
    reserve: Decimal = ZERO
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    at_exit: StopHow = StopHow.KEEP
    direction: Direction = Direction.LONG
    leverage: Decimal = ONE
    trailing_up: bool = False


def _money(name: str, *, required: bool = False) -> Field:
    return Field(name, FieldKind.DECIMAL, required, minimum=ZERO, open_minimum=True)


def _choice(name: str, choices: type[StrEnum], default: StrEnum) -> Field:
    values = tuple(choice.value for choice in choices)
    return Field(name, FieldKind.CHOICE, default=default.value, choices=values)


FIELDS = (
    _money("lower", required=True),
    _money("upper", required=True),
    Field("grids", FieldKind.INTEGER, required=True),
    _choice("spacing", Spacing, Spacing.ARITHMETIC),
    _choice("sizing", Sizing, Sizing.EQUAL_BASE),
    _money("investment"),
    _money("quantity"),
    Field(
        "reserve",
        FieldKind.DECIMAL,
        default=Decimal("0.01"),
        minimum=ZERO,
        maximum=ONE,
        open_maximum=True,
    ),
    _money("take_profit"),
    _money("stop_loss"),
    Field("at_exit", FieldKind.CHOICE, default="keep", choices=("keep", "sell")),
    _choice("direction", Direction, Direction.LONG),
    Field("leverage", FieldKind.DECIMAL, default=ONE, minimum=ONE, maximum=Decimal(200)),
    Field("trailing_up", FieldKind.FLAG, default=False),
)


def read_grid(values: Mapping[str, object], *, needs_money: bool = True) -> GridParams:
    """Read a grid; raise InvalidParams naming every bad field.

    Either `investment` or `quantity` is needed, unless only the levels are wanted.
    """
    read, problems = read_fields(FIELDS, values)
    wrong = {found.field for found in problems}
    problems += [found for found in _check_together(read) if found.field not in wrong]
    no_money = read.get("investment") is None and read.get("quantity") is None
    if needs_money and no_money and "investment" not in wrong and "quantity" not in wrong:
        problems.append(problem("investment", "missing"))
    if problems:
        raise InvalidParams(tuple(problems))
    return _grid_of(read)


def _grid_of(read: Mapping[str, Any]) -> GridParams:
    enums = {
        "spacing": Spacing(read["spacing"]),
        "sizing": Sizing(read["sizing"]),
        "at_exit": StopHow(read["at_exit"]),
        "direction": Direction(read["direction"]),
    }
    return GridParams(**{**read, **enums})


def _check_together(read: Mapping[str, Value]) -> list[Problem]:
    problems = []
    lower, upper, grids = read.get("lower"), read.get("upper"), read.get("grids")
    if isinstance(lower, Decimal) and isinstance(upper, Decimal) and upper <= lower:
        problems.append(problem("upper", "invalid_range", lower=lower, upper=upper))
    if isinstance(grids, int) and not FEWEST_GRIDS <= grids <= MOST_GRIDS:
        problems.append(
            problem(
                "grids", "grids_out_of_range", value=grids, minimum=FEWEST_GRIDS, maximum=MOST_GRIDS
            )
        )
    if read.get("quantity") is not None and read.get("sizing") == Sizing.EQUAL_QUOTE:
        problems.append(problem("quantity", "quantity_needs_equal_base"))
    stop, target = read.get("stop_loss"), read.get("take_profit")
    if isinstance(stop, Decimal) and isinstance(target, Decimal) and stop >= target:
        problems.append(
            problem("stop_loss", "stop_loss_above_take_profit", stop_loss=stop, take_profit=target)
        )
    return problems
