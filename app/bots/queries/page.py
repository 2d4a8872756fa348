"""The parts of a bot's page: facts, orders, trades, levels, log, settings, what a stop would do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, or_, select

from app.bots.figures import BotFigures, ContractFigures
from app.bots.models import Bot, BotConfig, BotEvent
from app.bots.queries.cards import BotCard, label_of, number_of
from app.bots.queries.ladder import Rungs, rungs_of
from app.bots.queries.left import left_notices
from app.bots.queries.lists import notices_of
from app.bots.rules import RUNNING
from app.bots.ties import told_of
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.listing.paging import PAGE_SIZE, Slice, offset_of
from app.markets.models import MarketRow
from app.markets.queries import to_market
from app.money import exact_text
from app.trades.models import OrderRow, TradeRow
from app.trades.queries import OPEN_ORDER, Line, TradeView, bot_trades, count_orders
from app.trading.market import ZERO, booked, exact
from app.trading.orders import traded_value
from app.trading.strategies import STRATEGIES
from app.trading.strategy import Field, StopHow

MOST_NOTICES = 3
LOG_LEVELS = ("info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Counts:
    """How long the lists of a bot are."""

    orders_open: int
    orders_filled: int
    orders_cancelled: int
    trades: int
    levels: int
    log: int
    versions: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands around the figures of a bot."""

    counts: Counts


def counts_of(card: BotCard) -> Counts:
    """Count what stands on the tabs of a bot."""
    orders = count_orders([card.id])[card.id]
    return Counts(
        orders_open=orders["open"],
        orders_filled=orders["filled"],
        orders_cancelled=orders["cancelled"],
        trades=_count(TradeRow.bot_id == card.id),
        levels=len(levels_of(card.id)),
        log=_count(BotEvent.bot_id == card.id),
        versions=card.config_version,
    )


def _count(condition: ColumnElement[bool]) -> int:
    return db.session.scalar(select(func.count()).where(condition)) or 0


def notices_for(card: BotCard) -> tuple[Line, ...]:
    """Return what stands in the attention strip of a bot's page, worst first."""
    unclear = db.session.execute(
        select(OrderRow.price, func.coalesce(OrderRow.doubtful_since, OrderRow.updated_at))
        .where(OrderRow.bot_id == card.id, OrderRow.status == "UNRESOLVED")
        .order_by(OrderRow.id)
        .limit(MOST_NOTICES)
    )
    lines = [
        Line(
            "notice_unresolved_market" if price is None else "notice_unresolved",
            {
                "exchange": card.exchange,
                **({} if price is None else {"price": exact_text(price)}),
                "since": since.isoformat(),
            },
            "warning",
        )
        for price, since in unclear
    ]
    if card.state in RUNNING and card.mode != "paper":
        names = {card.pair.base, card.pair.quote, card.pair.symbol}
        for found in told_of(card.account_id, names):
            values = {
                "currency": found.currency,
                "ours": exact_text(found.ours),
                "venue": exact_text(found.venue),
            }
            lines.append(Line("books_differ", values, "warning"))
    return (*notices_of(card), *lines, *left_notices(card))


def trades_of(card: BotCard, number: int) -> Slice[TradeView]:
    """Return one page of a bot's trades, newest first."""
    bot = db.session.get_one(Bot, card.id)
    market = db.session.get_one(MarketRow, bot.market_id)
    return bot_trades(label_of(bot, market, card.testnet), number)


# --- levels ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LevelView:
    """A line of a grid: what stands on it, and what the step above it has earned.

    `trades` and `profit` are of round trips between this level and the next.
    """

    number: int
    price: Decimal
    side: str | None
    quantity: Decimal | None
    trades: int
    profit: Decimal


def levels_of(bot_id: int) -> tuple[LevelView, ...]:
    """Return the levels of a grid, highest first; other strategies have none."""
    bot = db.session.get_one(Bot, bot_id)
    rungs = _rungs(bot)
    standing = {
        level: (side, left)
        for level, side, left in db.session.execute(
            select(OrderRow.level, OrderRow.side, OrderRow.quantity - OrderRow.filled)
            .where(OrderRow.bot_id == bot_id, OrderRow.status.in_(OPEN_ORDER))
            .order_by(OrderRow.id)
        )
    }
    earned = _earned(bot, rungs)
    views = []
    for number, price in enumerate(rungs.prices, rungs.first):
        side, left = standing.get(number, (None, None))
        count, profit = earned.get(number, (0, ZERO))
        views.append(LevelView(number, price, side, left, count, profit))
    return tuple(reversed(views))


def _rungs(bot: Bot) -> Rungs:
    config = db.session.get_one(BotConfig, (bot.id, bot.config_version))
    market = db.session.get_one(MarketRow, bot.market_id)
    account = db.session.get_one(ExchangeAccount, bot.account_id)
    return rungs_of(bot.strategy, config.params, bot.strategy_state, to_market(market, account))


@exact
def _earned(bot: Bot, rungs: Rungs) -> Mapping[int, tuple[int, Decimal]]:
    """Return how many trades each gap has closed and what they earned, by its lower level.

    What closed on a price where a level lies now counts, whatever its number and the settings were
    then: an edit keeps orders, one of the exits alone moves no level, and a start after an edit
    numbers the levels anew.
    """
    rows = db.session.execute(
        select(OrderRow.side, OrderRow.price, func.count(TradeRow.id), func.sum(TradeRow.profit))
        .join(OrderRow, OrderRow.id == TradeRow.exit_order_id)
        .where(
            TradeRow.bot_id == bot.id,
            TradeRow.status == "closed",
            OrderRow.purpose == "grid",
        )
        .group_by(OrderRow.side, OrderRow.price)
    )
    places: Mapping[str, Mapping[Decimal | None, int]] = {
        side: {price: place for place, price in enumerate(prices)}
        for side, prices in (("buy", rungs.buys), ("sell", rungs.sells))
    }
    found: dict[int, tuple[int, Decimal]] = {}
    for side, price, count, profit in rows:
        place = places[side].get(price)
        if place is None:
            continue
        # A sell closes one level above its buy.
        gap = rungs.first + place - (side == "sell")
        before, sum_before = found.get(gap, (0, ZERO))
        found[gap] = before + count, sum_before + (profit or ZERO)
    return found


# --- log ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogView:
    """A line of the log; `actor` says whether the owner or staff did it, None is the bot itself."""

    id: int
    at: datetime
    level: str
    code: str
    line: Line
    tick_id: str | None
    actor: str | None


def log_of(
    card: BotCard, user_id: int, number: int, level: str = "", words: str = ""
) -> Slice[LogView]:
    """Return one page of a bot's log, newest first; words are looked for in codes and values."""
    query = select(BotEvent).where(BotEvent.bot_id == card.id)
    if level in LOG_LEVELS:
        query = query.where(BotEvent.level == level)
    if words:
        query = query.where(
            or_(
                BotEvent.code.icontains(words.replace(" ", "_"), autoescape=True),
                cast(BotEvent.values, String).icontains(words, autoescape=True),
                BotEvent.tick_id.icontains(words, autoescape=True),
            )
        )
    total = db.session.scalar(query.with_only_columns(func.count(BotEvent.id))) or 0
    rows = db.session.scalars(
        query.order_by(BotEvent.id.desc()).offset(offset_of(number)).limit(PAGE_SIZE)
    )
    return Slice(tuple(_log_view(row, user_id) for row in rows), number, total)


def _log_view(row: BotEvent, owner: int) -> LogView:
    actor = None
    if row.actor_id is not None:
        actor = "owner" if row.actor_id == owner else "staff"
    line = Line(row.code, row.values, row.level)
    return LogView(row.id, row.at, row.level, row.code, line, row.tick_id, actor)


# --- settings -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter as it is set; `kind` says what its value looks like."""

    name: str
    value: Decimal | int | str | bool | None
    kind: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What a version of the settings changed about one parameter."""

    name: str
    old: Setting
    new: Setting


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version of the settings beside the one before it.

    `strategy_before` is None unless the strategy is another since this version.
    """

    version: int
    created_at: datetime
    by: str | None
    strategy: str
    strategy_before: str | None
    capital: Decimal
    changes: tuple[Change, ...]
    settings: tuple[Setting, ...]
    is_current: bool


def versions_of(card: BotCard, user_id: int) -> tuple[VersionView, ...]:
    """Return all versions of a bot's settings, newest first."""
    rows = db.session.scalars(
        select(BotConfig).where(BotConfig.bot_id == card.id).order_by(BotConfig.version)
    )
    views: list[VersionView] = []
    before: dict[str, Setting] = {}
    strategy = None
    for row in rows:
        settings = settings_of(row.strategy, row.params)
        now = {setting.name: setting for setting in settings}
        changes = tuple(
            Change(name, before[name], setting)
            for name, setting in now.items()
            if name in before and before[name].value != setting.value
        )
        by = None if row.created_by is None else "owner" if row.created_by == user_id else "staff"
        is_current = row.version == card.config_version
        views.append(
            VersionView(
                row.version, row.created_at, by, row.strategy,
                strategy if strategy != row.strategy else None,
                row.capital, changes, settings, is_current,
            )
        )  # fmt: skip
        before, strategy = now, row.strategy
    return tuple(reversed(views))


def current_settings(bot_id: int) -> tuple[Setting, ...]:
    """Return a bot's settings as they are."""
    bot = db.session.get_one(Bot, bot_id)
    config = db.session.get_one(BotConfig, (bot_id, bot.config_version))
    return settings_of(config.strategy, config.params)


def limits_of_bot(bot_id: int) -> Mapping[str, Any]:
    """Return the limits beyond which a bot pauses, as they are stored."""
    return db.session.get_one(Bot, bot_id).guard or {}


def stored_params(bot_id: int) -> Mapping[str, Any]:
    """Return a bot's parameters as they are stored, to fill a form."""
    bot = db.session.get_one(Bot, bot_id)
    return db.session.get_one(BotConfig, (bot_id, bot.config_version)).params


def settings_at(bot_id: int, version: int) -> tuple[Setting, ...]:
    """Return a version of a bot's settings; one that is not there has none."""
    config = db.session.get(BotConfig, (bot_id, version))
    return () if config is None else settings_of(config.strategy, config.params)


def settings_of(strategy: str, params: Mapping[str, Any]) -> tuple[Setting, ...]:
    """Return stored parameters in the order of their declaration."""
    known = STRATEGIES.get(strategy)
    fields = known.fields if known is not None else ()
    return tuple(_setting(field, params.get(field.name)) for field in fields)


def _setting(field: Field, value: Any) -> Setting:
    if field.kind.value == "decimal":
        value = number_of(value)
    return Setting(field.name, value, field.kind.value, value == field.default)


# --- what a stop would do -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StopChoice:
    """What would be held after a stop now, and the total profit with it.

    `proceeds` is what selling all coins at the last price brings after `fee`. On a contract it is
    the profit that closing the position makes good, `coins_after` the position that stays, and
    `cash_after` the value of the bot.
    """

    how: str
    coins_after: Decimal
    cash_after: Decimal
    total_after: Decimal
    proceeds: Decimal
    fee: Decimal


@exact
def stop_choices(card: BotCard) -> tuple[StopChoice, ...]:
    """Say what each way to stop would leave; without figures there is nothing to say."""
    found = card.figures
    if found is None:
        return tuple(StopChoice(how.value, ZERO, ZERO, ZERO, ZERO, ZERO) for how in StopHow)
    if found.contract is not None:
        return _contract_choices(card, found, found.contract)
    account = db.session.get_one(ExchangeAccount, card.account_id)
    value = traded_value(found.price, found.coins)
    fee = booked(value * account.taker_fee)
    keep = (found.coins, found.cash, found.total, ZERO, ZERO)
    sell = (ZERO, found.cash + value - fee, found.total - fee, value - fee, fee)
    return (
        StopChoice(StopHow.KEEP.value, *keep),
        StopChoice(StopHow.SELL.value, *sell),
        StopChoice(StopHow.LEAVE_ORDERS.value, *keep),
    )


def _contract_choices(
    card: BotCard, found: BotFigures, held: ContractFigures
) -> tuple[StopChoice, ...]:
    market = db.session.get_one(MarketRow, card.pair.id)
    fee = booked(held.value * market.taker_fee)
    keep = (held.base, found.value_now, found.total, ZERO, ZERO)
    closed = (ZERO, found.value_now - fee, found.total - fee, held.floating - fee, fee)
    return (
        StopChoice(StopHow.KEEP.value, *keep),
        StopChoice(StopHow.SELL.value, *closed),
        StopChoice(StopHow.LEAVE_ORDERS.value, *keep),
    )


def open_orders(bot_id: int) -> int:
    """Count a bot's orders that stand or may stand."""
    return count_orders([bot_id])[bot_id]["open"]


# --- strategies -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StrategyView:
    """A strategy, its parameters, and how many bots run it (of all people, and of one's own)."""

    name: str
    risk: str
    parameters: tuple[Field, ...]
    running: int
    own: int


RISKS = {"grid": "medium"}


def strategies_for(
    user_id: int, offered: Mapping[str, Sequence[Field]]
) -> tuple[StrategyView, ...]:
    """Return the strategies that can be chosen."""
    running = dict(_count_by_strategy(Bot.state.in_(RUNNING)))
    own = dict(_count_by_strategy(Bot.user_id == user_id))
    return tuple(
        StrategyView(
            name, RISKS.get(name, "high"), tuple(fields), running.get(name, 0), own.get(name, 0)
        )
        for name, fields in offered.items()
    )


def _count_by_strategy(condition: ColumnElement[bool]) -> list[tuple[str, int]]:
    rows = db.session.execute(
        select(Bot.strategy, func.count(Bot.id))
        .where(condition, Bot.deleted_at.is_(None))
        .group_by(Bot.strategy)
    )
    return [(name, count) for name, count in rows]
