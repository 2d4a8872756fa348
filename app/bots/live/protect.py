"""The stop that rests at the venue, kept in step with the position: it holds when nobody decides.

On a contract it is reduce-only and covers the whole position. On spot, coins can be locked once
only: it covers those that no resting sell locks, and the engine sells the rest when the price gets
there. The strategy does not see it. When it has fired, the bot is asked to stop and sell.

A bot that ends and keeps its position in a contract leaves the stop at the venue (`left` in its
notes), unless its owner wants none: `declined`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from app.bots.live.outcomes import rests_for_now
from app.bots.live.rows import Event, LiveBot
from app.bots.models import BotState
from app.money import exact_text
from app.trades.service import OwnOrder
from app.trading.engine import Tick
from app.trading.intents import Place, Reason
from app.trading.market import ZERO, MarketKind, Triggers, exact
from app.trading.orders import OrderKey, OrderKind, Purpose, Side, Status
from app.trading.risk import CLOSING
from app.trading.strategy import Protection, Severity, StopHow, View

CANCELLABLE = frozenset({Status.INTENDED, Status.OPEN, Status.PARTIAL})
AT_VENUE = frozenset({Status.OPEN, Status.PARTIAL})
FIRED = "protection_fired"
# Asking again would change nothing.
NO_STOPS = "stop_not_supported"
# A refusal may pass at once (coins that another order still locked): the first ones are asked again
# at the next tick, then after pauses that double.
AT_ONCE = 2
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)


@dataclass(slots=True)
class Guarding:
    """What keeping the stop in step asks for.

    `held_back` are orders of the strategy that need coins which the stop still locks: they are
    wanted again when it is gone. While `lives` something of it may stand at the venue.
    """

    cancels: list[OwnOrder] = field(default_factory=list)
    place: Place | None = None
    held_back: list[Place] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    lives: bool = False


NOTHING = Guarding()


def is_protection(own: OwnOrder) -> bool:
    """Say whether an order is such a stop."""
    return own.order.key.purpose is Purpose.PROTECT


def note_fired(bot: LiveBot, orders: Sequence[OwnOrder], now: datetime) -> list[Event]:
    """Ask a bot to stop and sell whose stop has sold at the venue."""
    if bot.stop_request is not None:
        return []
    fired = [own for own in orders if is_protection(own) and own.order.filled > 0]
    if not fired:
        return []
    order = fired[0].order
    values = {"quantity": exact_text(order.filled), "price": exact_text(order.price or ZERO)}
    bot.stop_request = StopHow.SELL.value
    bot.turn(BotState.STOPPING, FIRED, values, now)
    return [Event(bot.id, "stop_fired", values, Severity.WARNING)]


@exact
def guard(
    bot: LiveBot,
    orders: Sequence[OwnOrder],
    wanted: Protection | None,
    result: Tick,
    view: View,
    now: datetime,
) -> Guarding:
    """Say what has to change so that the stop fits what the bot holds after this decision."""
    answer = Guarding()
    live = [own for own in orders if own.status.is_live]
    answer.lives = bool(live)
    if live and view.market.kind is not MarketKind.LINEAR:
        answer.held_back = _without_coins(live, result, view)
    leaves = wanted is not None and view.market.kind is MarketKind.LINEAR
    ends = (result.finished is not None and not leaves) or bool(answer.held_back)
    ends |= _closes(result)
    target = ZERO if wanted is None or ends else _uncovered(result, view)
    price = None if wanted is None else wanted.trigger
    if wanted is None or not view.market.is_tradable(target, wanted.trigger):
        target = ZERO
    fitting = [
        own
        for own in live
        if wanted is not None
        and (own.order.price, own.order.key.side) == (price, wanted.side)
        and own.order.remaining == target
    ][:1]
    answer.cancels = [o for o in live if o not in fitting and o.status in CANCELLABLE]
    refused = [own for own in orders if own.status is Status.REJECTED]
    waits = any(rests_for_now(own, now) for own in orders) or _is_put_off(bot, now)
    if wanted is not None and target > 0 and not (live or refused or waits):
        answer.place = _stop(bot, wanted, target)
    answer.events = [_refused(bot, own) for own in refused if own.error != _known_refusal(bot)]
    if leaves and result.finished is not None:
        # The bot ends when its stop stands as it should, or can't.
        moves = bool(answer.cancels) or answer.place is not None
        answer.lives = moves or any(own not in fitting for own in live)
    tries = int((bot.protection or {}).get("refusals", 0)) + len(refused)
    _note(bot, wanted, fitting, answer.place, view)
    if refused and bot.protection is not None:
        asked_again = (now + _pause(tries)).isoformat()
        bot.protection |= {
            "refused": refused[-1].error, "refusals": tries, "asked_again": asked_again
        }  # fmt: skip
    return answer


@exact
def leave(bot: LiveBot, orders: Sequence[OwnOrder], held: Decimal) -> Event | None:
    """Say what a bot that has just ended leaves to its position in a contract: its stop, or none.

    None where it holds no contract.
    """
    if bot.market.kind is not MarketKind.LINEAR or held == 0:
        return None
    standing = next((own.order for own in orders if _is_left(own, held)), None)
    if standing is None:
        return Event(bot.id, "position_unprotected", {"held": exact_text(held)}, Severity.WARNING)
    bot.protection = {**(bot.protection or {}), "left": True}
    values = {
        "quantity": exact_text(standing.remaining),
        "price": exact_text(standing.price or ZERO),
    }
    return Event(bot.id, "stop_left", values, Severity.WARNING)


@exact
def mind_left(bot: LiveBot, orders: Sequence[OwnOrder], held: Decimal) -> Guarding:
    """Mind the stop of a bot that does not run: it goes with its position, and its end is told.

    What of it is to stay is in `held_stops`.
    """
    answer = Guarding()
    if bot.protection is None:
        return answer
    stops = [own for own in orders if is_protection(own)]
    fired = [own for own in stops if own.status.is_final and own.order.filled > 0]
    for own in fired:
        values = {
            "quantity": exact_text(own.order.filled),
            "price": exact_text(own.order.price or ZERO),
        }
        answer.events.append(Event(bot.id, "left_stop_fired", values, Severity.WARNING))
    live = [own for own in stops if own.status.is_live]
    # Whoever has turned the position round by hand has one that it does not close.
    useless = [own for own in live if not _would_close(own, held)]
    answer.cancels = [own for own in useless if own.status in CANCELLABLE]
    if not live and "trigger" in bot.protection:
        bot.protection = _forgotten(bot.protection)
    return answer


def held_stops(bot: LiveBot, orders: Sequence[OwnOrder], held: Decimal) -> list[OwnOrder]:
    """Return the stops of a position in a contract: they stay while it does, whoever gives up."""
    if bot.market.kind is not MarketKind.LINEAR or stop_is_declined(bot):
        return []
    return [own for own in orders if _is_left(own, held)]


def stop_is_declined(bot: LiveBot) -> bool:
    """Say whether the owner of a kept position wants no stop for it."""
    return bool((bot.protection or {}).get("declined"))


def _is_left(own: OwnOrder, held: Decimal) -> bool:
    # Sent already, or on its way; one that is only intended goes out no more.
    stands = own.status.is_live and own.status is not Status.INTENDED
    return is_protection(own) and stands and _would_close(own, held)


def _would_close(own: OwnOrder, held: Decimal) -> bool:
    closing = Side.SELL if held > 0 else Side.BUY
    return held != 0 and own.order.key.side is closing


def _forgotten(known: dict[str, Any]) -> dict[str, Any]:
    return {name: known[name] for name in ("attempt", "declined") if name in known}


def _pause(tries: int) -> timedelta:
    if tries <= AT_ONCE:
        return timedelta(0)
    return min(FIRST_PAUSE * (1 << min(tries - AT_ONCE - 1, 16)), LONGEST_PAUSE)


def _is_put_off(bot: LiveBot, now: datetime) -> bool:
    if _known_refusal(bot) == NO_STOPS:
        return True
    told = (bot.protection or {}).get("asked_again")
    return told is not None and now < datetime.fromisoformat(told)


def wake_with(wake: Triggers, wanted: Protection | None) -> Triggers:
    """Return triggers that also wake at the stop's price: what it does there is news."""
    if wanted is None:
        return wake
    if wanted.side is Side.SELL:
        below = wanted.trigger if wake.below is None else max(wake.below, wanted.trigger)
        return Triggers(below, wake.above)
    above = wanted.trigger if wake.above is None else min(wake.above, wanted.trigger)
    return Triggers(wake.below, above)


def _without_coins(live: Sequence[OwnOrder], result: Tick, view: View) -> list[Place]:
    """Return new sells that need coins which the stop locks; none of them goes out before it."""
    sells = [i for i in result.intents if isinstance(i, Place) and i.key.side is Side.SELL]
    locked = sum((own.order.remaining for own in live), ZERO)
    needed = sum((place.quantity for place in sells), ZERO)
    return sells if needed > view.holdings.base - _resting_sells(view) - locked else []


def _uncovered(result: Tick, view: View) -> Decimal:
    held = view.holdings.base
    if view.market.kind is MarketKind.LINEAR:
        return view.market.quantity_down(abs(held))
    new = (i for i in result.intents if isinstance(i, Place) and i.key.side is Side.SELL)
    free = held - _resting_sells(view) - sum((place.quantity for place in new), ZERO)
    return view.market.quantity_down(max(ZERO, free))


def _resting_sells(view: View) -> Decimal:
    return sum(
        (o.remaining for o in view.orders if o.status.is_live and o.key.side is Side.SELL), ZERO
    )


def _closes(result: Tick) -> bool:
    return any(isinstance(i, Place) and i.key.purpose in CLOSING for i in result.intents)


def _stop(bot: LiveBot, wanted: Protection, quantity: Decimal) -> Place:
    known = bot.protection or {}
    attempt = int(known.get("attempt", -1)) + 1
    bot.protection = {**known, "attempt": attempt}
    values = {"trigger": exact_text(wanted.trigger), "quantity": exact_text(quantity)}
    return Place(
        OrderKey(Purpose.PROTECT, None, wanted.side),
        attempt,
        OrderKind.STOP,
        wanted.trigger,
        quantity,
        Reason("protection", values),
        reduce_only=True,
    )


def _refused(bot: LiveBot, own: OwnOrder) -> Event:
    values = {"code": own.error or "", "price": exact_text(own.order.price or ZERO)}
    return Event(bot.id, "protection_refused", values, Severity.WARNING)


def _known_refusal(bot: LiveBot) -> Any:
    return (bot.protection or {}).get("refused")


def _note(
    bot: LiveBot,
    wanted: Protection | None,
    fitting: Sequence[OwnOrder],
    place: Place | None,
    view: View,
) -> None:
    """Keep for the bot's page what rests, and what only the engine would sell."""
    known = bot.protection or {}
    if wanted is None:
        bot.protection = _forgotten(known) or None
        return
    stands = any(own.status in AT_VENUE for own in fitting)
    resting = sum((own.order.remaining for own in fitting), ZERO)
    if place is not None:
        resting = place.quantity
    bot.protection = {
        "attempt": known.get("attempt", -1),
        "trigger": exact_text(wanted.trigger),
        "side": wanted.side.value,
        "resting": exact_text(resting),
        "by_engine": exact_text(max(ZERO, abs(view.holdings.base) - resting)),
        "refused": None if stands else known.get("refused"),
    }
    if not stands and "refusals" in known:
        bot.protection |= {name: known[name] for name in ("refusals", "asked_again")}
