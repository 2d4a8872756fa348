"""What a running grid remembers: one slot for each gap between two neighbouring levels.

A gap holds exactly one order: a buy at its lower level, or a sell at its upper level. A filled buy
turns the gap into a sell, a filled sell turns it back. The state is so a function of the orders
that were intended and their fills, in whatever order the news of them arrives.
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
    """Where a grid stands in its life."""

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
    cycle have filled. A sell keeps what its coins cost in `bought`. `origin` is the client id of
    the order that it answers. After too many `refusals` the gap pauses until another one fills.
    """

    side: Side
    quantity: Decimal
    cycle: int = 0
    attempt: int = 0
    refusals: int = 0
    origin: str | None = None
    bought: Sums | None = None
    done: Sums = NOTHING

    @property
    def remaining(self) -> Decimal:
        """Return what the next attempt has to trade."""
        return self.quantity - self.done.quantity


@dataclass(frozen=True, slots=True)
class Entry:
    """The first purchase at market.

    `needed` are the coins that the sells take of it; None in states of before this was kept.
    """

    quantity: Decimal
    attempt: int = 0
    refusals: int = 0
    done: Decimal = ZERO
    needed: Decimal | None = None
    bought: Sums = NOTHING


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

    `unit` is the order size (equal base) or its value (equal quote); `start_price` the price at
    which its levels were filled with orders. `carried` are coins that lots and fees have kept from
    being sold, with what they cost; the next sell that they make a lot bigger takes them along.
    """

    phase: Phase
    unit: Decimal
    start_price: Decimal
    slots: tuple[Slot, ...]
    entry: Entry | None = None
    exit: Exit | None = None
    outside: Outside | None = None
    carried: Sums = NOTHING


def encode_state(state: GridState) -> dict[str, Any]:
    """Write a state as JSON-able values; slots are short lists, for there are many of them."""
    return {
        "phase": state.phase.value,
        "unit": str(state.unit),
        "start_price": str(state.start_price),
        "slots": [_encode_slot(slot) for slot in state.slots],
        "entry": to_json(state.entry),
        "exit": to_json(state.exit),
        "outside": to_json(state.outside),
        "carried": _encode_sums(state.carried),
    }


def decode_state(data: Mapping[str, Any]) -> GridState:
    """Read a state back exactly."""
    return GridState(
        phase=Phase(data["phase"]),
        unit=decimal_of(data["unit"]),
        start_price=decimal_of(data["start_price"]),
        slots=tuple(map(_decode_slot, data["slots"])),
        entry=from_json(Entry | None, data["entry"]),
        exit=from_json(Exit | None, data["exit"]),
        outside=from_json(Outside | None, data["outside"]),
        carried=_decode_sums(data.get("carried")) or NOTHING,
    )


def _encode_slot(slot: Slot) -> list[Any]:
    short: list[Any] = [slot.side.value, str(slot.quantity), slot.cycle]
    bought = None if slot.bought is None else _encode_sums(slot.bought)
    rest = [slot.attempt, slot.refusals, slot.origin, bought, _encode_sums(slot.done)]
    return short if rest == [0, 0, None, None, None] else short + rest


def _decode_slot(row: list[Any]) -> Slot:
    side, quantity = Side(row[0]), decimal_of(row[1])
    if len(row) == 3:  # noqa: PLR2004 - the short form above
        return Slot(side, quantity, row[2])
    attempt, refusals, origin, bought, done = row[3:]
    return Slot(
        side,
        quantity,
        row[2],
        attempt,
        refusals,
        origin,
        _decode_sums(bought),
        _decode_sums(done) or NOTHING,
    )


def _encode_sums(sums: Sums) -> list[str] | None:
    if sums == NOTHING:
        return None
    return [str(sums.quantity), str(sums.value), str(sums.fee_base), str(sums.fee_quote)]


def _decode_sums(row: list[str] | None) -> Sums | None:
    return None if row is None else Sums(*map(decimal_of, row))
