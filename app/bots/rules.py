"""What may be done with a bot in which state, and when a plan has changed too much to start it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from app.errors import Conflict, InvalidInput
from app.names import is_visible
from app.trading.market import exact

# States in which a bot takes a place of its owner's plan.
RUNNING = ("starting", "active", "paused", "stopping")
MAX_NAME = 60
# A stop takes some seconds; of one that takes so long its owner should know.
STUCK_AFTER = timedelta(minutes=15)
# Prices move while somebody reads the summary. So much of the money may be bought more or less at
# the start (about one line of a usual grid), and so much more be lost in the worst case, or be put
# in where the money follows from the price.
MATERIAL_COST = Decimal("0.1")
MATERIAL_LOSS = Decimal("0.02")
MAX_SEEN = 2000
MOST_GAPS = Decimal(1_000_000)
SMALLEST_STEP, LARGEST_STEP = Decimal("1e-40"), Decimal("1e40")
# What `Seen.text` writes: no exponent, so that sums of hostile values stay small.
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,40})?")


class Action(StrEnum):
    """What an owner may ask of a bot."""

    START = "start"
    STOP = "stop"
    EMERGENCY = "emergency"
    UNLOCK = "unlock"
    RESUME = "resume"
    EDIT = "edit"
    DELETE = "delete"


# State -> action -> the state that follows at once. What is missing is refused.
STATE_TABLE: dict[str, dict[Action, str]] = {
    "stopped": {
        Action.START: "starting",
        Action.EMERGENCY: "locked",
        Action.EDIT: "stopped",
        Action.DELETE: "stopped",
    },
    "starting": {Action.STOP: "stopping", Action.EMERGENCY: "stopping"},
    "active": {Action.STOP: "stopping", Action.EMERGENCY: "stopping"},
    "paused": {Action.RESUME: "active", Action.STOP: "stopping", Action.EMERGENCY: "stopping"},
    # A second stop may only change its mind about coins and orders; emergency outranks it.
    "stopping": {Action.STOP: "stopping", Action.EMERGENCY: "stopping"},
    # Orders of a bot that gave up may still stand: stopping it takes them back.
    "error": {
        Action.START: "starting",
        Action.STOP: "stopping",
        Action.EMERGENCY: "stopping",
        Action.EDIT: "error",
    },
    "locked": {Action.UNLOCK: "stopped", Action.EMERGENCY: "locked"},
}

# Asked again where it is done already: an answer, not a change.
ALREADY: dict[Action, frozenset[str]] = {
    Action.START: frozenset({"starting", "active"}),
    Action.STOP: frozenset({"stopped", "locked"}),
    Action.UNLOCK: frozenset({"stopped"}),
    Action.RESUME: frozenset({"active"}),
}


def may(state: str, action: Action) -> bool:
    """Tell whether a bot in this state can do it."""
    return action in STATE_TABLE[state]


def next_state(state: str, action: Action) -> str | None:
    """Return the state that follows, or None if it is done already; raise Conflict if it can't be.

    So a second click, a repeated form or a second worker does nothing harmful.
    """
    following = STATE_TABLE[state].get(action)
    if following is not None:
        return following
    if state in ALREADY.get(action, frozenset()):
        return None
    raise Conflict(f"cannot_{action.value}", state=state)


def tidy_name(name: str) -> str:
    """Return a bot's name without outer blanks; raise InvalidInput for one that can't be shown."""
    tidy = " ".join(name.split())
    if not tidy:
        raise InvalidInput("missing", field="name")
    if len(tidy) > MAX_NAME:
        raise InvalidInput("name_too_long", field="name", maximum=MAX_NAME)
    if not is_visible(tidy):
        raise InvalidInput("name_unprintable", field="name")
    return tidy


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a plan a person has read before confirming; travels through the form as text."""

    version: int
    cost: Decimal
    loss: Decimal
    codes: tuple[str, ...]
    put_in: Decimal = Decimal(0)

    def text(self) -> str:
        """Write it for a hidden field."""
        codes = ",".join(self.codes)
        return f"{self.version}|{self.cost:f}|{self.loss:f}|{self.put_in:f}|{codes}"


def seen_of(
    version: int,
    cost: Decimal | None,
    loss: Decimal | None,
    codes: Iterable[str],
    put_in: Decimal = Decimal(0),
) -> Seen:
    """Gather what matters of a plan: first purchase, worst case, errors and warnings, new money."""
    known = tuple(sorted(set(codes)))
    return Seen(version, cost or Decimal(0), loss or Decimal(0), known, put_in)


def read_seen(text: str) -> Seen | None:
    """Read what the form sent back; anything odd is None, and the summary is shown again."""
    parts = text.split("|") if len(text) <= MAX_SEEN else []
    try:
        version, cost, loss, put_in, codes = parts
        known = tuple(code for code in codes.split(",") if code)
        if not all(map(_PLAIN_NUMBER.fullmatch, (cost, loss, put_in))):
            return None
        seen = Seen(int(version), Decimal(cost), Decimal(loss), known, Decimal(put_in))
    except ValueError:
        return None
    return seen


def changed_materially(seen: Seen | None, now: Seen, investment: Decimal) -> bool:
    """Say whether a person would decide about another thing than they have read."""
    if seen is None or seen.version != now.version or seen.codes != now.codes:
        return True
    if abs(seen.cost - now.cost) > investment * MATERIAL_COST:
        return True
    return max(now.loss - seen.loss, now.put_in - seen.put_in) > investment * MATERIAL_LOSS


@exact
def grids_for_step(lower: Decimal, upper: Decimal, step: Decimal, *, geometric: bool) -> int | None:
    """Return the number of gaps that comes closest to a step: money, or percent if geometric."""
    if not 0 < lower < upper or step <= 0:
        return None
    # A step too small to count with means the most gaps.
    step = min(max(step, SMALLEST_STEP), LARGEST_STEP)
    count = (upper / lower).ln() / (1 + step / 100).ln() if geometric else (upper - lower) / step
    return max(1, round(min(count, MOST_GAPS)))
