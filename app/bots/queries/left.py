"""What a stopped bot has left at its exchange: orders, a position with its stop, coins."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, and_, exists, or_, select, text

from app.bots.models import Bot, BotMetrics, BotState
from app.bots.queries.cards import BotCard
from app.bots.verbs import coins_to_sell
from app.db import db
from app.exchanges.remains import Keeper, Traces
from app.markets.models import MarketRow
from app.money import exact_text
from app.trades.models import LIVE_STATES, OrderRow
from app.trades.queries import Line, count_orders
from app.trading.market import ZERO, MarketKind
from app.trading.orders import Purpose

# Of so many pairs the exchange is asked for orders.
MOST_PAIRS = 50


def left_orders(card: BotCard) -> int:
    """Count the orders that a stopped bot has left on the exchange; another stop cancels them."""
    if card.state != BotState.STOPPED.value or card.account_deleted:
        return 0
    return count_orders([card.id])[card.id]["open"] - (left_stop(card) is not None)


@dataclass(frozen=True, slots=True)
class LeftStop:
    """The stop of a kept position: at which price it closes how much."""

    price: Decimal
    quantity: Decimal


def left_stop(card: BotCard) -> LeftStop | None:
    """Return the stop that stands for what a stopped bot holds; another stop takes it back."""
    if card.state not in {BotState.STOPPED.value, BotState.ERROR.value} or card.account_deleted:
        return None
    query = select(OrderRow.price, OrderRow.quantity - OrderRow.filled).where(
        OrderRow.account_id == card.account_id, OrderRow.bot_id == card.id, _stands()
    )
    row = db.session.execute(query.limit(1)).first()
    return None if row is None else LeftStop(row[0] or ZERO, row[1])


def left_position(card: BotCard) -> Decimal:
    """Return what a stopped bot holds of its contract (negative: owes); another stop closes it."""
    return ZERO if card.account_deleted else _position(card)


def left_coins(card: BotCard) -> Decimal:
    """Return the coins of a stopped bot on spot that another stop can sell."""
    if card.state != BotState.STOPPED.value or card.account_deleted:
        return ZERO
    return coins_to_sell(db.session.get_one(Bot, card.id))


def leaves_at_venue(card: BotCard) -> bool:
    """Say whether deleting a bot leaves a position, or its stop, at a real exchange."""
    if card.mode == "paper" or card.account_deleted:
        return False
    return left_position(card) != 0 or left_stop(card) is not None


def left_notices(card: BotCard) -> Iterator[Line]:
    """Say on a bot's page what it has left, and what may be done about it."""
    left = left_orders(card)
    if left:
        yield Line("notice_left_orders", {"orders": left}, "warning")
    held = _position(card)
    if not held:
        return
    if card.account_deleted:
        if card.mode == "paper":
            return
        yield Line("notice_left_with_account", {"quantity": exact_text(held)}, "warning")
        return
    yield Line("notice_left_position", {"quantity": exact_text(held)}, "warning")
    yield _about_stop(left_stop(card))


def traces_of(account_id: int) -> Traces:
    """Return the pairs that bots trade on an account, and which bots have left something there."""
    rows = db.session.execute(
        select(Bot.id, Bot.name, MarketRow.symbol, Bot.deleted_at, _leaves())
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .join(BotMetrics, BotMetrics.bot_id == Bot.id)
        .where(Bot.account_id == account_id)
        .order_by(Bot.id.desc())
    ).all()
    symbols = dict.fromkeys(row.symbol for row in rows)
    keepers = (
        Keeper(number, name, symbol)
        for number, name, symbol, deleted_at, leaves in reversed(rows)
        if leaves and deleted_at is None
    )
    return Traces(tuple(symbols)[:MOST_PAIRS], tuple(keepers))


def _leaves() -> ColumnElement[bool]:
    is_contract = MarketRow.kind != MarketKind.SPOT.value
    standing = exists().where(OrderRow.bot_id == Bot.id, text(LIVE_STATES))
    return or_((BotMetrics.base != 0) & is_contract, standing)


def _stands() -> ColumnElement[bool]:
    return and_(text(LIVE_STATES), OrderRow.purpose == Purpose.PROTECT.value)


def _position(card: BotCard) -> Decimal:
    contract = card.figures.contract if card.figures else None
    return contract.base if contract and card.state == BotState.STOPPED.value else ZERO


def _about_stop(stop: LeftStop | None) -> Line:
    if stop is None:
        return Line("notice_no_stop", {}, "warning")
    values = {"price": exact_text(stop.price), "quantity": exact_text(stop.quantity)}
    return Line("notice_left_stop", values, "info")
