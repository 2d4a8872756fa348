"""Verbs: create, edit, limit and delete a bot that does not run; a name changes in any state."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from sqlalchemy import delete, func, select

from app.bots import rules
from app.bots.grounds import check_usable, find_grounds, own_account
from app.bots.models import Bot, BotConfig, BotMetrics, BotShare, BotState
from app.bots.planning import (
    Settings,
    check_settings,
    grounds_of,
    limit_problems,
)
from app.bots.rules import Action
from app.bots.verbs import (
    announce,
    has_account,
    has_live_orders,
    holds_contract,
    locked_bot,
    put_by_state,
    tell,
)
from app.db import db, utc_now
from app.errors import Conflict
from app.trading.codec import to_json
from app.trading.guard import Guard, read_guard, write_guard
from app.trading.strategy import InvalidParams, Problem

MOST_BOTS = 500


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
    seen: int | None = None,
) -> None:
    """Give a bot that does not run new settings as a new version; raise Conflict if it runs.

    `seen` is the version that its owner has read: raise Conflict `settings_moved_meanwhile` if
    there is a newer one that says something else.
    """
    bot = locked_bot(bot_id, user_id)
    rules.next_state(bot.state, Action.EDIT)
    name = rules.tidy_name(name)
    grounds = grounds_of(bot)
    settings = check_settings(grounds, strategy, params, capital)
    if _is_same(bot, settings) and bot.name == name:
        return
    if seen is not None and seen != bot.config_version:
        raise Conflict("settings_moved_meanwhile")
    now = utc_now()
    bot.name = name
    if not _is_same(bot, settings):
        bot.config_version += 1
        put_by_state(bot)
        bot.strategy, bot.capital = strategy, settings.capital
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


def change_limits(user_id: int, bot_id: int, changes: Mapping[str, object]) -> None:
    """Set some limits and leave the others as they are; None takes one away."""
    kept = locked_bot(bot_id, user_id).guard or {}
    set_limits(user_id, bot_id, {**kept, **changes})


def stored_guard(guard: Guard) -> dict[str, str | int | bool | None] | None:
    """Return limits as they are stored, None if there is none."""
    limits = write_guard(guard)
    return {name: value for name, value in limits.items() if value is not None} or None


def limits_text(guard: Mapping[str, object] | None) -> str:
    """Write stored limits for a hidden field."""
    return ",".join(f"{name}={value}" for name, value in sorted((guard or {}).items()))


def delete_bot(user_id: int, bot_id: int, *, leaves: bool = False) -> None:
    """Take a stopped bot out of all lists; its orders and trades stay in the history.

    A position that it has kept at an exchange, and its stop, stay there if its owner `leaves` them.
    """
    bot = locked_bot(bot_id, user_id)
    rules.next_state(bot.state, Action.DELETE)
    if has_account(bot):
        _check_leaving(bot, leaves=leaves)
    bot.deleted_at = utc_now()
    db.session.execute(delete(BotShare).where(BotShare.bot_id == bot_id))
    tell(bot, "bot_deleted", user_id, {}, bot.deleted_at)
    announce(bot)


def _check_leaving(bot: Bot, *, leaves: bool) -> None:
    """Raise Conflict if a bot can't be deleted with what it has left."""
    if has_live_orders(bot, but_stop=bot.mode != "paper" and holds_contract(bot)):
        raise Conflict("orders_still_open")
    if not holds_contract(bot):
        return
    if bot.mode == "paper":
        # It lives here alone: nobody could close it any more, and it keeps other bots out.
        raise Conflict("position_still_held")
    if not leaves:
        raise Conflict("position_stays")
