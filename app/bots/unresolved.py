"""Orders of which nobody knows for sure whether the exchange has them: what a person does there.

Ticks look such orders up by themselves until they know; here stands what stays open. A person may
look again, and decide with a reason. That an order was filled can't be said by hand: fills come
from the exchange alone, so it is shown filled there or not at all.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import and_, func, or_, select

from app import answers
from app.accounts import audit
from app.bots.models import Bot, BotEvent
from app.bots.wake import request_ticks
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.exchanges.audits import ask_for_audit
from app.exchanges.models import ExchangeAccount
from app.exchanges.venues import open_venue
from app.money import exact_text
from app.notifications.stream import hint
from app.trades.models import OrderRow
from app.trading.codec import from_json, to_json
from app.trading.orders import Status
from app.trading.ports import VenueOrder
from app.transactions import after_commit

# Orders that wait to be sent are on their way; after so long something is in their way.
SENDING = timedelta(minutes=2)
MOST_SHOWN = 200
MAX_REASON = 300
ASK_JOB = "app.bots.jobs.look_up_order"
ANSWER_KEPT_S = 60
WAITING = (Status.UNRESOLVED.value, Status.INTENDED.value)


class Verdict(StrEnum):
    """What a person says of an order."""

    OPEN = "open"
    CANCELLED = "cancelled"
    FILLED = "filled"


@dataclass(frozen=True, slots=True)
class StuckOrder:
    """An order that waits for a person, with what is known of it; `answer` is the venue's."""

    id: int
    bot_id: int
    bot_name: str
    user_id: int
    account_id: int
    account: str
    exchange: str
    symbol: str
    side: str
    kind: str
    level: int | None
    price: Decimal | None
    quantity: Decimal
    filled: Decimal
    status: str
    error: str | None
    answer: str | None
    client_id: str
    exchange_order_id: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class VenueAnswer:
    """What the exchange says of an order now: how it shows it, or why it did not say."""

    found: VenueOrder | None = None
    failure: str | None = None

    @property
    def is_known(self) -> bool:
        """Say whether the exchange answered at all."""
        return self.failure is None


def stuck_orders() -> Sequence[StuckOrder]:
    """Return the orders that wait for an answer or a person, longest first."""
    return _read(None)


def stuck_order(order_id: int) -> StuckOrder:
    """Return one of them; raise NotFound for any other order."""
    found = _read(order_id)
    if not found:
        raise NotFound("order_is_resolved")
    return found[0]


def ask_venue(order: StuckOrder) -> VenueAnswer:
    """Have a worker ask the exchange about an order, and wait; call it outside any transaction."""
    try:
        text = answers.ask(ASK_JOB, order.id, name=_answer_name(order.id))
    except Unavailable as error:
        return VenueAnswer(failure=error.code)
    if text is None:
        return VenueAnswer(failure="nobody_answers")
    answer: VenueAnswer = from_json(VenueAnswer, json.loads(text))
    return answer


def look_up(order: StuckOrder) -> None:
    """Ask the exchange about an order and keep its answer for who waits; for workers only."""
    try:
        answer = VenueAnswer(open_venue(order.account_id).find(order.symbol, order.client_id))
    except (Unavailable, NotFound) as error:
        answer = VenueAnswer(failure=error.code)
    answers.put(_answer_name(order.id), json.dumps(to_json(answer)), ANSWER_KEPT_S)


def _answer_name(order_id: int) -> str:
    return f"order:{order_id}"


def look_again(actor_id: int, order_id: int) -> None:
    """Have everything about an order's account looked at now; audited."""
    row, _ = _locked(order_id)
    audit.record("order.look", "order", row.id, actor_id=actor_id)
    _tick_soon(row)


def resolve_order(
    actor_id: int, order_id: int, verdict: Verdict, reason: str, answer: VenueAnswer
) -> None:
    """Say what became of an order; audited, and told in the bot's log with the reason.

    `answer` is what the exchange has just said: raise Conflict where it says otherwise. The caller
    has checked the right.
    """
    reason = " ".join(reason.split())
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise InvalidInput("bad_stop_reason", field="reason", maximum=MAX_REASON)
    row, bot = _locked(order_id)
    before = {"status": row.status, "error": row.error}
    _check(verdict, answer, row)
    _turn(row, verdict, answer)
    values = {"side": row.side, "price": _text(row.price), "verdict": verdict.value}
    db.session.add(
        BotEvent(
            bot_id=bot.id,
            at=utc_now(),
            level="warning",
            code=f"order_resolved_{verdict.value}",
            values={**values, "reason": reason},
            actor_id=actor_id,
        )
    )
    audit.record(
        "order.resolve",
        "order",
        row.id,
        actor_id=actor_id,
        before=before,
        after={"status": row.status, "error": row.error},
        reason=reason,
    )
    _tick_soon(row)


def _check(verdict: Verdict, answer: VenueAnswer, row: OrderRow) -> None:
    found = answer.found
    if verdict is Verdict.FILLED and (found is None or found.filled <= row.filled):
        raise Conflict("venue_shows_no_fill")
    if verdict is Verdict.CANCELLED and found is not None and found.status.is_live:
        raise Conflict("venue_shows_it_open")
    if verdict is Verdict.CANCELLED and found is not None and found.filled > row.filled:
        raise Conflict("venue_shows_fills")
    if verdict is Verdict.OPEN and found is not None and found.status.is_final:
        raise Conflict("venue_shows_it_closed")


def _turn(row: OrderRow, verdict: Verdict, answer: VenueAnswer) -> None:
    now = utc_now()
    row.doubtful_since = None
    row.updated_at = now
    row.sent_at = row.sent_at or now
    if answer.found is not None:
        row.exchange_order_id = row.exchange_order_id or answer.found.venue_id
    if verdict is Verdict.CANCELLED:
        row.status, row.error, row.final_at = Status.CANCELLED.value, "resolved_by_staff", now
    else:
        # A filled one stands until its fills have been told: the next look asks for them.
        row.status = (Status.PARTIAL if row.filled else Status.OPEN).value


def _tick_soon(row: OrderRow) -> None:
    account_id, topics = row.account_id, (f"bot:{row.bot_id}", "dashboard")
    user_id = row.user_id
    ask_for_audit([account_id])
    after_commit(lambda: request_ticks([account_id]))
    after_commit(lambda: hint(user_id, *topics))


def _locked(order_id: int) -> tuple[OrderRow, Bot]:
    """Lock an order that waits, and its bot first: that is the order in which ticks lock them."""
    row = db.session.get(OrderRow, order_id) if 0 < order_id < 2**63 else None
    if row is None:
        raise NotFound("order_is_resolved")
    bot = db.session.get_one(Bot, row.bot_id, with_for_update=True, populate_existing=True)
    db.session.refresh(row, with_for_update=True)
    if row.status not in WAITING:
        raise Conflict("order_is_resolved")
    return row, bot


def _read(order_id: int | None) -> list[StuckOrder]:
    since = func.coalesce(OrderRow.doubtful_since, OrderRow.sent_at, OrderRow.created_at)
    query = (
        select(OrderRow, Bot.name, ExchangeAccount.label, ExchangeAccount.exchange, since)
        .join(Bot, Bot.id == OrderRow.bot_id)
        .join(ExchangeAccount, ExchangeAccount.id == OrderRow.account_id)
        .where(
            ~OrderRow.settled,
            or_(
                OrderRow.status == Status.UNRESOLVED.value,
                and_(
                    OrderRow.status == Status.INTENDED.value,
                    OrderRow.created_at < utc_now() - SENDING,
                ),
            ),
        )
        .order_by(since, OrderRow.id)
        .limit(MOST_SHOWN)
    )
    if order_id is not None:
        query = query.where(OrderRow.id == (order_id if 0 < order_id < 2**63 else 0))
    return [_shown(*row) for row in db.session.execute(query)]


def _shown(row: OrderRow, bot: str, account: str, exchange: str, since: datetime) -> StuckOrder:
    return StuckOrder(
        id=row.id,
        bot_id=row.bot_id,
        bot_name=bot,
        user_id=row.user_id,
        account_id=row.account_id,
        account=account,
        exchange=exchange,
        symbol=row.symbol,
        side=row.side,
        kind=row.kind,
        level=row.level,
        price=row.price,
        quantity=row.quantity,
        filled=row.filled,
        status=row.status,
        error=row.error,
        answer=row.answer,
        client_id=row.client_id,
        exchange_order_id=row.exchange_order_id,
        since=since,
    )


def _text(price: Decimal | None) -> str | None:
    return None if price is None else exact_text(price)
