"""What keeps ticks going beside the ticks: who is due, value curves, the lost wake index."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Interval, Select, func, literal, or_, select, text

from app.bots.live.rows import RUNNING_STATES
from app.bots.metrics import read_metrics, write_equity
from app.bots.models import Bot, BotMetrics, BotState
from app.db import db, utc_now
from app.exchanges.catalogue import PAPER
from app.exchanges.models import ExchangeAccount
from app.markets.models import MarketRow
from app.trades.models import OrderRow
from app.trading.market import MarketKind, Triggers
from app.trading.orders import traded_value

# Orders and contracts left at the venue by a stopped bot are looked at this often.
LEFT_BEHIND = timedelta(seconds=60)
# Clocks of one installation differ by less: a tick in the future was before the clock was set back.
CLOCK_SLACK = timedelta(seconds=30)

_CONTRACTS_LEFT = (
    select(BotMetrics.bot_id)
    .join(Bot, Bot.id == BotMetrics.bot_id)
    .join(MarketRow, MarketRow.id == Bot.market_id)
    .where(MarketRow.kind != MarketKind.SPOT.value, BotMetrics.base != 0)
)
# When a bot has ended on a contract its exchange is asked once more, and tried so long: what fell
# due just before is told a moment later. Paper tells at once.
LAST_LOOKS = timedelta(minutes=10)


def _contracts_ended(now: datetime) -> Select[int]:
    compared = func.coalesce(ExchangeAccount.audited_at, Bot.stopped_at)
    return (
        select(Bot.id)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .where(
            MarketRow.kind != MarketKind.SPOT.value,
            ExchangeAccount.exchange != PAPER,
            Bot.stopped_at > now - LAST_LOOKS,
            compared < Bot.stopped_at + literal(LEFT_BEHIND, Interval()),
        )
    )


def find_due_accounts(limit: int) -> set[int]:
    """Return accounts with a bot whose next tick is due, or with what a stopped bot has left.

    That is orders, a position in a contract, or a payment for one that may still be told; of a
    paused bot the exits are minded.
    """
    now = utc_now()
    was_set_back = Bot.last_tick_at > now + CLOCK_SLACK
    due = (
        select(Bot.account_id)
        .where(Bot.state.in_(RUNNING_STATES), or_(Bot.next_tick_at <= now, was_set_back))
        .order_by(Bot.next_tick_at)
        .limit(limit)
    )
    left = (
        select(Bot)
        .where(
            Bot.state.not_in(RUNNING_STATES),
            or_(
                Bot.state == BotState.PAUSED.value,
                Bot.id.in_(select(OrderRow.bot_id).where(~OrderRow.settled)),
                Bot.id.in_(_CONTRACTS_LEFT),
                Bot.id.in_(_contracts_ended(now)),
            ),
            or_(func.coalesce(Bot.last_tick_at, Bot.created_at) < now - LEFT_BEHIND, was_set_back),
        )
        .with_only_columns(Bot.account_id)
    )
    found = {*db.session.scalars(due), *db.session.scalars(left)}
    # What stood on a deleted account is its owner's alone.
    here = select(ExchangeAccount.id).where(
        ExchangeAccount.id.in_(found), ExchangeAccount.deleted_at.is_(None)
    )
    return set(db.session.scalars(here))


def sample_equity() -> None:
    """Write the value of every running bot at the last price of its market."""
    now = utc_now().replace(microsecond=0)
    query = (
        select(Bot.id, MarketRow.last_price)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .where(Bot.state.in_(RUNNING_STATES), MarketRow.last_price.is_not(None))
    )
    prices: dict[int, Decimal] = {row.id: row.last_price for row in db.session.execute(query)}
    rows = []
    for number, metrics in read_metrics(prices).items():
        price, books = prices[number], metrics.books
        value = books.position.equity(price)
        # Value less this is the total profit of that moment, whatever was taken out.
        invested = books.deposited - books.withdrawn
        rows.append((number, now, value, invested, traded_value(price, books.hold_base)))
    write_equity(rows)


_TRIGGERS = text("""
    select bot.market_id, bot.account_id, bot.id,
        greatest(bot.wake_below, max(own.price) filter (where own.side = 'buy')) as below,
        least(bot.wake_above, min(own.price) filter (where own.side = 'sell')) as above
    from bots as bot
    left join orders as own on own.bot_id = bot.id and not own.settled
        and own.status in ('INTENDED', 'OPEN', 'PARTIAL', 'UNRESOLVED')
    where bot.state = any(:states)
    group by bot.id
""")


def read_triggers() -> Iterator[tuple[int, int, int, Triggers]]:
    """Read at which prices bots want to be woken, from their rows and resting orders."""
    states = [*RUNNING_STATES, BotState.PAUSED.value]
    for row in db.session.execute(_TRIGGERS, {"states": states}):
        yield row.market_id, row.account_id, row.id, Triggers(row.below, row.above)
