"""The parameters of a grid, and how they are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.trading.market import ONE, ZERO, booked, exact
from app.trading.params import Value, read_fields, write_fields
from app.trading.strategy import Field, FieldKind, InvalidParams, Problem, StopHow, problem

FEWEST_GRIDS = 2
MOST_GRIDS = 1000
# The share of the investment that stays aside for fees unless another one is asked for.
USUAL_RESERVE = Decimal("0.01")
# A grid without a top plans some levels ahead: with greater steps their prices are no numbers.
MOST_INFINITE_STEP = Decimal(10)
LEVEL_FIELDS = frozenset({"lower", "upper", "grids", "step", "spacing", "infinity"})


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


class ProfitUse(StrEnum):
    """What becomes of the profit of round trips: it stays aside, or orders grow by it."""

    SET_ASIDE = "set_aside"
    REINVEST = "reinvest"


@dataclass(frozen=True, slots=True)
class GridParams:
    """A grid of `grids` gaps, so `grids` + 1 levels, both bounds included.

    With `step` (a price, or a fraction if geometric) the levels are counted off from the lower
    price, and `upper` is the highest that fits. An `infinity` grid has no upper price: `upper` and
    `grids` are then its first step. `reserve` is the share of the investment that stays aside for
    fees and slippage. With `quantity` the order size is given and the money needed follows from it.
    `take_profit_share` and `stop_loss_share` are fractions of the money that was in at the start.
    """

    lower: Decimal
    upper: Decimal
    grids: int
    step: Decimal | None = None
    spacing: Spacing = Spacing.ARITHMETIC
    sizing: Sizing = Sizing.EQUAL_BASE
    investment: Decimal | None = None
    quantity: Decimal | None = None
    reserve: Decimal = ZERO
    trigger_price: Decimal | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit_share: Decimal | None = None
    stop_loss_share: Decimal | None = None
    at_exit: StopHow = StopHow.KEEP
    direction: Direction = Direction.LONG
    leverage: Decimal = ONE
    trailing_up: bool = False
    trailing_up_limit: Decimal | None = None
    trailing_down: bool = False
    trailing_down_limit: Decimal | None = None
    infinity: bool = False
    profit_use: ProfitUse = ProfitUse.SET_ASIDE
    max_resting: int | None = None

    @property
    def is_short(self) -> bool:
        """Say whether the grid owes coins instead of holding them."""
        return self.direction is Direction.SHORT


def _money(name: str, *, required: bool = False, unless: str | None = None) -> Field:
    return Field(
        name,
        FieldKind.DECIMAL,
        required,
        minimum=ZERO,
        open_minimum=True,
        required_unless=unless,
    )


def _choice(name: str, choices: type[StrEnum], default: StrEnum) -> Field:
    values = tuple(choice.value for choice in choices)
    return Field(name, FieldKind.CHOICE, default=default.value, choices=values)


def _flag(name: str) -> Field:
    return Field(name, FieldKind.FLAG, default=False)


FIELDS = (
    _money("lower", required=True),
    _money("upper", required=True, unless="infinity"),
    Field("grids", FieldKind.INTEGER, required=True, required_unless="step"),
    _money("step"),
    _choice("spacing", Spacing, Spacing.ARITHMETIC),
    _choice("sizing", Sizing, Sizing.EQUAL_BASE),
    _money("investment"),
    _money("quantity"),
    Field(
        "reserve",
        FieldKind.DECIMAL,
        default=USUAL_RESERVE,
        minimum=ZERO,
        maximum=ONE,
        open_maximum=True,
    ),
    _money("trigger_price"),
    _money("take_profit"),
    _money("stop_loss"),
    Field(
        "take_profit_share",
        FieldKind.DECIMAL,
        minimum=ZERO,
        maximum=Decimal(1000),
        open_minimum=True,
    ),
    Field("stop_loss_share", FieldKind.DECIMAL, minimum=ZERO, maximum=ONE, open_minimum=True),
    Field("at_exit", FieldKind.CHOICE, default="keep", choices=("keep", "sell")),
    _choice("direction", Direction, Direction.LONG),
    Field("leverage", FieldKind.DECIMAL, default=ONE, minimum=ONE, maximum=Decimal(200)),
    _flag("trailing_up"),
    _money("trailing_up_limit"),
    _flag("trailing_down"),
    _money("trailing_down_limit"),
    _flag("infinity"),
    _choice("profit_use", ProfitUse, ProfitUse.SET_ASIDE),
    Field("max_resting", FieldKind.INTEGER, minimum=Decimal(2), maximum=Decimal(MOST_GRIDS)),
)


def read_grid(values: Mapping[str, object], *, needs_money: bool = True) -> GridParams:
    """Read a grid; raise InvalidParams naming every bad field.

    Either `investment` or `quantity` is needed, unless only the levels are wanted.
    """
    read, problems = read_fields(FIELDS, values)
    wrong = {found.field for found in problems}
    problems += [found for found in _levels(read, wrong) if found.field not in wrong]
    wrong = {found.field for found in problems}
    problems += [found for found in _check_together(read) if found.field not in wrong]
    no_money = read.get("investment") is None and read.get("quantity") is None
    if needs_money and no_money and "investment" not in wrong and "quantity" not in wrong:
        problems.append(problem("investment", "missing"))
    if problems:
        raise InvalidParams(tuple(problems))
    return _grid_of(read)


def write_grid(params: GridParams) -> dict[str, str | int | bool | None]:
    """Write a grid as JSON-able values that `read_grid` reads back exactly."""
    written = write_fields(FIELDS, params)
    if params.step is not None:
        written["grids"] = None
    if params.infinity:
        written["upper"] = None
    return written


def _grid_of(read: Mapping[str, Any]) -> GridParams:
    enums = {
        "spacing": Spacing(read["spacing"]),
        "sizing": Sizing(read["sizing"]),
        "at_exit": StopHow(read["at_exit"]),
        "direction": Direction(read["direction"]),
        "profit_use": ProfitUse(read["profit_use"]),
    }
    return GridParams(**{**read, **enums})


def _levels(read: dict[str, Any], wrong: set[str]) -> list[Problem]:
    # Fill in what follows from a step: the number of gaps and the top, or the first step of a grid
    # without a top.
    infinity, step = bool(read.get("infinity")), read.get("step")
    problems = []
    if step is not None and read.get("grids") is not None:
        problems.append(problem("step", "grids_and_step"))
    if infinity and step is None:
        problems.append(problem("step", "infinity_needs_step"))
    if infinity and read.get("upper") is not None:
        problems.append(problem("upper", "infinity_has_no_upper"))
    if infinity and read.get("direction") != Direction.LONG:
        problems.append(problem("direction", "infinity_is_long_only"))
    if infinity and step is not None and step > MOST_INFINITE_STEP:
        problems.append(problem("step", "too_large", value=step, maximum=MOST_INFINITE_STEP))
    if problems or step is None or LEVEL_FIELDS & wrong:
        return problems
    if infinity:
        read["spacing"] = Spacing.GEOMETRIC.value
        read["grids"], read["upper"] = 1, _top(read["lower"], step, 1, Spacing.GEOMETRIC)
        return []
    spacing = Spacing(read["spacing"])
    if read["upper"] > read["lower"]:
        read["grids"] = _gaps(read["lower"], read["upper"], step, spacing)
        read["upper"] = _top(read["lower"], step, read["grids"], spacing) or read["upper"]
    else:
        read["grids"] = FEWEST_GRIDS
    return []


# A top that was itself counted off by the step must come out as the same number of gaps.
SAME_GAP = Decimal("1e-9")


@exact
def _gaps(lower: Decimal, upper: Decimal, step: Decimal, spacing: Spacing) -> int:
    if spacing is Spacing.ARITHMETIC:
        count = (upper - lower) / step
    else:
        count = (upper / lower).ln() / (ONE + step).ln()
    return int(min(count + SAME_GAP, Decimal(10**6)))


@exact
def _top(lower: Decimal, step: Decimal, grids: int, spacing: Spacing) -> Decimal:
    if not FEWEST_GRIDS <= grids <= MOST_GRIDS and grids != 1:
        return ZERO
    if spacing is Spacing.ARITHMETIC:
        return lower + step * grids
    return booked(lower * (ONE + step) ** grids)


def _check_together(read: Mapping[str, Value]) -> list[Problem]:
    problems = []
    lower, upper, grids = read.get("lower"), read.get("upper"), read.get("grids")
    infinity = bool(read.get("infinity"))
    if isinstance(lower, Decimal) and isinstance(upper, Decimal) and upper <= lower:
        problems.append(problem("upper", "invalid_range", lower=lower, upper=upper))
    if isinstance(grids, int) and not infinity and not FEWEST_GRIDS <= grids <= MOST_GRIDS:
        field = "grids" if read.get("step") is None else "step"
        problems.append(
            problem(
                field, "grids_out_of_range", value=grids, minimum=FEWEST_GRIDS, maximum=MOST_GRIDS
            )
        )
    if read.get("quantity") is not None and (infinity or read.get("sizing") == Sizing.EQUAL_QUOTE):
        problems.append(problem("quantity", "quantity_needs_equal_base"))
    return [*problems, *_exit_problems(read), *_trailing_problems(read)]


def _exit_problems(read: Mapping[str, Value]) -> list[Problem]:
    stop, target = read.get("stop_loss"), read.get("take_profit")
    if not isinstance(stop, Decimal) or not isinstance(target, Decimal):
        return []
    # A short grid gains when the price falls, so its exits stand the other way round.
    if read.get("direction") == Direction.SHORT:
        if stop <= target:
            return [
                problem(
                    "stop_loss", "stop_loss_below_take_profit", stop_loss=stop, take_profit=target
                )
            ]
    elif stop >= target:
        return [
            problem("stop_loss", "stop_loss_above_take_profit", stop_loss=stop, take_profit=target)
        ]
    return []


def _trailing_problems(read: Mapping[str, Value]) -> list[Problem]:
    problems = []
    lower, upper = read.get("lower"), read.get("upper")
    for way in ("up", "down"):
        name = f"trailing_{way}_limit"
        limit = read.get(name)
        if limit is not None and not read.get(f"trailing_{way}"):
            problems.append(problem(name, "limit_without_trailing"))
            continue
        if not isinstance(limit, Decimal) or not (
            isinstance(lower, Decimal) and isinstance(upper, Decimal)
        ):
            continue
        if limit <= upper if way == "up" else limit >= lower:
            problems.append(
                problem(name, "trailing_limit_inside_range", value=limit, lower=lower, upper=upper)
            )
    if read.get("infinity") and (read.get("trailing_up") or read.get("trailing_down")):
        problems.append(problem("infinity", "infinity_does_not_trail"))
    return problems
