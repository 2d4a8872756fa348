"""What every verb on a bot does: lock its row, turn its state, write its log, tell pages.

What a repeated request finds done already is left as it is; `rules.py` says what may follow what.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, and_, select, text

from app.bots.models import Bot, BotEvent, BotMetrics
from app.bots.wake import request_ticks
from app.db import db
from app.errors import NotFound
from app.exchanges.models import ExchangeAccount
from app.markets.models import MarketRow
from app.markets.queries import to_market
from app.notifications.stream import hint
from app.trades.models import LIVE_STATES, OrderRow
from app.trading.intents import plain_values
from app.trading.market import MarketKind
from app.trading.orders import Purpose
from app.transactions import after_commit

LARGEST_ID = 2**63 - 1


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


def has_live_orders(bot: Bot, *, but_stop: bool = False) -> bool:
    """Tell whether orders of a bot (`but_stop`: others than its stop) may stand at the venue."""
    query = select(OrderRow.id).where(_live(bot))
    if but_stop:
        query = query.where(OrderRow.purpose != Purpose.PROTECT.value)
    return bool(db.session.scalar(select(query.exists())))


def has_left_stop(bot: Bot) -> bool:
    """Tell whether a bot's stop stands at the venue."""
    query = select(OrderRow.id).where(_live(bot), OrderRow.purpose == Purpose.PROTECT.value)
    return bool(db.session.scalar(select(query.exists())))


def _live(bot: Bot) -> ColumnElement[bool]:
    return and_(OrderRow.account_id == bot.account_id, OrderRow.bot_id == bot.id, text(LIVE_STATES))


def has_account(bot: Bot) -> bool:
    """Tell whether a bot's account is still here; without it nothing of the bot can be reached."""
    return db.session.get_one(ExchangeAccount, bot.account_id).deleted_at is None


def contract_held(bot: Bot) -> Decimal:
    """Return a bot's position in a contract as our books say, negative when it owes coins."""
    held = (
        select(BotMetrics.base)
        .join(MarketRow, MarketRow.id == bot.market_id)
        .where(BotMetrics.bot_id == bot.id, MarketRow.kind != MarketKind.SPOT.value)
    )
    return db.session.scalar(held) or Decimal(0)


def holds_contract(bot: Bot) -> bool:
    """Tell whether a bot has a position in a contract, as our books say."""
    return contract_held(bot) != 0


def coins_to_sell(bot: Bot) -> Decimal:
    """Return what a bot on spot holds in whole lots, or 0 if no order can sell it now."""
    row = db.session.get_one(MarketRow, bot.market_id)
    sums = db.session.get(BotMetrics, bot.id)
    if sums is None or row.kind != MarketKind.SPOT.value or row.last_price is None:
        return Decimal(0)
    market = to_market(row)
    quantity = market.quantity_down(sums.base)
    return quantity if market.is_tradable(quantity, row.last_price) else Decimal(0)


def turn(
    bot: Bot, state: str, now: datetime, code: str, values: Mapping[str, str | int] | None = None
) -> None:
    """Move a bot to another state and say why."""
    bot.state, bot.state_since = state, now
    bot.state_reason = {"code": code, "values": dict(values or {})}


def renew(bot: Bot) -> None:
    """Let a bot begin once more: whatever its last start has left is forgotten or put by."""
    bot.ran_before_s += _ran_last(bot)
    put_by_state(bot)
    bot.epoch += 1
    bot.started_at = bot.stopped_at = None
    bot.stop_request = None
    bot.wake_below = bot.wake_above = None
    bot.swing_seq = bot.swing_low = bot.swing_high = None
    bot.failures, bot.last_error, bot.last_error_at = 0, None, None
    bot.stale_since = None


def put_by_state(bot: Bot) -> None:
    """Take a bot's state away, but keep it for orders of it that may still fill."""
    if bot.strategy_state is not None:
        bot.left_state = {
            "strategy": bot.strategy, "epoch": bot.epoch, "state": bot.strategy_state,
        }  # fmt: skip
    bot.strategy_state = None


def _ran_last(bot: Bot) -> int:
    if bot.started_at is None:
        return 0
    ended = bot.stopped_at or bot.state_since
    return max(0, int((ended - bot.started_at).total_seconds()))


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
