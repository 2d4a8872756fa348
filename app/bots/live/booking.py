"""What was seen goes into our own books: fills once, orders by the table of allowed changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from app.bots.live.facts import Account, Seen
from app.bots.live.outcomes import apply_found
from app.bots.live.rows import Event, LiveBot, read_bots
from app.bots.metrics import Metrics, first_metrics, read_metrics
from app.db import utc_now
from app.trades.service import (
    NewFill,
    OwnOrder,
    count_fill,
    orders_by_client_id,
    store_fills,
    unsettled_orders,
)
from app.trading.market import ZERO, Market
from app.trading.orders import Fill, Status, fee_in_quote
from app.trading.strategy import Severity

# How long a venue may not remember an order before it is taken as absent.
GRACE = timedelta(minutes=2)
LONG_GRACE = {"binance": timedelta(minutes=30)}


@dataclass(slots=True)
class Books:
    """Everything that one decision reads and changes, for a batch of accounts."""

    now: datetime
    bots: list[LiveBot]
    metrics: dict[int, Metrics]
    orders: dict[int, list[OwnOrder]]
    fills: dict[int, list[NewFill]] = field(default_factory=lambda: defaultdict(list))
    events: list[Event] = field(default_factory=list)
    # Orders to be written back, by id.
    touched: dict[int, OwnOrder] = field(default_factory=dict)


def open_books(seen: Mapping[int, Seen], accounts: Mapping[int, Account]) -> Books:
    """Read what belongs to these accounts and book what was seen of them."""
    orders = unsettled_orders(seen)
    by_client = {(own.account_id, own.order.client_id): own for own in orders}
    told = [(number, fill) for number, entry in seen.items() for _, fill in entry.fills]
    late = {(number, fill.client_id) for number, fill in told} - set(by_client)
    for own in orders_by_client_id(late):
        by_client[own.account_id, own.order.client_id] = own
    owners = {own.bot_id for own in by_client.values()}
    bots = read_bots(seen, owners)
    metrics = read_metrics(bot.id for bot in bots)
    for bot in bots:
        metrics.setdefault(bot.id, first_metrics(bot.id, bot.capital))
    by_bot: dict[int, list[OwnOrder]] = {bot.id: [] for bot in bots}
    for own in by_client.values():
        by_bot[own.bot_id].append(own)
    books = Books(utc_now(), bots, metrics, by_bot)
    _book_fills(books, told, by_client)
    _book_found(books, seen, accounts, by_client)
    return books


def _book_fills(
    books: Books,
    told: Iterable[tuple[int, Fill]],
    by_client: Mapping[tuple[int, str], OwnOrder],
) -> None:
    markets = {bot.id: bot.market for bot in books.bots}
    ours = []
    for number, fill in told:
        own = by_client.get((number, fill.client_id))
        # Trades of other programs on the account are none of our business.
        if own is not None:
            ours.append(NewFill(own, fill, _fee_quote(books, own, fill, markets[own.bot_id])))
    for new in store_fills(ours):
        market = markets[new.owner.bot_id]
        count_fill(new.owner, new.fill, market, ZERO)
        books.metrics[new.owner.bot_id].add_fill(new.fill, market, ZERO)
        books.fills[new.owner.bot_id].append(new)
        books.touched[new.owner.id] = new.owner


def _fee_quote(books: Books, own: OwnOrder, fill: Fill, market: Market) -> Decimal:
    known = fill.fee == 0 or fill.fee_currency in {market.base, market.quote}
    if not known:
        values = {"currency": fill.fee_currency, "amount": str(fill.fee)}
        books.events.append(Event(own.bot_id, "fee_price_unknown", values, Severity.WARNING))
    return fee_in_quote(fill, market, ZERO)


def _book_found(
    books: Books,
    seen: Mapping[int, Seen],
    accounts: Mapping[int, Account],
    by_client: Mapping[tuple[int, str], OwnOrder],
) -> None:
    for number, entry in seen.items():
        for client_id, found in entry.found.items():
            own = by_client.get((number, client_id))
            if own is None or own.settled:
                continue
            if found is not None:
                changed = apply_found(own, found)
            else:
                changed = _apply_absence(own, accounts[number], books.now)
            if changed:
                books.touched[own.id] = own


def _apply_absence(own: OwnOrder, account: Account, now: datetime) -> bool:
    """Take in that the venue does not know an order; one that was never sent just waits."""
    if own.status is Status.INTENDED:
        return False
    grace = LONG_GRACE.get(account.exchange, GRACE)
    if own.status is not Status.UNRESOLVED:
        own.turn(Status.UNRESOLVED, "unknown_to_venue")
        return True
    if now - (own.sent_at or own.created_at) < grace:
        return False
    own.turn(Status.REJECTED, "never_arrived")
    return True
