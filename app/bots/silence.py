"""Bots that nobody has looked at for too long: marked, started anew, given up if that is no help.

A silent bot is made due again at every sweep. That counts as a try only if a worker looked for work
since the try before, and if the exchange of its account answers: while the engine itself stands
still, or an exchange is away, no bot is to blame, and none is ended for it.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, or_, select, update

from app.bots.live.rows import RUNNING_STATES
from app.bots.models import Bot, BotEvent, BotState
from app.bots.verbs import announce, tell
from app.db import db, utc_now

log = logging.getLogger(__name__)

# A bot may miss two periods before anybody is told.
PERIODS_BEFORE_STALE = 3
LEAST_SILENCE_S = 30
# So many new starts that no tick followed, and a bot is given up: about five minutes of sweeps.
MOST_RESTARTS = 10
BETWEEN_RESTARTS = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class _Silent:
    """A running bot that waits for its tick for too long."""

    id: int
    account_id: int
    state: str
    stop_request: str | None
    last: datetime
    stale_since: datetime | None
    restarts: int
    restarted_at: datetime | None


def restart_silent_bots(
    looked_at: datetime | None, away: Callable[[Iterable[int]], set[int]]
) -> set[int]:
    """Mark running bots that are silent for too long, and have them ticked anew.

    Their next tick takes the mark away. `looked_at` is when a worker last looked for work, `away`
    tells accounts whose exchange does not answer. A bot that stays silent through `MOST_RESTARTS`
    tries is turned to `error`; one that was asked to stop never is. Return the accounts to be
    ticked now. Staff sees marked bots on the first page of the desk.
    """
    now = utc_now()
    silent = _find_silent(now)
    if not silent:
        return set()
    _mark([bot for bot in silent if bot.stale_since is None], now)
    marked = [bot for bot in silent if bot.stale_since is not None]
    tried = _count_tries(marked, looked_at, away, now)
    for bot in tried:
        if bot.restarts + 1 >= MOST_RESTARTS:
            _give_up(bot, now)
    return {bot.account_id for bot in silent}


def _find_silent(now: datetime) -> list[_Silent]:
    silence = func.greatest(PERIODS_BEFORE_STALE * Bot.tick_period_s, LEAST_SILENCE_S)
    last = func.coalesce(Bot.last_tick_at, Bot.state_since)
    is_silent = last < now - func.make_interval(0, 0, 0, 0, 0, 0, silence)
    # A row that is locked belongs to a tick or to somebody's verb: the next sweep looks again.
    query = (
        select(
            Bot.id,
            Bot.account_id,
            Bot.state,
            Bot.stop_request,
            last,
            Bot.stale_since,
            Bot.restarts,
            Bot.restarted_at,
        )
        .where(Bot.state.in_(RUNNING_STATES), or_(is_silent, Bot.stale_since.is_not(None)))
        .order_by(Bot.id)
        .with_for_update(skip_locked=True)
    )
    return [_Silent(*row) for row in db.session.execute(query)]


def _mark(newly: Sequence[_Silent], now: datetime) -> None:
    for bot in newly:
        since = bot.last.isoformat(timespec="seconds")
        log.error("bot_silent bot=%s account=%s since=%s", bot.id, bot.account_id, since)
        db.session.add(
            BotEvent(
                bot_id=bot.id, at=now, level="warning", code="bot_silent", values={"since": since}
            )
        )
    _change(newly, stale_since=now, restarts=0, restarted_at=now, next_tick_at=now)


def _count_tries(
    marked: Sequence[_Silent],
    looked_at: datetime | None,
    away: Callable[[Iterable[int]], set[int]],
    now: datetime,
) -> list[_Silent]:
    """Make marked bots due once more; return those whose last try has not helped."""
    _change(marked, next_tick_at=now)
    asked = [
        bot
        for bot in marked
        if bot.restarted_at is None or bot.restarted_at <= now - BETWEEN_RESTARTS
    ]
    excused = away({bot.account_id for bot in asked}) if asked else set()
    failed = [
        bot
        for bot in asked
        if bot.account_id not in excused
        and _is_later(looked_at, bot.restarted_at)
        and bot.stop_request is None
        and bot.state != BotState.STOPPING.value
    ]
    if len(failed) < len(asked):
        log.error("bots_not_ticked bots=%s looked_at=%s", len(asked) - len(failed), looked_at)
    _change(asked, restarted_at=now)
    _change(failed, restarts=Bot.restarts + 1)
    return failed


def _is_later(looked_at: datetime | None, than: datetime | None) -> bool:
    return looked_at is not None and (than is None or looked_at > than)


def _give_up(silent: _Silent, now: datetime) -> None:
    bot = db.session.get_one(Bot, silent.id, populate_existing=True)
    values: dict[str, str | int | Decimal] = {
        "tries": MOST_RESTARTS,
        "since": silent.last.isoformat(timespec="seconds"),
    }
    log.error("bot_given_up bot=%s account=%s since=%s", bot.id, bot.account_id, values["since"])
    bot.state, bot.state_since = BotState.ERROR.value, now
    bot.state_reason = {"code": "bot_given_up", "values": values}
    bot.next_tick_at = bot.wake_below = bot.wake_above = None
    tell(bot, "bot_gave_up", None, values, now, "error")
    # Its orders are taken back as soon as its account can be ticked.
    announce(bot, tick=True)


def _change(bots: Sequence[_Silent], **values: object) -> None:
    if bots:
        db.session.execute(update(Bot).where(Bot.id.in_([bot.id for bot in bots])).values(**values))
