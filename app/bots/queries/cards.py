"""Bots as rows, cards and page headers show them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, select, text

from app.bots.figures import BotFigures, Range, contract_figures, figures_of
from app.bots.grounds import pair_of, without_resting_stop
from app.bots.models import Bot, BotConfig, BotMetrics
from app.bots.queries.ladder import is_moving, rungs_of
from app.bots.rules import RUNNING, Action, may
from app.db import Exact, UtcTime, db, utc_now
from app.errors import NotFound
from app.exchanges.models import Exchange, ExchangeAccount
from app.markets.models import MarketRow
from app.markets.queries import LARGEST_ID, price_of, to_market
from app.money import parse_exact
from app.subscriptions.rules import RunningBots
from app.trades.owners import BotLabel, Pair
from app.trades.queries import DaySums, Line, Reserved, line_of, reserved_by, sums_of_a_day
from app.trading.market import ONE, ZERO, Market

NO_DAY, NO_RESERVE = DaySums(0, ZERO), Reserved()
# A bot whose tick is this late is stale, whatever the sweep that marks it has noticed so far.
LATE = timedelta(seconds=30)
SPARK_DAYS = 7
SPARK_BUCKET = timedelta(hours=3)
SPARK_WIDTH, SPARK_HEIGHT = 120, 32


TESTNET = "testnet"


@dataclass(frozen=True, slots=True)
class Actions:
    """What the state of a bot allows."""

    start: bool
    stop: bool
    edit: bool
    delete: bool
    emergency: bool
    unlock: bool
    resume: bool


@dataclass(frozen=True, slots=True)
class Protection:
    """The stop of a bot: how much of it rests at the exchange, and how much only we watch."""

    trigger: Decimal
    resting: Decimal
    by_engine: Decimal
    refused: Line | None


@dataclass(frozen=True, slots=True)
class Spark:
    """A small curve as points of an SVG polyline, 120 x 32, and where it leads."""

    points: str
    trend: str


@dataclass(frozen=True, slots=True)
class BotCard:
    """A bot with its figures; `figures` are None until its first start."""

    id: int
    name: str
    strategy: str
    mode: str
    testnet: bool
    state: str
    since: datetime
    reason: Line | None
    stale: bool
    stop_request: str | None
    tags: tuple[str, ...]
    pair: Pair
    exchange: str
    account: str
    account_id: int
    capital: Decimal
    currency: str
    config_version: int
    created_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    last_tick_at: datetime | None
    last_error: Line | None
    last_error_at: datetime | None
    lower: Decimal | None
    upper: Decimal | None
    stop_loss: Decimal | None
    take_profit: Decimal | None
    actions: Actions
    figures: BotFigures | None
    spark: Spark | None
    protection: Protection | None
    # Where its strategy stands; nothing before it has begun.
    phase: str = ""
    # Where no stop can rest although one is wanted: the exchange's name.
    watched_here: str = ""
    # Its account was deleted here: what it left at the exchange is out of our reach.
    account_deleted: bool = False

    @property
    def is_unexplained(self) -> bool:
        """Say whether nobody knows more of the last error than that there was one."""
        return self.reason is None or self.reason.code in {"unexpected", "tick_failed"}

    @property
    def stage(self) -> str:
        """Say what money it plays with: paper, testnet or live; the three are never summed."""
        return stage_of(self.mode, self.testnet)

    @property
    def needs_attention(self) -> bool:
        """Say whether its owner should look at it."""
        outside = self.figures is not None and self.figures.range_side in {"below", "above"}
        running = self.state in RUNNING
        return self.state in {"error", "locked"} or self.stale or (running and outside)


def own_cards(user_id: int, *conditions: ColumnElement[bool], sparks: bool = True) -> list[BotCard]:
    """Return a person's bots that are not deleted, newest first."""
    return _cards(user_id, and_(Bot.user_id == user_id, *conditions), sparks=sparks)


def bot_card(user_id: int, bot_id: int) -> BotCard:
    """Return one bot; raise NotFound for one that is not theirs."""
    cards = own_cards(user_id, Bot.id == bot_id) if 0 < bot_id <= LARGEST_ID else []
    if not cards:
        raise NotFound("bot_not_found")
    return cards[0]


def running_bots(user_id: int) -> RunningBots:
    """Count a person's running bots, all and live ones."""
    rows = db.session.execute(
        select(Bot.mode, func.count(Bot.id))
        .where(Bot.user_id == user_id, Bot.state.in_(RUNNING), Bot.deleted_at.is_(None))
        .group_by(Bot.mode)
    )
    counts = {mode: count for mode, count in rows}
    return RunningBots(total=sum(counts.values()), live=counts.get("live", 0))


def bot_labels(user_id: int) -> dict[int, BotLabel]:
    """Name all bots of a person, deleted ones too, for their trades."""
    rows = db.session.execute(
        select(Bot, MarketRow, ExchangeAccount.testnet)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .where(Bot.user_id == user_id)
    )
    return {bot.id: label_of(bot, market, testnet) for bot, market, testnet in rows}


def label_of(bot: Bot, market: MarketRow, testnet: bool) -> BotLabel:
    """Name one bot for its trades."""
    stage = stage_of(bot.mode, testnet)
    return BotLabel(bot.id, bot.name, stage, bot.deleted_at is not None, pair_of(market))


def stage_of(mode: str, testnet: bool) -> str:
    """Say what money a bot plays with: paper, that of an exchange's test site, or real."""
    return TESTNET if testnet else mode


def _cards(user_id: int, condition: ColumnElement[bool], *, sparks: bool) -> list[BotCard]:
    query = (
        select(Bot, BotMetrics, BotConfig, MarketRow, ExchangeAccount, Exchange.name)
        .join(BotMetrics, BotMetrics.bot_id == Bot.id)
        .join(
            BotConfig,
            and_(BotConfig.bot_id == Bot.id, BotConfig.version == Bot.config_version),
        )
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .join(Exchange, Exchange.code == ExchangeAccount.venue)
        .where(condition, Bot.deleted_at.is_(None))
        .order_by(Bot.id.desc())
    )
    rows = db.session.execute(query.execution_options(populate_existing=True)).all()
    ids = [row[0].id for row in rows]
    days = sums_of_a_day(user_id) if rows else {}
    reserved = reserved_by(ids) if rows else {}
    curves = read_sparks(ids) if sparks and rows else {}
    now = utc_now()
    cards = []
    for bot, metrics, config, market, account, venue in rows:
        rules = to_market(market, account)
        bounds = range_of(bot, config.params, rules)
        found = figures_of(
            bot,
            metrics,
            rules,
            price_of(market, now),
            bounds=bounds,
            day=days.get(bot.id, NO_DAY),
            reserved=reserved.get(bot.id, NO_RESERVE),
            now=now,
        )
        if found is not None:
            leverage = number_of(config.params.get("leverage")) or ONE
            held = contract_figures(bot, metrics, rules, found.price, leverage)
            found = replace(found, contract=held)
        cards.append(
            _card(bot, config.params, bounds, market, account, venue, found, curves.get(bot.id))
        )
    return cards


def _card(
    bot: Bot,
    params: Mapping[str, Any],
    bounds: Range,
    market: MarketRow,
    account: ExchangeAccount,
    venue: str,
    found: BotFigures | None,
    spark: Spark | None,
) -> BotCard:
    return BotCard(
        id=bot.id,
        name=bot.name,
        strategy=bot.strategy,
        mode=bot.mode,
        testnet=account.testnet,
        state=bot.state,
        since=bot.state_since,
        reason=line_of(bot.state_reason),
        stale=is_stale(bot, utc_now()),
        stop_request=bot.stop_request,
        tags=tuple(bot.tags),
        pair=pair_of(market),
        exchange=venue,
        account=account.label,
        account_id=account.id,
        capital=bot.capital,
        currency=bot.currency,
        config_version=bot.config_version,
        created_at=bot.created_at,
        started_at=bot.started_at,
        stopped_at=bot.stopped_at,
        last_tick_at=bot.last_tick_at,
        last_error=_error(bot),
        last_error_at=bot.last_error_at,
        lower=bounds.lower,
        upper=bounds.upper,
        stop_loss=number_of(params.get("stop_loss")),
        take_profit=number_of(params.get("take_profit")),
        actions=_actions(bot, found),
        figures=found,
        spark=spark,
        protection=_protection(bot.protection),
        phase=(bot.strategy_state or {}).get("phase", ""),
        watched_here=without_resting_stop(account.exchange, params),
        account_deleted=account.deleted_at is not None,
    )


def _protection(kept: Mapping[str, Any] | None) -> Protection | None:
    trigger = number_of((kept or {}).get("trigger"))
    if kept is None or trigger is None:
        return None
    refused = kept.get("refused")
    return Protection(
        trigger,
        number_of(kept.get("resting")) or ZERO,
        number_of(kept.get("by_engine")) or ZERO,
        Line(f"order_{refused}", {}, "error") if refused else None,
    )


def _actions(bot: Bot, found: BotFigures | None) -> Actions:
    allowed = {action.value: may(bot.state, action) for action in Action}
    # Where nothing runs and nothing stands, there is no emergency to stop.
    left = found is not None and (found.reserved > 0 or found.reserved_coins > 0)
    if bot.state in {"stopped", "locked"} and not left:
        allowed["emergency"] = False
    return Actions(**allowed)


def _error(bot: Bot) -> Line | None:
    if bot.last_error is None:
        return None
    # The values stand with the reason of the state, if it is the same.
    same = bot.state_reason.get("code") == bot.last_error
    values = bot.state_reason.get("values") if same else {}
    return Line(bot.last_error, values or {}, "error")


def is_stale(bot: Bot, now: datetime) -> bool:
    """Say whether a running bot was not looked at for longer than it should."""
    if bot.state not in RUNNING:
        return False
    since = bot.last_tick_at or bot.state_since
    return bot.stale_since is not None or now - since > timedelta(seconds=bot.tick_period_s) + LATE


def range_of(bot: Bot, params: Mapping[str, Any], market: Market) -> Range:
    """Return the range of a bot: as its settings name it, or where it has followed the price to."""
    named = Range(number_of(params.get("lower")), number_of(params.get("upper")))
    if bot.strategy_state is None or named.upper is None or not is_moving(params):
        return named
    prices = rungs_of(bot.strategy, params, bot.strategy_state, market).prices
    return Range(prices[0], prices[-1]) if prices else named


def number_of(value: object) -> Decimal | None:
    """Read a stored decimal; anything else is None."""
    return parse_exact(value) if isinstance(value, str) and value else None


# --- small curves ---------------------------------------------------------------------------------


def read_sparks(bot_ids: Sequence[int]) -> dict[int, Spark]:
    """Return the profit of the last 7 days of each bot as a small curve."""
    rows = last_of_buckets(bot_ids, utc_now() - timedelta(days=SPARK_DAYS), SPARK_BUCKET)
    curves: dict[int, list[tuple[datetime, Decimal]]] = {}
    for row in rows:
        curves.setdefault(row.bot_id, []).append((row.at, row.equity - row.invested))
    return {bot_id: spark_of(curve) for bot_id, curve in curves.items() if len(curve) > 1}


_LAST_OF_BUCKETS = text("""
    select distinct on (bot_id, bucket) bot_id, bucket, at, equity, invested
    from (
        select *, date_bin(:step, at, :begin) as bucket from bot_equity
        where bot_id = any(cast(:ids as bigint[])) and at >= :begin
    ) as sample
    order by bot_id, bucket, at desc
""").columns(bucket=UtcTime, at=UtcTime, equity=Exact, invested=Exact)


def last_of_buckets(bot_ids: Sequence[int], begin: datetime, step: timedelta) -> Sequence[Row[Any]]:
    """Return the last sample of each bot in each span of time since a moment."""
    asked = {"ids": list(bot_ids), "begin": begin, "step": step}
    return db.session.execute(_LAST_OF_BUCKETS, asked).all()


def spark_of(curve: Sequence[tuple[datetime, Decimal]]) -> Spark:
    """Draw a curve of at least two points."""
    first, last = curve[0][1], curve[-1][1]
    trend = "zero" if last == first else "profit" if last > first else "loss"
    return Spark(svg_points(curve, SPARK_WIDTH, SPARK_HEIGHT), trend)


def svg_points(curve: Sequence[tuple[datetime, Decimal]], width: int, height: int) -> str:
    """Return the points of a polyline that fills a box, the first at its left edge."""
    values = [value for _, value in curve]
    return svg_line(curve, width, height, min(values), max(values))


def svg_line(
    curve: Sequence[tuple[datetime, Decimal]], width: int, height: int, low: Decimal, high: Decimal
) -> str:
    """Return the points of a polyline in a box that reaches from `low` to `high`."""
    begin, end = curve[0][0], curve[-1][0]
    scale = width / ((end - begin).total_seconds() or 1.0)
    return " ".join(
        f"{(at - begin).total_seconds() * scale:.1f},{_height(value, low, high, height):.1f}"
        for at, value in curve
    )


def _height(value: Decimal, low: Decimal, high: Decimal, height: int) -> float:
    share = (value - low) / (high - low) if high > low else Decimal("0.5")
    return float(1 - share) * (height - 2) + 1


def sorted_by_attention(cards: Iterable[BotCard]) -> list[BotCard]:
    """Put bots that need a look first, then those that run, then the most valuable."""
    return sorted(
        cards,
        key=lambda card: (
            not card.needs_attention,
            card.state not in RUNNING,
            -(card.figures.value_now if card.figures else ZERO),
            -card.id,
        ),
    )
