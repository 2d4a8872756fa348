"""How a bot's state moves with its ticks, and when it is looked at next."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from app.bots.live.answers import Answer
from app.bots.live.booking import Books
from app.bots.live.rows import MOST_FAILURES, Event, LiveBot
from app.bots.models import BotState
from app.trading.intents import Reason
from app.trading.market import Triggers
from app.trading.orders import Status
from app.trading.strategy import COINS_MISSING, SALE_FAILED, Severity

LONGEST_PAUSE_S = 300
# The sweep that looks for due bots comes every two seconds: be early rather than late.
SWEEP_S = 2
ACCEPTED = frozenset({Status.OPEN, Status.PARTIAL, Status.FILLED})


def take_success(bot: LiveBot, answer: Answer, books: Books) -> None:
    """Note a tick that went well, and end the bot if its strategy has nothing more to do."""
    now = books.now
    bot.tick_number += 1
    bot.last_tick_at = now
    if bot.last_error != "no_price" or answer.wake != Triggers():
        bot.failures, bot.last_error, bot.last_error_at = 0, None, None
    bot.next_tick_at = now + _period(bot)
    if answer.finished is not None:
        _finish(bot, answer, answer.finished, now)
    elif bot.state == BotState.STARTING.value and _has_accepted(bot, books):
        bot.turn(BotState.ACTIVE, "", {}, now)
        bot.started_at = now


def take_failure(
    bot: LiveBot, code: str, values: Mapping[str, Any], now: datetime, for_good: bool
) -> Event:
    """Note a tick that failed: later again, and after five in a row not any more."""
    bot.failures += 1
    bot.last_error, bot.last_error_at, bot.last_tick_at = code, now, now
    if for_good or bot.failures >= MOST_FAILURES:
        bot.turn(BotState.ERROR, code, values, now)
        bot.next_tick_at, bot.triggers = None, Triggers()
        bot.stop_request = None
    else:
        pause = min(bot.tick_period_s * 2**bot.failures, LONGEST_PAUSE_S)
        bot.next_tick_at = now + timedelta(seconds=pause)
    return Event(bot.id, code, {**values, "failures": bot.failures}, Severity.ERROR)


def _finish(bot: LiveBot, answer: Answer, why: Reason, now: datetime) -> None:
    if bot.is_emergency:
        bot.turn(BotState.LOCKED, "emergency_stop", {}, now)
    else:
        # Whoever asked for the stop may have said why, unless they got another end.
        given = bot.state_reason if bot.stop_request is not None else {}
        code, values = why.code, why.values
        if given.get("code") and code not in {SALE_FAILED, COINS_MISSING}:
            code, values = given["code"], given.get("values") or {}
        bot.turn(BotState.STOPPED, code, values, now)
    answer.events.append(Event(bot.id, f"bot_{bot.state}", dict(bot.state_reason["values"])))
    bot.stopped_at, bot.next_tick_at, bot.stop_request = now, None, None
    bot.triggers = answer.wake = Triggers()


def _has_accepted(bot: LiveBot, books: Books) -> bool:
    return any(own.epoch == bot.epoch and own.status in ACCEPTED for own in books.orders[bot.id])


def _period(bot: LiveBot) -> timedelta:
    """Return the pause to the next tick: a little under the period, spread by bot."""
    spread = (bot.id * 2_654_435_761 + bot.tick_number * 40_503) % 1000 / 1000
    seconds = bot.tick_period_s * (1 - spread / 10) - SWEEP_S
    return timedelta(seconds=max(1, seconds))
