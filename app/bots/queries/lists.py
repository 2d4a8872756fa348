"""The list of a person's bots with filters, order and totals, and the dashboard."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, text

from app.accounts.models import User
from app.bots.models import Bot
from app.bots.queries.cards import (
    TESTNET,
    BotCard,
    bot_labels,
    own_cards,
    sorted_by_attention,
)
from app.bots.queries.dashboard_curve import FOREVER, PERIODS, Curve, profit_curve
from app.bots.queries.names import distinct_tags
from app.bots.rules import RUNNING, STUCK_AFTER
from app.db import Exact, db, utc_now
from app.exchanges.models import ExchangeAccount
from app.trades.owners import Pair
from app.trades.queries import Line, TradeView, last_trades
from app.trading.market import ZERO, booked, exact
from app.trading.orders import traded_value
from app.trading.strategy import COINS_MISSING, SALE_FAILED

PAPER, LIVE = "paper", "live"
MODES = (PAPER, TESTNET, LIVE)
DASHBOARD_BOTS = 10
DASHBOARD_TRADES = 10


@dataclass(frozen=True, slots=True)
class BotFilter:
    """Which bots are wanted and in which order; empty texts mean any."""

    mode: str = ""
    state: str = ""
    strategy: str = ""
    exchange: str = ""
    tag: str = ""
    text: str = ""
    sort: str = "attention"
    direction: str = "asc"


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """Values that occur among a person's bots."""

    states: tuple[str, ...]
    strategies: tuple[str, ...]
    exchanges: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over bots of one mode (or of a test site) and currency; never summed further."""

    mode: str
    currency: str
    bots: int
    running: int
    total: Decimal
    grid: Decimal
    value_now: Decimal
    invested: Decimal


@dataclass(frozen=True, slots=True)
class BotList:
    """Bots that fit a filter, their totals, and how many there are of each mode."""

    bots: tuple[BotCard, ...]
    totals: tuple[Totals, ...]
    choices: FilterChoices
    counts_by_mode: dict[str, int]

    @property
    def count(self) -> int:
        """Return how many bots fit."""
        return len(self.bots)


_SORTS: dict[str, Callable[[BotCard], Any]] = {
    "name": lambda card: card.name.casefold(),
    "state": lambda card: card.state,
    "tick": lambda card: card.last_tick_at,
    "total": lambda card: card.figures and card.figures.total,
    "grid": lambda card: card.figures and card.figures.grid,
    "day": lambda card: card.figures and card.figures.profit_24h,
    "value": lambda card: card.figures and card.figures.value_now,
    "range": lambda card: card.figures and card.figures.range_position,
}
SORT_KEYS = ("attention", *_SORTS)


def list_bots(user_id: int, wanted: BotFilter) -> BotList:
    """Return a person's bots that fit a filter."""
    cards = own_cards(user_id)
    fitting = [card for card in cards if _fits(card, wanted)]
    return BotList(
        bots=tuple(_in_order(fitting, wanted)),
        totals=totals_of(fitting),
        choices=_choices(cards),
        counts_by_mode={mode: sum(card.stage == mode for card in cards) for mode in MODES},
    )


def _fits(card: BotCard, wanted: BotFilter) -> bool:
    asked = (
        (wanted.mode, card.stage),
        (wanted.state, card.state),
        (wanted.strategy, card.strategy),
        (wanted.exchange, card.exchange),
    )
    if any(value and value != own for value, own in asked):
        return False
    own = [tag.casefold() for tag in card.tags]
    if wanted.tag and wanted.tag.casefold() not in own:
        return False
    words = wanted.text.casefold()
    return not words or words in " ".join([card.name, card.pair.symbol, *own]).casefold()


def _in_order(cards: list[BotCard], wanted: BotFilter) -> list[BotCard]:
    key = _SORTS.get(wanted.sort)
    if key is None:
        ordered = sorted_by_attention(cards)
        return ordered[::-1] if wanted.direction == "desc" else ordered
    known = [card for card in cards if key(card) is not None]
    unknown = [card for card in cards if key(card) is None]
    # What has no value stands at the end, whichever way it goes.
    return sorted(known, key=key, reverse=wanted.direction == "desc") + unknown


def _choices(cards: Iterable[BotCard]) -> FilterChoices:
    cards = list(cards)
    return FilterChoices(
        states=tuple(sorted({card.state for card in cards})),
        strategies=tuple(sorted({card.strategy for card in cards})),
        exchanges=tuple(sorted({card.exchange for card in cards})),
        tags=distinct_tags(card.tags for card in cards),
    )


@exact
def totals_of(cards: Iterable[BotCard]) -> tuple[Totals, ...]:
    """Sum bots by mode and currency."""
    sums: dict[tuple[str, str], Totals] = {}
    for card in cards:
        key = (card.stage, card.currency)
        line = sums.get(key) or Totals(*key, 0, 0, ZERO, ZERO, ZERO, ZERO)
        found = card.figures
        sums[key] = replace(
            line,
            bots=line.bots + 1,
            running=line.running + (card.state in RUNNING),
            total=line.total + (found.total if found else ZERO),
            grid=line.grid + (found.grid if found else ZERO),
            value_now=line.value_now + (found.value_now if found else ZERO),
            invested=line.invested + (found.invested if found else ZERO),
        )
    return tuple(sums[key] for key in sorted(sums))


# --- the dashboard --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DashboardTotals:
    """The headline figures of one currency."""

    currency: str
    value_now: Decimal
    today: Decimal
    total: Decimal
    total_share: Decimal | None
    invested: Decimal
    bots: int


@dataclass(frozen=True, slots=True)
class Holding:
    """Coins that a bot holds now."""

    bot_id: int
    bot_name: str
    pair: Pair
    coins: Decimal
    value: Decimal
    average_entry: Decimal | None
    price: Decimal
    profit: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Something about a bot that its owner should see first."""

    bot_id: int
    bot_name: str
    pair: Pair
    line: Line


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """A first step, and whether it is done."""

    name: str
    done: bool


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One screen over all bots of a mode."""

    mode: str
    modes: dict[str, int]
    totals: tuple[DashboardTotals, ...]
    active: int
    limit: int | None
    bots: tuple[BotCard, ...]
    more: int
    trades: tuple[TradeView, ...]
    positions: tuple[Holding, ...]
    alerts: tuple[Alert, ...]
    period: str
    hold: bool
    curve: Curve | None
    checklist: tuple[ChecklistItem, ...]


def dashboard(
    user_id: int,
    mode: str,
    today_from: datetime,
    *,
    limit: int | None = None,
    period: str = "7d",
    hold: bool = False,
    longest: timedelta = FOREVER,
) -> Dashboard:
    """Return the overview of a mode; `today_from` is when the person's day began.

    `limit` is how many bots their plan runs, `longest` how far back it lets them look; `hold` adds
    buying and holding to the curve.
    """
    every = own_cards(user_id)
    cards = sorted_by_attention(card for card in every if card.stage == mode)
    ids = [card.id for card in cards]
    period = period if period in PERIODS else "7d"
    return Dashboard(
        mode=mode,
        modes={name: sum(card.stage == name for card in every) for name in MODES},
        totals=_headlines(cards, totals_at(ids, today_from)),
        active=sum(card.state in RUNNING for card in cards),
        limit=limit,
        bots=tuple(cards[:DASHBOARD_BOTS]),
        more=max(0, len(cards) - DASHBOARD_BOTS),
        trades=_newest_trades(user_id, mode),
        positions=tuple(_holdings(cards)),
        alerts=tuple(alert for card in cards for alert in _alerts(card)),
        period=period,
        hold=hold,
        curve=profit_curve(cards, period, hold=hold, longest=longest),
        checklist=_checklist(user_id, every),
    )


def _newest_trades(user_id: int, mode: str) -> tuple[TradeView, ...]:
    # Deleted bots keep their trades in every list.
    labels = {key: label for key, label in bot_labels(user_id).items() if label.mode == mode}
    return last_trades(user_id, labels, labels, DASHBOARD_TRADES)


@exact
def _headlines(cards: Iterable[BotCard], before: dict[int, Decimal]) -> tuple[DashboardTotals, ...]:
    sums: dict[str, DashboardTotals] = {}
    for card in cards:
        found = card.figures
        if found is None:
            continue
        line = sums.get(card.currency) or DashboardTotals(
            card.currency, ZERO, ZERO, ZERO, None, ZERO, 0
        )
        sums[card.currency] = replace(
            line,
            value_now=line.value_now + found.value_now,
            today=line.today + found.total - before.get(card.id, ZERO),
            total=line.total + found.total,
            invested=line.invested + found.invested,
            bots=line.bots + 1,
        )
    return tuple(
        replace(line, total_share=booked(line.total / line.invested) if line.invested > 0 else None)
        for _, line in sorted(sums.items())
    )


_TOTALS_AT = text("""
    select bot.id, last.profit
    from unnest(cast(:ids as bigint[])) as bot (id)
    join lateral (
        select equity - invested as profit from bot_equity
        where bot_id = bot.id and at <= :at order by at desc limit 1
    ) as last on true
""").columns(profit=Exact)


def totals_at(bot_ids: Sequence[int], at: datetime) -> dict[int, Decimal]:
    """Return the total profit of bots as it was at a moment; one that was not there is left out."""
    rows = db.session.execute(_TOTALS_AT, {"ids": list(bot_ids), "at": at})
    return {row.id: row.profit for row in rows}


@exact
def _holdings(cards: Iterable[BotCard]) -> Iterable[Holding]:
    for card in cards:
        found = card.figures
        if found is None or found.coins <= 0:
            continue
        value = traded_value(found.price, found.coins)
        entry = found.average_entry
        yield Holding(
            bot_id=card.id,
            bot_name=card.name,
            pair=card.pair,
            coins=found.coins,
            value=value,
            average_entry=entry,
            price=found.price,
            profit=None if entry is None else value - booked(entry * found.coins),
            currency=card.currency,
        )


def notices_of(card: BotCard) -> tuple[Line, ...]:
    """Return what the owner of a bot should see first, worst first."""
    lines = []
    found = card.figures
    running = card.state in RUNNING
    if card.state in {"error", "locked"} and card.reason is not None:
        begun = card.state != "error" or card.started_at is not None or card.is_unexplained
        code = f"notice_{card.state}" if begun else "notice_not_begun"
        if card.reason.code == "stop_without_key":
            code = "notice_without_key"
        lines.append(Line(code, {}, "error"))
    if card.state == "stopping" and utc_now() - card.since > STUCK_AFTER:
        lines.append(Line("notice_stop_stuck", {}, "error"))
    ended = card.reason if card.state == "stopped" else None
    if ended is not None and ended.code == SALE_FAILED:
        lines.append(Line("notice_sale_failed", {}, "error"))
    if ended is not None and ended.code == COINS_MISSING:
        lines.append(Line("notice_coins_missing", ended.values, "error"))
    if card.last_error is not None and card.state != "error":
        lines.append(replace(card.last_error, level="warning"))
    if card.stale:
        lines.append(Line("notice_stale", {}, "warning"))
    if running and card.pair.blocked:
        code = f"market_{card.pair.blocked}"
        lines.append(Line(code, {"symbol": card.pair.symbol}, "error"))
    elif running and found is not None and found.price_stale:
        lines.append(Line(_without_prices(card), {"symbol": card.pair.symbol}, "warning"))
    if running and found is not None and found.range_side == "below":
        values = {
            "coins": str(found.coins), "lower": str(card.lower), "total": str(found.total),
        }  # fmt: skip
        lines.append(Line("notice_below_range", values, "warning"))
    if running and found is not None and found.range_side == "above":
        values = {"upper": str(card.upper), "total": str(found.total)}
        lines.append(Line("notice_above_range", values, "warning"))
    reason = card.reason.code if card.reason else ""
    if card.state == "stopped" and found is not None and reason == "stop_loss_reached":
        price = card.reason.values.get("price") if card.reason else ""
        lines.append(Line("notice_stop_loss", {"price": price, "total": str(found.total)}))
    return tuple(lines)


def _alerts(card: BotCard) -> Iterable[Alert]:
    for line in notices_of(card)[:1]:
        yield Alert(card.id, card.name, card.pair, line)


# --- first steps ----------------------------------------------------------------------------------


def _checklist(user_id: int, cards: Sequence[BotCard]) -> tuple[ChecklistItem, ...]:
    user = db.session.get_one(User, user_id)
    connected = db.session.scalar(
        select(func.count(ExchangeAccount.id)).where(
            ExchangeAccount.user_id == user_id,
            ExchangeAccount.mode == LIVE,
            ExchangeAccount.deleted_at.is_(None),
        )
    )
    ran = db.session.execute(
        select(Bot.mode).where(Bot.user_id == user_id, Bot.epoch > 0).distinct()
    )
    modes = set(ran.scalars())
    return (
        ChecklistItem("confirm", user.confirmed_at is not None),
        ChecklistItem("paper_bot", PAPER in modes),
        ChecklistItem("exchange", bool(connected)),
        ChecklistItem("live_bot", LIVE in modes),
    )


def _without_prices(card: BotCard) -> str:
    """Say what waits for the next price; on paper all goes on by the last."""
    if card.mode != "paper" and card.state == "starting" and not card.phase:
        return "notice_start_waits"
    if card.mode != "paper" and card.phase == "editing":
        return "notice_edit_waits"
    return "notice_price_stale"
