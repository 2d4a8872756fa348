"""Starting a bot: the plan as its owner has read it, free money, a contract to itself."""

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import Select, exists, select, text

from app.bots import rules
from app.bots.funds import check_funds, read_funds
from app.bots.grounds import check_price
from app.bots.metrics import flow_money
from app.bots.models import Bot, BotMetrics
from app.bots.planning import (
    Prospect,
    prospect,
)
from app.bots.rules import Action, Seen
from app.bots.verbs import announce, locked_bot, renew, tell, turn
from app.db import db, utc_now
from app.errors import Conflict
from app.exchanges.queries import paper_position
from app.subscriptions.queries import limits_of
from app.subscriptions.quotas import check_may_start
from app.trades.models import LIVE_STATES, OrderRow
from app.trading.codec import to_json
from app.trading.market import Market, MarketKind


def request_start(
    user_id: int,
    bot_id: int,
    seen: Seen | None,
    balances: Mapping[str, Decimal] | None = None,
) -> None:
    """Start a bot that its owner has confirmed; a bot that starts or runs already is left alone.

    `seen` is what the owner has read; raise Conflict `plan_moved` if the plan is another by now.
    `balances` are what a real account holds. Raise LimitReached over the plan's limit, Conflict if
    the money is not free.
    """
    bot = locked_bot(bot_id, user_id)
    following = rules.next_state(bot.state, Action.START)
    if following is None:
        return
    # Takes a lock for the person: two starts can't count the same money or the same place.
    check_may_start(user_id, bot.mode)
    ahead = prospect(bot)
    if rules.changed_materially(seen, ahead.seen, ahead.settings.capital):
        raise Conflict("plan_moved")
    check_price(ahead.grounds)
    account = ahead.grounds.account
    market = ahead.grounds.market
    funds = read_funds(account, but=bot.id, balances=balances)
    check_funds(funds, market.base, market.quote, ahead.needed)
    _check_contract_is_free(bot, market, balances)
    _begin(bot, ahead, following)
    tell(bot, "start_requested", user_id, {"version": bot.config_version}, bot.state_since)
    announce(bot, tick=True)


def start_as_planned_now(
    user_id: int, bot_id: int, balances: Mapping[str, Decimal] | None = None
) -> None:
    """Start a bot with the plan of this moment, whatever its owner has read; else as above."""
    bot = locked_bot(bot_id, user_id)
    if rules.next_state(bot.state, Action.START) is not None:
        request_start(user_id, bot_id, prospect(bot).seen, balances)


def _check_contract_is_free(
    bot: Bot, market: Market, balances: Mapping[str, Decimal] | None
) -> None:
    """Raise Conflict if the contract is not the bot's alone: an account has one position in it.

    `balances` name the positions of a real account by their symbols.
    """
    if market.kind is not MarketKind.LINEAR:
        return
    # Deleted ones too: what they have left is there all the same.
    others = (
        select(Bot.name)
        .where(Bot.account_id == bot.account_id, Bot.market_id == bot.market_id, Bot.id != bot.id)
        .limit(1)
    )
    _refuse_if_any(others.where(Bot.state.in_(rules.RUNNING)), "contract_is_taken")
    standing = exists().where(
        OrderRow.account_id == bot.account_id, OrderRow.bot_id == Bot.id, text(LIVE_STATES)
    )
    _refuse_if_any(others.where(standing), "contract_has_orders")
    known = db.session.get_one(BotMetrics, bot.id).base
    if balances is None:
        held = paper_position(bot.account_id, bot.market_id)
    else:
        held = balances.get(market.symbol, Decimal(0))
    if held == known:
        return
    holding = others.join(BotMetrics, BotMetrics.bot_id == Bot.id).where(BotMetrics.base != 0)
    _refuse_if_any(holding, "contract_is_held")
    raise Conflict("contract_has_position", held=f"{held:f}", known=f"{known:f}")


def _refuse_if_any(names: Select[str], code: str) -> None:
    name = db.session.scalar(names)
    if name is not None:
        raise Conflict(code, name=name)


def _begin(bot: Bot, ahead: Prospect, state: str) -> None:
    now = utc_now()
    metrics = db.session.get_one(BotMetrics, bot.id, with_for_update=True)
    flow_money(metrics, ahead.put_in, ahead.grounds.known_price, ahead.grounds.market, now)
    bot.capital = ahead.settings.capital
    bot.plan = to_json(ahead.settings.plan)
    bot.tick_period_s = limits_of(bot.user_id).tick_period_s
    renew(bot)
    # It has a stop of its own again.
    bot.protection = {k: v for k, v in (bot.protection or {}).items() if k == "attempt"} or None
    turn(bot, state, now, "start_requested")
    bot.next_tick_at = now
