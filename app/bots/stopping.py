"""Ending and holding a bot: stop, emergency stop, unlock, and letting a paused one go on.

The emergency stop outranks every other stop. A stopped bot is stopped again to take back what it
has left on the exchange.
"""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import Select, select

from app.accounts import audit
from app.accounts.queries import is_expert
from app.bots import rules
from app.bots.funds import read_funds
from app.bots.models import Bot, BotState
from app.bots.rules import Action
from app.bots.verbs import (
    LARGEST_ID,
    announce,
    coins_to_sell,
    has_account,
    has_left_stop,
    has_live_orders,
    holds_contract,
    locked_bot,
    renew,
    tell,
    turn,
)
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput
from app.exchanges.models import ExchangeAccount
from app.markets.models import MarketRow
from app.markets.service import DELISTED
from app.trading.strategy import StopHow

MAX_REASON = 500
EMERGENCY = "emergency"
# Whose orders may stand: all but bots that ended as they should.
IN_DANGER = tuple(
    state.value
    for state in (
        BotState.STARTING,
        BotState.ACTIVE,
        BotState.PAUSED,
        BotState.STOPPING,
        BotState.ERROR,
    )
)


def request_stop(user_id: int, bot_id: int, how: StopHow, *, by_operator: bool = False) -> None:
    """Ask a bot to stop, and say what becomes of its coins and orders.

    Raise Forbidden when a beginner wants to leave orders on the exchange; whoever runs the
    installation may do it for them.
    """
    bot = locked_bot(bot_id, user_id)
    if how is StopHow.LEAVE_ORDERS and not by_operator and not is_expert(user_id):
        raise Forbidden("leave_orders_for_experts", field="how")
    if how is StopHow.KEEP and bot.state == BotState.STOPPED.value and has_left_stop(bot):
        # Whoever asks once more wants the rest gone too, the stop of a kept position.
        bot.protection = {**(bot.protection or {}), "declined": True}
    if _sells_coins(bot, how):
        _check_coins_are_its_own(bot)
    _stop(bot, how, user_id, "stopped_by_owner", {"how": how.value})


def staff_stop(actor_id: int, bot_id: int, reason: str, how: StopHow = StopHow.KEEP) -> None:
    """Stop anybody's bot for a reason that its owner reads; audited.

    The caller has checked the right.
    """
    reason = _tidy_reason(reason)
    bot = locked_bot(bot_id)
    before = {"state": bot.state, "stop_request": bot.stop_request}
    _stop(bot, how, actor_id, "stopped_by_staff", {"reason": reason, "how": how.value})
    audit.record(
        "bot.stop",
        "bot",
        bot.id,
        actor_id=actor_id,
        before=before,
        after={"state": bot.state, "stop_request": bot.stop_request},
        reason=reason,
    )


def _tidy_reason(reason: str) -> str:
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise InvalidInput("bad_stop_reason", field="reason", maximum=MAX_REASON)
    return reason


def system_stop(bot_id: int, code: str, how: StopHow = StopHow.KEEP, **values: str | int) -> None:
    """Stop a bot because the product says so (key off, plan ended); the code says why."""
    bot = locked_bot(bot_id)
    if rules.may(bot.state, Action.STOP) or _may_clear(bot, how):
        _stop(bot, how, None, code, values)
    elif bot.state == BotState.LOCKED.value:
        # Orders that are found there are taken back as at its emergency stop.
        emergency_stop(bot.user_id, bot_id)


def _stop(
    bot: Bot, how: StopHow, actor_id: int | None, code: str, values: Mapping[str, str | int]
) -> None:
    following = rules.next_state(bot.state, Action.STOP)
    if _may_clear(bot, how) or _sells_coins(bot, how):
        following = BotState.STOPPING.value
        renew(bot)
    if following is None or bot.stop_request in {EMERGENCY, how.value}:
        return
    now = utc_now()
    bot.stop_request = how.value
    if bot.state != following:
        turn(bot, following, now, code, values)
    bot.next_tick_at = now
    tell(bot, code, actor_id, values, now)
    announce(bot, tick=True)


def _may_clear(bot: Bot, how: StopHow) -> bool:
    """Tell whether a stop clears what an earlier one has left: orders, or a contract's position."""
    if bot.state != BotState.STOPPED.value or how is StopHow.LEAVE_ORDERS or not has_account(bot):
        return False
    if how is StopHow.KEEP and has_left_stop(bot) and not (bot.protection or {}).get("declined"):
        return has_live_orders(bot, but_stop=True)
    return has_live_orders(bot) or (how is StopHow.SELL and holds_contract(bot))


def _sells_coins(bot: Bot, how: StopHow) -> bool:
    """Tell whether a stop sells coins that a stopped bot has kept; dust stays."""
    if bot.state != BotState.STOPPED.value or how is not StopHow.SELL:
        return False
    return has_account(bot) and coins_to_sell(bot) > 0


def _check_coins_are_its_own(bot: Bot) -> None:
    """Raise Conflict where another bot may have taken over the coins that a stopped one has kept.

    They were free for others since. What a real account holds is not known here, so one that is
    busy with the same coin is enough there.
    """
    account = db.session.get_one(ExchangeAccount, bot.account_id)
    base = db.session.get_one(MarketRow, bot.market_id).base
    paper = account.mode == "paper"
    funds = read_funds(account, but=bot.id, balances=None if paper else {})
    claimed = funds.claimed.get(base, Decimal(0))
    is_free = funds.free(base) >= coins_to_sell(bot) if paper else claimed <= 0
    if not is_free:
        raise Conflict("coins_in_use", field="how", currency=base)


def emergency_stop(user_id: int, bot_id: int, *, by_staff: tuple[int, str] | None = None) -> None:
    """Cancel everything, sell all coins at market and lock the bot; outranks every other stop.

    `by_staff` names who of the staff does it, and the reason that the owner reads.
    """
    bot = locked_bot(bot_id, user_id)
    following = rules.next_state(bot.state, Action.EMERGENCY)
    if following is None or bot.stop_request == EMERGENCY or bot.state == following == "locked":
        return
    now = utc_now()
    if following == BotState.LOCKED.value and _may_clear(bot, StopHow.SELL):
        # What was left on the exchange goes too, as by another stop.
        following = BotState.STOPPING.value
        renew(bot)
    if following == BotState.STOPPING.value:
        bot.stop_request = EMERGENCY
        bot.next_tick_at = now
    turn(bot, following, now, "emergency_stop")
    if by_staff is None:
        tell(bot, "emergency_requested", user_id, {}, now, "warning")
    else:
        actor_id, reason = by_staff
        tell(bot, "emergency_by_staff", actor_id, {"reason": reason}, now, "warning")
    announce(bot, tick=True)


def emergency_stop_all(
    actor_id: int, reason: str, *, user_id: int | None = None, exchange: str | None = None
) -> int:
    """Stop all bots of a person or of an exchange at once, as their owners could; audited.

    Return how many are stopped by it. The caller has checked the right.
    """
    reason = _tidy_reason(reason)
    if (user_id is None) == (exchange is None):
        raise InvalidInput("choose_whom_to_stop", field="user_id")
    query = bots_in_danger(user_id, exchange)
    stopped = db.session.execute(query.order_by(Bot.id)).all()
    for bot_id, owner_id in stopped:
        emergency_stop(owner_id, bot_id, by_staff=(actor_id, reason))
    whom = ("user", user_id) if user_id is not None else ("exchange", exchange)
    audit.record(
        "bots.emergency",
        whom[0],
        str(whom[1]),
        actor_id=actor_id,
        after={"bots": [bot_id for bot_id, _ in stopped]},
        reason=reason,
    )
    return len(stopped)


def bots_in_danger(user_id: int | None, exchange: str | None) -> Select[int, int]:
    """Return the query of bots, with owners, that an emergency stop for many closes."""
    query = select(Bot.id, Bot.user_id).where(
        Bot.deleted_at.is_(None),
        Bot.state.in_(IN_DANGER),
        Bot.stop_request.is_distinct_from(EMERGENCY),
    )
    if user_id is not None:
        return query.where(Bot.user_id == (user_id if 0 < user_id <= LARGEST_ID else 0))
    accounts = select(ExchangeAccount.id).where(ExchangeAccount.exchange == exchange)
    return query.where(Bot.account_id.in_(accounts))


def unlock(user_id: int, bot_id: int) -> None:
    """Let a bot be started again after an emergency stop."""
    bot = locked_bot(bot_id, user_id)
    following = rules.next_state(bot.state, Action.UNLOCK)
    if following is None:
        return
    now = utc_now()
    turn(bot, following, now, "unlocked")
    tell(bot, "bot_unlocked", user_id, {}, now)
    announce(bot)


def resume(user_id: int, bot_id: int, seen: str | None = None) -> None:
    """Let a paused bot trade on; its next tick looks at its limits again.

    `seen` is since when it paused, as its owner has read it: raise Conflict `paused_anew` if it has
    paused once more since, maybe for another reason.
    """
    bot = locked_bot(bot_id, user_id)
    following = rules.next_state(bot.state, Action.RESUME)
    if following is None:
        return
    if seen is not None and seen != bot.state_since.isoformat():
        raise Conflict("paused_anew")
    if db.session.get_one(MarketRow, bot.market_id).blocked_reason == DELISTED:
        # It would only be refused again; it goes on by itself when the pair is back.
        raise Conflict("market_delisted", symbol=bot.symbols[0])
    now = utc_now()
    turn(bot, following, now, "resumed")
    # Whoever lets it go on after a loss counts from here.
    bot.guard_day = None
    bot.next_tick_at = now
    tell(bot, "bot_resumed", user_id, {}, now)
    announce(bot, tick=True)
