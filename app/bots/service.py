"""Verbs: create, edit, start, stop, lock and delete a bot.

Every change of state happens under the bot's row lock and follows the table in `rules.py`; what a
repeated request finds done already is left as it is.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Select, delete, exists, func, select, text

from app.accounts import audit
from app.accounts.queries import is_expert
from app.bots import rules
from app.bots.funds import check_funds, read_funds
from app.bots.grounds import check_usable, find_grounds, own_account
from app.bots.metrics import flow_money
from app.bots.models import Bot, BotConfig, BotEvent, BotMetrics, BotShare, BotState
from app.bots.planning import (
    Prospect,
    Settings,
    check_settings,
    grounds_of,
    limit_problems,
    prospect,
)
from app.bots.rules import Action, Seen
from app.bots.wake import request_ticks
from app.db import db, utc_now
from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.exchanges.models import ExchangeAccount
from app.exchanges.queries import paper_position
from app.notifications.stream import hint
from app.subscriptions.queries import limits_of
from app.subscriptions.service import check_may_start
from app.trades.models import LIVE_STATES, OrderRow
from app.trading.codec import to_json
from app.trading.guard import Guard, read_guard, write_guard
from app.trading.intents import plain_values
from app.trading.market import Market, MarketKind
from app.trading.strategy import InvalidParams, Problem, StopHow
from app.transactions import after_commit

MOST_BOTS = 500
LARGEST_ID = 2**63 - 1
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


# --- creating and editing -------------------------------------------------------------------------


def create_bot(
    user_id: int,
    account_id: int,
    market_id: int,
    strategy: str,
    params: Mapping[str, object],
    name: str,
    capital: Decimal | None = None,
    limits: Mapping[str, object] | None = None,
) -> int:
    """Add a stopped bot and return its id; beyond `limits` it will pause.

    Raise InvalidParams naming every bad field, NotFound for an account or pair that is not
    theirs, Conflict where new trading is not possible.
    """
    name = rules.tidy_name(name)
    account = own_account(user_id, account_id)
    grounds = find_grounds(account, market_id)
    check_usable(grounds)
    guard = Guard()
    wrong: list[Problem] = []
    try:
        guard = read_guard(limits or {})
    except InvalidParams as bad:
        wrong += bad.problems
    try:
        settings = check_settings(grounds, strategy, params, capital)
    except InvalidParams as bad:
        raise InvalidParams((*bad.problems, *wrong)) from None
    wrong += limit_problems(guard, settings)
    if wrong:
        raise InvalidParams(tuple(wrong))
    _check_count(user_id)
    now = utc_now()
    bot = Bot(
        user_id=user_id,
        account_id=account.id,
        market_id=market_id,
        name=name,
        strategy=strategy,
        symbols=[grounds.market.symbol],
        capital=settings.capital,
        currency=grounds.market.quote,
        mode=account.mode,
        state=BotState.STOPPED.value,
        state_since=now,
        state_reason={"code": "not_started_yet", "values": {}},
        plan=to_json(settings.plan),
        guard=stored_guard(guard),
        created_at=now,
    )
    db.session.add(bot)
    db.session.flush()
    db.session.add(BotMetrics(bot_id=bot.id, updated_at=now))
    add_version(bot, settings.strategy.encode_params(settings.params), user_id, now)
    tell(bot, "bot_created", user_id, {}, now)
    announce(bot)
    return bot.id


def edit_bot(
    user_id: int,
    bot_id: int,
    strategy: str,
    params: Mapping[str, object],
    name: str,
    capital: Decimal | None = None,
) -> None:
    """Give a bot that does not run new settings as a new version; raise Conflict if it runs."""
    bot = locked_bot(bot_id, user_id)
    rules.next_state(bot.state, Action.EDIT)
    name = rules.tidy_name(name)
    grounds = grounds_of(bot)
    settings = check_settings(grounds, strategy, params, capital)
    if _is_same(bot, settings) and bot.name == name:
        return
    now = utc_now()
    bot.name = name
    if not _is_same(bot, settings):
        bot.config_version += 1
        bot.strategy, bot.capital = strategy, settings.capital
        bot.strategy_state = None
        bot.plan = to_json(settings.plan)
        add_version(bot, settings.strategy.encode_params(settings.params), user_id, now)
        tell(bot, "settings_changed", user_id, {"version": bot.config_version}, now)
    announce(bot)


def change_bot(
    user_id: int,
    bot_id: int,
    changes: Mapping[str, object],
    name: str | None = None,
    strategy: str | None = None,
) -> None:
    """Change some settings and leave the others as they are; a name alone changes in any state.

    Raise Conflict if the bot runs, InvalidParams naming every bad field. Another strategy begins
    with its own defaults.
    """
    bot = locked_bot(bot_id, user_id)
    if not changes and strategy in {None, bot.strategy}:
        if name is not None and rules.tidy_name(name) != bot.name:
            bot.name = rules.tidy_name(name)
            announce(bot)
        return
    version = db.session.get_one(BotConfig, (bot.id, bot.config_version))
    kept = version.params if strategy in {None, version.strategy} else {}
    edit_bot(
        user_id,
        bot_id,
        strategy or bot.strategy,
        {**kept, **changes},
        bot.name if name is None else name,
    )


def add_version(
    bot: Bot, params: Mapping[str, object], actor_id: int | None, now: datetime
) -> None:
    """Keep a bot's strategy, capital and these settings as its present version."""
    db.session.add(
        BotConfig(
            bot_id=bot.id,
            version=bot.config_version,
            strategy=bot.strategy,
            params=dict(params),
            capital=bot.capital,
            created_at=now,
            created_by=actor_id,
        )
    )


def _is_same(bot: Bot, settings: Settings) -> bool:
    version = db.session.get(BotConfig, (bot.id, bot.config_version))
    encoded = settings.strategy.encode_params(settings.params)
    return (
        version is not None
        and version.strategy == settings.strategy.name
        and version.params == encoded
        and version.capital == settings.capital
    )


def _check_count(user_id: int) -> None:
    own = select(func.count(Bot.id)).where(Bot.user_id == user_id, Bot.deleted_at.is_(None))
    if (db.session.scalar(own) or 0) >= MOST_BOTS:
        raise Conflict("too_many_bots", maximum=MOST_BOTS)


# --- starting -------------------------------------------------------------------------------------


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
    _renew(bot)
    _turn(bot, state, now, "start_requested")
    bot.next_tick_at = now


def _renew(bot: Bot) -> None:
    """Let a bot begin once more: whatever its last start has left is forgotten or put by."""
    bot.ran_before_s += _ran_last(bot)
    bot.epoch += 1
    bot.started_at = bot.stopped_at = None
    bot.strategy_state = None
    bot.stop_request = None
    bot.wake_below = bot.wake_above = None
    bot.failures, bot.last_error, bot.last_error_at = 0, None, None
    bot.stale_since = None


def _ran_last(bot: Bot) -> int:
    if bot.started_at is None:
        return 0
    ended = bot.stopped_at or bot.state_since
    return max(0, int((ended - bot.started_at).total_seconds()))


# --- stopping -------------------------------------------------------------------------------------


def request_stop(user_id: int, bot_id: int, how: StopHow, *, by_operator: bool = False) -> None:
    """Ask a bot to stop, and say what becomes of its coins and orders.

    Raise Forbidden when a beginner wants to leave orders on the exchange; whoever runs the
    installation may do it for them.
    """
    bot = locked_bot(bot_id, user_id)
    if how is StopHow.LEAVE_ORDERS and not by_operator and not is_expert(user_id):
        raise Forbidden("leave_orders_for_experts", field="how")
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
    if rules.may(bot.state, Action.STOP):
        _stop(bot, how, None, code, values)


def _stop(
    bot: Bot, how: StopHow, actor_id: int | None, code: str, values: Mapping[str, str | int]
) -> None:
    following = rules.next_state(bot.state, Action.STOP)
    if _may_clear(bot, how):
        following = BotState.STOPPING.value
        _end_again(bot)
    if following is None or bot.stop_request in {EMERGENCY, how.value}:
        return
    now = utc_now()
    bot.stop_request = how.value
    if bot.state != following:
        _turn(bot, following, now, code, values)
    bot.next_tick_at = now
    tell(bot, code, actor_id, values, now)
    announce(bot, tick=True)


def _may_clear(bot: Bot, how: StopHow) -> bool:
    """Tell whether a stop takes back orders that an earlier stop has left on the exchange."""
    is_stopped = bot.state == BotState.STOPPED.value
    return is_stopped and how is not StopHow.LEAVE_ORDERS and _has_live_orders(bot)


def _end_again(bot: Bot) -> None:
    """Let a stopped bot end once more: with its last state, for no start has to be possible now.

    Without one (its settings are others by now) a new start that is stopped at once does it.
    """
    state, epoch = bot.strategy_state, bot.epoch
    _renew(bot)
    if state is not None:
        bot.strategy_state, bot.epoch = state, epoch


def emergency_stop(user_id: int, bot_id: int, *, by_staff: tuple[int, str] | None = None) -> None:
    """Cancel everything, sell all coins at market and lock the bot; outranks every other stop.

    `by_staff` names who of the staff does it, and the reason that the owner reads.
    """
    bot = locked_bot(bot_id, user_id)
    following = rules.next_state(bot.state, Action.EMERGENCY)
    if following is None or bot.stop_request == EMERGENCY or bot.state == following == "locked":
        return
    now = utc_now()
    if following == BotState.LOCKED.value and _has_live_orders(bot):
        # Orders that were left on the exchange, as by another stop.
        following = BotState.STOPPING.value
        _end_again(bot)
    if following == BotState.STOPPING.value:
        bot.stop_request = EMERGENCY
        bot.next_tick_at = now
    _turn(bot, following, now, "emergency_stop")
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
    _turn(bot, following, now, "unlocked")
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
    now = utc_now()
    _turn(bot, following, now, "resumed")
    # Whoever lets it go on after a loss counts from here.
    bot.guard_day = None
    bot.next_tick_at = now
    tell(bot, "bot_resumed", user_id, {}, now)
    announce(bot, tick=True)


def set_limits(
    user_id: int, bot_id: int, values: Mapping[str, object], seen: str | None = None
) -> None:
    """Set the limits beyond which a bot pauses; what is not named is no limit.

    `seen` are those that its owner has read (`limits_text`): raise Conflict
    `limits_moved_meanwhile` if they are others by now. Raise InvalidParams naming every bad field.
    """
    bot = locked_bot(bot_id, user_id)
    kept = stored_guard(read_guard(values))
    if bot.guard == kept:
        return
    if seen is not None and seen != limits_text(bot.guard):
        raise Conflict("limits_moved_meanwhile")
    now = utc_now()
    bot.guard, bot.guard_day = kept, None
    tell(bot, "limits_changed", user_id, {}, now)
    announce(bot, tick=True)


def stored_guard(guard: Guard) -> dict[str, str | int | bool | None] | None:
    """Return limits as they are stored, None if there is none."""
    limits = write_guard(guard)
    return {name: value for name, value in limits.items() if value is not None} or None


def limits_text(guard: Mapping[str, object] | None) -> str:
    """Write stored limits for a hidden field."""
    return ",".join(f"{name}={value}" for name, value in sorted((guard or {}).items()))


def delete_bot(user_id: int, bot_id: int) -> None:
    """Take a stopped bot out of all lists; its orders and trades stay in the history."""
    bot = locked_bot(bot_id, user_id)
    rules.next_state(bot.state, Action.DELETE)
    if _has_live_orders(bot):
        raise Conflict("orders_still_open")
    bot.deleted_at = utc_now()
    db.session.execute(delete(BotShare).where(BotShare.bot_id == bot_id))
    tell(bot, "bot_deleted", user_id, {}, bot.deleted_at)
    announce(bot)


# --- shared ---------------------------------------------------------------------------------------


def locked_bot(bot_id: int, user_id: int | None = None) -> Bot:
    """Return a bot, locked to the transaction's end; raise NotFound for one that is not theirs."""
    query = (
        select(Bot)
        .where(Bot.id == bot_id, Bot.deleted_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    bot = db.session.scalar(query) if 0 < bot_id <= LARGEST_ID else None
    if bot is None or (user_id is not None and bot.user_id != user_id):
        raise NotFound("bot_not_found")
    return bot


def _has_live_orders(bot: Bot) -> bool:
    query = exists().where(
        OrderRow.account_id == bot.account_id, OrderRow.bot_id == bot.id, text(LIVE_STATES)
    )
    return bool(db.session.scalar(select(query)))


def _turn(
    bot: Bot, state: str, now: datetime, code: str, values: Mapping[str, str | int] | None = None
) -> None:
    bot.state, bot.state_since = state, now
    bot.state_reason = {"code": code, "values": dict(values or {})}


def tell(
    bot: Bot,
    code: str,
    actor_id: int | None,
    values: Mapping[str, str | int | Decimal],
    now: datetime,
    level: str = "info",
) -> None:
    """Add a line to a bot's log."""
    db.session.add(
        BotEvent(
            bot_id=bot.id,
            at=now,
            level=level,
            code=code,
            values=plain_values(values),
            actor_id=actor_id,
        )
    )


def announce(bot: Bot, *, tick: bool = False) -> None:
    """Tell open pages after the commit, and have the account ticked."""
    user_id, bot_id, account_id = bot.user_id, bot.id, bot.account_id
    if tick:
        after_commit(lambda: request_ticks([account_id]))
    after_commit(lambda: hint(user_id, f"bot:{bot_id}", "dashboard"))
