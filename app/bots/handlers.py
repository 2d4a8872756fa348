"""What bots do when others announce something."""

import logging

from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, select, text, update

from app.accounts.deletion.events import PersonErasing, PersonLeaving
from app.bots import wake
from app.bots.leaving import let_go
from app.bots.models import Bot, BotState
from app.bots.queries.names import bots_beyond, unfinished_bots
from app.bots.rules import RUNNING
from app.bots.stopping import system_stop
from app.bots.verbs import announce, tell, turn
from app.db import db, utc_now
from app.errors import Conflict
from app.events import on
from app.exchanges import service as exchange_accounts
from app.exchanges.audits import ask_for_audit
from app.exchanges.events import AccountClosing, AccountSwitchedOff
from app.markets.events import PairsTurned, PricesMoved, RulesChanged
from app.markets.service import DELISTED
from app.subscriptions.events import PlanEnded
from app.subscriptions.queries import limits_of
from app.trades.models import LIVE_STATES, OrderRow
from app.trading.orders import Purpose
from app.trading.strategy import StopHow
from app.transactions import after_commit

log = logging.getLogger(__name__)

TRADING = (BotState.STARTING.value, BotState.ACTIVE.value)


@on(PricesMoved)
def wake_crossed_bots(event: PricesMoved) -> None:
    """Have the accounts ticked whose bots wait at a price that was reached."""
    try:
        reached: set[int] = set()
        for move in event.moves:
            reached |= wake.pop_crossed(move.market_id, move.low, move.high)
        wake.request_ticks(reached)
    except RedisError as error:
        # Their periodic ticks will find the price.
        log.warning("wake_lost error=%s", type(error).__name__)


@on(PairsTurned)
def mind_turned_pairs(event: PairsTurned) -> None:
    """Tell the owners of bots that run in a pair that it is blocked, or traded again.

    One that its exchange has dropped takes no orders: its bots pause until it is back, or until
    their owners stop them.
    """
    code = f"pair_{event.reason}" if event.reason else "pair_is_back"
    level = "warning" if event.reason else "info"
    bots = select(Bot).where(Bot.market_id.in_(event.market_ids), Bot.state.in_(RUNNING))
    now = utc_now()
    for bot in db.session.scalars(bots.order_by(Bot.id).with_for_update()).all():
        values = {"symbol": bot.symbols[0]}
        if event.reason == DELISTED and bot.state in TRADING:
            turn(bot, BotState.PAUSED.value, now, code, values)
            bot.next_tick_at = None
        elif not event.reason and _waits_for_pair(bot):
            turn(bot, BotState.ACTIVE.value, now, code, values)
            bot.next_tick_at = now
        tell(bot, code, None, values, now, level)
        announce(bot, tick=True)


def _waits_for_pair(bot: Bot) -> bool:
    is_paused = bot.state == BotState.PAUSED.value
    return is_paused and (bot.state_reason or {}).get("code") == f"pair_{DELISTED}"


@on(RulesChanged)
def fit_orders_anew(event: RulesChanged) -> None:
    """Let bots whose orders were refused try again at once, by the rules of now."""
    bots = select(Bot.account_id).where(Bot.market_id == event.market_id, Bot.state.in_(RUNNING))
    accounts = set(db.session.scalars(bots))
    ask_for_audit(accounts)
    after_commit(lambda: wake.request_ticks(accounts))


@on(AccountClosing)
def refuse_closing_a_used_account(event: AccountClosing) -> None:
    """Keep an account while a bot runs on it or orders of one still stand."""
    running = select(Bot.name).where(Bot.account_id == event.account_id, Bot.state.in_(RUNNING))
    name = db.session.scalar(running.order_by(Bot.id).limit(1))
    if name is not None:
        raise Conflict("bot_runs_on_account", name=name)
    is_stop = OrderRow.purpose == Purpose.PROTECT.value
    if not event.leaves_orders:
        _refuse_standing(event.account_id, ~is_stop, "account_has_orders")
    if not event.leaves_stops:
        _refuse_standing(event.account_id, is_stop, "account_has_stop")
    let_go([event.account_id])


def _refuse_standing(account_id: int, which: ColumnElement[bool], code: str) -> None:
    waiting = (
        select(Bot.name)
        .join(OrderRow, OrderRow.bot_id == Bot.id)
        .where(OrderRow.account_id == account_id, text(LIVE_STATES), which)
    )
    name = db.session.scalar(waiting.order_by(Bot.id).limit(1))
    if name is not None:
        raise Conflict(code, name=name)


@on(PersonErasing)
def let_go_of_accounts(event: PersonErasing) -> None:
    """End the books of what somebody who is erased has left at exchanges, and every look there."""
    let_go(exchange_accounts.let_go(event.user_id))


@on(AccountSwitchedOff)
def stop_bots_of_account(event: AccountSwitchedOff) -> None:
    """Stop what runs on an account that may not be used any more; coins are kept."""
    query = select(Bot.id).where(Bot.account_id == event.account_id, Bot.state.in_(RUNNING))
    for bot_id in db.session.scalars(query.order_by(Bot.id)).all():
        system_stop(bot_id, "key_off")


@on(PersonLeaving)
def stop_bots_of_leaver(event: PersonLeaving) -> None:
    """Stop all that runs for somebody who leaves, and take back orders that stand."""
    how = StopHow.SELL if event.sells else StopHow.KEEP
    for bot_id, _ in unfinished_bots(event.user_id):
        system_stop(bot_id, "account_leaving", how)


@on(PlanEnded)
def stop_bots_beyond_plan(event: PlanEnded) -> None:
    """Stop what the plan does not cover any more, the newest first, and slow the others down."""
    limits = limits_of(event.user_id)
    for bot_id, _ in bots_beyond(event.user_id, limits.max_bots, limits.max_live_bots):
        system_stop(bot_id, "plan_ended", plan=event.plan_code)
    db.session.execute(
        update(Bot)
        .where(Bot.user_id == event.user_id, Bot.tick_period_s < limits.tick_period_s)
        .values(tick_period_s=limits.tick_period_s)
    )
