"""What a strategy may know, what it may answer, and what it has to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as member
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from app.errors import InvalidInput
from app.trading.intents import Intent, Plain, Reason, plain_values
from app.trading.market import ZERO, Market, Triggers, booked
from app.trading.orders import Fill, Order, Side
from app.trading.ports import Balance
from app.trading.position import Holdings

# Why a bot ended that was to sell and could not.
SALE_FAILED = "closing_sale_failed"
# The same where some of it was not on the account any more.
COINS_MISSING = "coins_missing"


class StopHow(StrEnum):
    """What is to become of coins and orders when a bot stops."""

    KEEP = "keep"
    SELL = "sell"
    LEAVE_ORDERS = "leave_orders"


class Severity(StrEnum):
    """How loud a line of the log is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a bot's log: a code and plain values."""

    code: str
    values: Mapping[str, Plain] = member(default_factory=dict)
    level: Severity = Severity.INFO


def log_line(
    code: str, severity: Severity = Severity.INFO, /, **values: Decimal | Plain
) -> LogLine:
    """Build a line of the log; decimals become exact text."""
    return LogLine(code, plain_values(values), severity)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong or risky about parameters; `field` is the public name of the culprit."""

    field: str
    code: str
    values: Mapping[str, Plain] = member(default_factory=dict)


def problem(name: str, code: str, /, **values: Decimal | Plain) -> Problem:
    """Build a problem; decimals become exact text."""
    return Problem(name, code, plain_values(values))


class InvalidParams(InvalidInput):
    """Parameters that can't work: every bad field is named in `problems`."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        super().__init__(first.code, field=first.field)
        self.values = first.values
        self.problems = problems


class FieldKind(StrEnum):
    """What a parameter's value looks like."""

    DECIMAL = "decimal"
    INTEGER = "integer"
    CHOICE = "choice"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Field:
    """The declaration of one parameter; forms, checks and documentation are made from it.

    Bounds are included unless `open_minimum` / `open_maximum` says otherwise. A required field may
    be left out when the field that `required_unless` names is given (and is not a flag that is
    off).
    """

    name: str
    kind: FieldKind
    required: bool = False
    default: Decimal | int | str | bool | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    open_minimum: bool = False
    open_maximum: bool = False
    choices: tuple[str, ...] = ()
    required_unless: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """All that a strategy may know at one moment.

    `orders` are all own orders that are not final, and those that became final since the last
    decision; `fills` are those that came in since then; `holdings` are summed from all fills. After
    a comparison with a real venue `may_retry` allows one more try of what it has refused too often;
    `asks_again` says that there will be such comparisons. `there` are the coins that such a
    comparison has found at the venue, but for those of other bots. `swing` is the lowest and the
    highest price since the last decision, where prices do not come one by one. With `price_is_old`
    prices have stopped coming: nothing begins before the next.
    """

    time: datetime
    price: Decimal
    market: Market
    params: Any
    state: Any
    orders: tuple[Order, ...]
    holdings: Holdings
    investment: Decimal
    fills: tuple[Fill, ...] = ()
    stop_request: StopHow | None = None
    may_retry: bool = False
    asks_again: bool = False
    there: Balance | None = None
    swing: tuple[Decimal, Decimal] | None = None
    price_is_old: bool = False

    @property
    def at_next_price(self) -> Triggers:
        """Return what any other price than that of now wakes."""
        return Triggers(self.price, self.price)


@dataclass(frozen=True, slots=True)
class Match:
    """A closed round trip: an order and the one that it answers, as a rule a sell and its buy.

    `profit` = `sell_value` - `sell_fee` - `buy_value` - `buy_fee`; all in quote. Where the venue
    took the buy's fee in coins, it shows as `quantity` smaller than `buy_quantity`, and
    `buy_fee` is 0. `opened_by` is the side that came first: a sell for a short trade.
    `entry_client_id` is None for what the first purchase (or the first short sale) opened. One that
    `is_part` has closed a part only: its order was taken back, and the rest is held.
    """

    level: int
    cycle: int
    quantity: Decimal
    buy_quantity: Decimal
    buy_value: Decimal
    buy_fee: Decimal
    sell_value: Decimal
    sell_fee: Decimal
    entry_client_id: str | None
    exit_client_id: str
    time: datetime
    coin_fee: Decimal = ZERO
    opened_by: Side = Side.BUY
    is_part: bool = False

    @property
    def profit(self) -> Decimal:
        """Return what the round trip earned after both fees."""
        return self.sell_value - self.sell_fee - self.buy_value - self.buy_fee

    @property
    def fees(self) -> Decimal:
        """Return both fees in quote, a fee in coins at the price of the buy."""
        return self.buy_fee + self.sell_fee + booked(self.coin_fee * self.buy_price)

    @property
    def buy_price(self) -> Decimal:
        """Return the average price of the buy, without fee."""
        return booked(self.buy_value / self.buy_quantity)

    @property
    def sell_price(self) -> Decimal:
        """Return the average price of the sell, without fee."""
        return booked(self.sell_value / self.quantity)


@dataclass(frozen=True, slots=True)
class Decision:
    """A strategy's answer: what to do, what to remember, what to tell, when to wake it.

    `triggers` are prices at which the strategy itself must act (exits, ends of its range), apart
    from those of its resting orders. `finished` says why the strategy has nothing more to do.
    With `again` the strategy has only changed its mind, and wants to decide once more at once.
    """

    state: Any
    intents: tuple[Intent, ...] = ()
    events: tuple[LogLine, ...] = ()
    matches: tuple[Match, ...] = ()
    triggers: Triggers = Triggers()
    finished: Reason | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Protection:
    """A stop that should rest at the venue, so that it holds when nobody decides."""

    side: Side
    trigger: Decimal


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a strategy has to end, and what becomes of its coins and orders then."""

    how: StopHow
    why: Reason


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Which round trips go on: by level and cycle, or by the id of the order that opened them."""

    places: frozenset[tuple[int, int]]
    openings: frozenset[str]


class Plan(Protocol):
    """The preview that a customer confirms; each strategy adds its own figures."""

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What may hurt."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What can't work; with any of these nothing may start."""


ParamsT = TypeVar("ParamsT")
StateT = TypeVar("StateT")


class Strategy(Protocol[ParamsT, StateT]):
    """A way of trading as pure functions; what it remembers is in its state, never in itself."""

    @property
    def name(self) -> str:
        """The word under which it is stored."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The parameters it takes."""

    def parse(self, values: Mapping[str, object]) -> ParamsT:
        """Read parameters; raise InvalidParams naming every bad field."""

    def encode_params(self, params: ParamsT) -> dict[str, Any]:
        """Write parameters as JSON-able values that `parse` reads back exactly."""

    def plan(
        self,
        params: ParamsT,
        market: Market,
        price: Decimal,
        orders_per_second: Decimal | None = None,
    ) -> Plan:
        """Say what would happen at this price; never raises for what the numbers say."""

    def within_funds(
        self, params: ParamsT, market: Market, price: Decimal, funds: Holdings
    ) -> ParamsT:
        """Return parameters that take no more coins and cash than the bot holds."""

    def start_state(
        self, params: ParamsT, market: Market, price: Decimal, funds: Holdings | None = None
    ) -> StateT:
        """Return the first state; raise InvalidParams if the plan has errors.

        `funds` are what the bot holds now; without them it starts with the investment in cash.
        """

    def ending_state(self, price: Decimal) -> StateT:
        """Return the state of one that is asked to stop before it has begun: it only ends."""

    def decide(self, view: View) -> Decision:
        """Answer one moment; the same view gives the same answer."""

    def edit(self, old: ParamsT, state: StateT, new: ParamsT, view: View) -> Any:
        """Say what other settings would do to a running bot, and how it goes on with them."""

    def with_flow(self, state: StateT, amount: Decimal) -> StateT:
        """Return a state after money came in (or, negative, went out) without an edit."""

    def begin_anew(self, state: StateT) -> StateT:
        """Return a state that takes back what stands and goes on with what is held then."""

    def read_left(self, state: StateT, orders: tuple[Order, ...], time: datetime) -> Decision:
        """Take in what became of orders that it left behind; it tells what they have closed."""

    def under_way(self, state: StateT) -> UnderWay | None:
        """Return which round trips go on, None while it has not begun (or begun anew)."""

    def protection(
        self,
        params: ParamsT,
        state: StateT,
        market: Market,
        holdings: Holdings,
        investment: Decimal,
    ) -> Protection | None:
        """Return the stop that should rest at the venue now, if any."""

    def ending(self, view: View) -> Ending | None:
        """Return why it has to end at this moment, if it has to; holds while it is paused too."""

    def exit_triggers(self, view: View) -> Triggers:
        """Return the prices at which it has to end."""

    def encode_state(self, state: StateT) -> dict[str, Any]:
        """Write a state as JSON-able values."""

    def decode_state(self, data: Mapping[str, Any]) -> StateT:
        """Read a state back exactly."""

    def is_outside(self, params: ParamsT, price: Decimal, state: StateT | None = None) -> bool:
        """Say whether the strategy has nothing to trade at this price."""
