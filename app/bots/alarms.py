"""Mails to owners whose bot has given up, was paused, or was stopped with a position: one each."""

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, or_, select

from app.accounts.models import User
from app.bots.grounds import pair_of
from app.bots.models import Bot, BotMetrics, BotState
from app.bots.rules import STUCK_AFTER
from app.bots.verbs import tell
from app.bots.wording import say
from app.db import db, utc_now
from app.i18n import use_locale
from app.markets.models import MarketRow
from app.notifications.service import send_mail
from app.trades.queries import Line
from app.trading.market import MarketKind
from app.trading.strategy import COINS_MISSING, SALE_FAILED

log = logging.getLogger(__name__)

# What happened earlier is known by now, also to whoever has just switched this on.
LATEST = timedelta(days=1)
AT_ONCE = 200
_SALES = {SALE_FAILED: "sale_failed", COINS_MISSING: "coins_missing"}
# Their owners know, or are told otherwise.
_ASKED_FOR = ("stopped_by_owner", "account_leaving", SALE_FAILED)
# Why bots pause by themselves, and whether their orders can be reached meanwhile.
_PAUSES = {
    "exchange_key_refused": False,
    "margin_not_isolated": True,
    "position_mode_hedged": True,
    "pair_delisted": True,
}
# What is said of an error while the bot goes on; nobody is told so of its end.
_UNNAMED = frozenset({"unexpected", "tick_failed"})


def tell_owners() -> None:
    """Write to owners and the log whatever of their bots has not been told yet."""
    alarm_owners()
    tell_of_pauses()
    tell_of_failed_sales()
    tell_of_stuck_stops()
    tell_of_positions()


def alarm_owners() -> int:
    """Write to the owners of bots in error that have not been told yet; return how many mails.

    The state and its reason say what happened, whoever has noticed it: a tick or the sweep.
    """
    now = utc_now()
    bots = db.session.scalars(_untold(BotState.ERROR)).all()
    for bot in bots:
        bot.alarmed_at = now
        reason = bot.state_reason or {}
        log.error("bot_in_error bot=%s user=%s reason=%s", bot.id, bot.user_id, reason.get("code"))
        _send(bot, "bot_in_error")
    return len(bots)


def tell_of_positions() -> int:
    """Write to the owners of bots that ended unasked and hold a contract; return how many mails.

    The mail says what becomes of the position: its stop stays at the exchange, or nothing does.
    """
    now = utc_now()
    reason = Bot.state_reason["code"].astext
    query = (
        _untold(BotState.STOPPED)
        .join(BotMetrics, BotMetrics.bot_id == Bot.id)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .where(
            Bot.stopped_at > now - LATEST,
            reason.not_in(_ASKED_FOR),
            MarketRow.kind != MarketKind.SPOT.value,
            BotMetrics.base != 0,
        )
    )
    bots = db.session.scalars(query).all()
    for bot in bots:
        bot.alarmed_at = now
        owner = db.session.get_one(User, bot.user_id)
        if owner.is_active and owner.is_confirmed:
            told = _told(bot, owner.language, bot.state_reason)
            left = (bot.protection or {}).get("left")
            send_mail(owner, "position_kept", **told, has_stop=bool(left))
    return len(bots)


def tell_of_failed_sales() -> int:
    """Write to the owners of bots that were to sell and could not, not all; return how many."""
    query = _untold(BotState.STOPPED).where(Bot.state_reason["code"].astext.in_(_SALES))
    bots = db.session.scalars(query).all()
    for bot in bots:
        bot.alarmed_at = utc_now()
        why = bot.state_reason["code"]
        log.error("sale_failed bot=%s user=%s reason=%s", bot.id, bot.user_id, why)
        _send(bot, _SALES[why])
    return len(bots)


def tell_of_stuck_stops() -> int:
    """Tell owners and staff of stops that do not come to their end; return how many."""
    now = utc_now()
    query = _untold(BotState.STOPPING).where(Bot.state_since < now - STUCK_AFTER)
    bots = db.session.scalars(query).all()
    for bot in bots:
        bot.alarmed_at = now
        log.error("stop_stuck bot=%s user=%s how=%s", bot.id, bot.user_id, bot.stop_request)
        tell(bot, "stop_stuck", None, {}, now, "error")
        _send(bot, "stop_stuck")
    return len(bots)


def _untold(state: BotState) -> Select[Bot]:
    return (
        select(Bot)
        .where(
            Bot.state == state.value,
            Bot.deleted_at.is_(None),
            Bot.state_since > utc_now() - LATEST,
            or_(Bot.alarmed_at.is_(None), Bot.alarmed_at < Bot.state_since),
        )
        .order_by(Bot.user_id, Bot.id)
        .limit(AT_ONCE)
        .with_for_update(of=Bot, skip_locked=True)
    )


def _send(bot: Bot, template: str) -> None:
    owner = db.session.get_one(User, bot.user_id)
    if owner.is_active and owner.is_confirmed:
        send_mail(owner, template, **_told(bot, owner.language, bot.state_reason))


def tell_of_pauses() -> int:
    """Write to the owners of bots that an exchange made pause; return how many mails.

    Bots that paused for one reason together, as those of a key that has ended, share a mail.
    """
    now = utc_now()
    reason_code = Bot.state_reason["code"].astext
    query = _untold(BotState.PAUSED).where(reason_code.in_(_PAUSES))
    groups: dict[tuple[object, ...], list[Bot]] = {}
    for bot in db.session.scalars(query).all():
        bot.alarmed_at = now
        reason = bot.state_reason
        # A key is the account's, a pair that is gone is gone for all accounts.
        where = bot.market_id if reason["code"] == "pair_delisted" else bot.account_id
        groups.setdefault((bot.user_id, reason["code"], where), []).append(bot)
    return sum(_tell_of_pause(bots) for bots in groups.values())


def _tell_of_pause(bots: list[Bot]) -> int:
    first = bots[0]
    code = first.state_reason["code"]
    log.warning("bots_paused bots=%s reason=%s", [bot.id for bot in bots], code)
    owner = db.session.get_one(User, first.user_id)
    if not owner.is_active or not owner.is_confirmed:
        return 0
    told = _told(first, owner.language, {**first.state_reason, "code": f"paused_{code}"})
    path = f"/bots/{first.id}" if len(bots) == 1 else "/bots"
    names = [f"“{bot.name}”" for bot in bots]
    reachable = _PAUSES[code]
    send_mail(
        owner, "bots_paused", bots=names, reason=told["reason"], path=path, reachable=reachable
    )
    return 1


def _told(bot: Bot, language: str, reason: dict[str, Any]) -> dict[str, Any]:
    pair = pair_of(db.session.get_one(MarketRow, bot.market_id))
    code = str(reason.get("code") or "unexpected")
    line = Line("error_repeated" if code in _UNNAMED else code, reason.get("values") or {})
    with use_locale(language):
        why = say(line, pair)
    return {
        "bot": bot.name, "bot_id": bot.id, "symbol": pair.symbol, "reason": why,
        "contract": pair.kind != MarketKind.SPOT.value,
    }  # fmt: skip
