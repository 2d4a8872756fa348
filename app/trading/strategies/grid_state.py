"""What a running grid remembers: one slot for each gap between two neighbouring levels.

A gap holds exactly one order: a buy at its lower level, or a sell at its upper level. A filled buy
turns the gap into a sell, a filled sell turns it back. An order either opens or closes: a buy opens
in a long grid and closes in a short one; in a neutral grid the gap's first order opens. The state
is so a function of the orders that were intended and their fills, in whatever order the news of
them arrives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Any

from app.trading.codec import decimal_of, from_json, to_json
from app.trading.intents import Reason
from app.trading.market import ZERO, booked
from app.trading.orders import Order, Side
from app.trading.strategy import StopHow


class Phase(StrEnum):
    """Where a grid stands in its life.

    It may wait for its trigger price; after an edit it first takes its old orders back.
    """

    WAITING = "waiting"
    EDITING = "editing"
    ENTRY = "entry"
    RUNNING = "running"
    CLOSING = "closing"
    FINISHED = "finished"


class Outside(StrEnum):
    """On which side of its range the price was last seen."""

    BELOW = "below"
    ABOVE = "above"


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the fills of one or several attempts of the same logical order."""

    quantity: Decimal = ZERO
    value: Decimal = ZERO
    fee_base: Decimal = ZERO
    fee_quote: Decimal = ZERO

    def plus(self, order: Order) -> "Sums":
        """Add what an order has filled."""
        return Sums(
            self.quantity + order.filled,
            self.value + order.value,
            self.fee_base + order.fee_base,
            self.fee_quote + order.fee_quote,
        )

    def joined(self, other: "Sums") -> "Sums":
        """Add other sums."""
        return Sums(
            self.quantity + other.quantity,
            self.value + other.value,
            self.fee_base + other.fee_base,
            self.fee_quote + other.fee_quote,
        )

    @property
    def coins(self) -> Decimal:
        """Return what is left of bought coins after fees taken in coins."""
        return self.quantity - self.fee_base

    def split(self, coins: Decimal) -> "tuple[Sums, Sums]":
        """Split a purchase into one of so many coins and the rest; the parts sum up exactly."""
        whole = self.coins
        if coins >= whole:
            return self, NOTHING
        # Coins are exact and both parts keep the price: the fee in coins absorbs the rounding.
        price = self.value / self.quantity
        step = Decimal(1).scaleb(-min(18, max(9, 18 + int(price.normalize().as_tuple().exponent))))
        quantity = (self.quantity * coins / whole).quantize(step, ROUND_HALF_EVEN)
        part = Sums(
            quantity,
            booked(quantity * price),
            quantity - coins,
            booked(self.fee_quote * coins / whole),
        )
        rest = Sums(
            self.quantity - part.quantity,
            self.value - part.value,
            self.fee_base - part.fee_base,
            self.fee_quote - part.fee_quote,
        )
        return part, rest


NOTHING = Sums()


@dataclass(frozen=True, slots=True)
class Slot:
    """What one gap wants at the venue.

    `quantity` is the size of the order over all attempts, `done` what earlier attempts of this
    cycle have filled. An order that closes keeps the sums of what it closes in `opening`. `origin`
    is the client id of the order that it answers. After too many `refusals` the gap pauses until
    another one fills, or at a real venue all was compared. A `parked` order is being taken back by
    the grid itself. The gap in which a neutral grid starts has two orders: the sell is its `twin`
    until one of them fills. `adopted` is the attempt that was taken as absent and turned up again.
    """

    side: Side
    quantity: Decimal
    cycle: int = 0
    attempt: int = 0
    refusals: int = 0
    origin: str | None = None
    opening: Sums | None = None
    done: Sums = NOTHING
    parked: bool = False
    twin: "Slot | None" = None
    adopted: int | None = None

    @property
    def remaining(self) -> Decimal:
        """Return what the next attempt has to trade."""
        return self.quantity - self.done.quantity


@dataclass(frozen=True, slots=True)
class Entry:
    """The first trade at market: a purchase, or a sale for a short grid or after an edit.

    `needed` are the coins that the sells take of it; None where nothing of it may be over. `cycle`
    counts the edits, so that a second purchase has an id of its own.
    """

    quantity: Decimal
    attempt: int = 0
    refusals: int = 0
    done: Decimal = ZERO
    needed: Decimal | None = None
    bought: Sums = NOTHING
    side: Side = Side.BUY
    cycle: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """Why and how the grid ends, and how often its last sale was tried."""

    how: StopHow
    reason: Reason
    stop_loss: bool = False
    attempt: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class GridState:
    """All that a grid remembers between two decisions.

    `unit` is the order size (equal base), its value (equal quote) or the value kept in coins
    (infinity); `start_price` the price at which its levels were filled with orders. `carried` are
    coins that lots and fees have kept from being sold, with what they cost; the next sell that they
    make a lot bigger takes them along (`carried_short`: the same for short sales too small to
    answer). The lowest level has the number `first` in the keys of orders, and lies `trail` levels
    above the lower price of the parameters. `newest` is the highest cycle of gaps that are no more.
    `anchor` is the price of the last fill: what rests is chosen by it, not by each price seen.
    `money` is what the grid was sized for, and `equity` what the bot was worth then. Of the profit
    of round trips since the start that was not taken out, `money` has `earned_before` in it, and
    lacks `earned`. `waits_above` says from where the trigger price is waited for; `edits`
    counts the changes while running. A grid that is `stuck` would follow the price, but its next
    order would be too small; the next fill lets it try again.
    `told` are the rules of the venue under which orders had to be fitted, and what was said then.
    """

    phase: Phase
    unit: Decimal
    start_price: Decimal
    slots: tuple[Slot, ...]
    entry: Entry | None = None
    exit: Exit | None = None
    outside: Outside | None = None
    carried: Sums = NOTHING
    carried_short: Sums = NOTHING
    first: int = 0
    trail: int = 0
    newest: int = -1
    anchor: Decimal | None = None
    earned: Decimal = ZERO
    earned_before: Decimal = ZERO
    money: Decimal | None = None
    equity: Decimal | None = None
    waits_above: bool | None = None
    edits: int = 0
    stuck: bool = False
    told: str = ""


# Written only where they are not as at the start, for there are many states.
_PLAIN = ("first", "trail", "newest", "waits_above", "edits", "stuck", "told")
_DECIMALS = ("anchor", "earned", "earned_before", "money", "equity")
_SUMS = ("carried", "carried_short")
_AT_FIRST = GridState(Phase.WAITING, ZERO, ZERO, ())


def encode_state(state: GridState) -> dict[str, Any]:
    """Write a state as JSON-able values; slots are short lists, for there are many of them."""
    written = {
        "phase": state.phase.value,
        "unit": str(state.unit),
        "start_price": str(state.start_price),
        "slots": [_encode_slot(slot) for slot in state.slots],
        "entry": to_json(state.entry),
        "exit": to_json(state.exit),
        "outside": to_json(state.outside),
    }
    for name in (*_PLAIN, *_DECIMALS, *_SUMS):
        value = getattr(state, name)
        if value != getattr(_AT_FIRST, name):
            written[name] = _encode_sums(value) if name in _SUMS else to_json(value)
    return written


def decode_state(data: Mapping[str, Any]) -> GridState:
    """Read a state back exactly; what an older state does not say is as at the start."""
    more: dict[str, Any] = {name: data[name] for name in _PLAIN if name in data}
    more |= {name: decimal_of(data[name]) for name in _DECIMALS if name in data}
    more |= {name: _decode_sums(data.get(name)) or NOTHING for name in _SUMS}
    return GridState(
        phase=Phase(data["phase"]),
        unit=decimal_of(data["unit"]),
        start_price=decimal_of(data["start_price"]),
        slots=tuple(map(_decode_slot, data["slots"])),
        entry=from_json(Entry | None, data["entry"]),
        exit=from_json(Exit | None, data["exit"]),
        outside=from_json(Outside | None, data["outside"]),
        **more,
    )


def _encode_slot(slot: Slot) -> list[Any]:
    short: list[Any] = [slot.side.value, str(slot.quantity), slot.cycle]
    opening = None if slot.opening is None else _encode_sums(slot.opening)
    rest = [slot.attempt, slot.refusals, slot.origin, opening, _encode_sums(slot.done)]
    twin = None if slot.twin is None else _encode_slot(slot.twin)
    if slot.parked or twin is not None or slot.adopted is not None:
        return [*short, *rest, slot.parked, twin, slot.adopted]
    return short if rest == [0, 0, None, None, None] else short + rest


def _decode_slot(row: list[Any]) -> Slot:
    side, quantity = Side(row[0]), decimal_of(row[1])
    if len(row) == 3:  # noqa: PLR2004 - the short form above
        return Slot(side, quantity, row[2])
    attempt, refusals, origin, opening, done = row[3:8]
    parked, twin, adopted = row[8:] or (False, None, None)
    return Slot(
        side,
        quantity,
        row[2],
        attempt,
        refusals,
        origin,
        _decode_sums(opening),
        _decode_sums(done) or NOTHING,
        parked,
        None if twin is None else _decode_slot(twin),
        adopted,
    )


def _encode_sums(sums: Sums) -> list[str] | None:
    if sums == NOTHING:
        return None
    return [str(sums.quantity), str(sums.value), str(sums.fee_base), str(sums.fee_quote)]


def _decode_sums(row: list[str] | None) -> Sums | None:
    return None if row is None else Sums(*map(decimal_of, row))
