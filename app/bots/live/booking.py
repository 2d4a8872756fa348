"""What was seen goes into our own books: fills once, orders by the table of allowed changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from app.bots.live import clock
from app.bots.live.clock import grace_of
from app.bots.live.facts import Account, Seen
from app.bots.live.lost import Lost, find_lost, is_known
from app.bots.live.outcomes import EDITED, TAKEN_BY_OTHERS, apply_found, is_edited, is_own_id
from app.bots.live.protect import held_stops
from app.bots.live.rates import FeeRates
from app.bots.live.rows import Event, LiveBot, read_bots
from app.bots.metrics import Metrics, first_metrics, read_metrics
from app.bots.models import BotState
from app.db import utc_now
from app.exchanges.catalogue import VENUES
from app.money import exact_text
from app.trades.funding import NewFunding, store_funding
from app.trades.service import (
    NewFill,
    NewOrder,
    OwnOrder,
    count_fill,
    ids_beside,
    insert_orders,
    orders_by_client_id,
    store_fills,
    unsettled_orders,
)
from app.trading.intents import Reason
from app.trading.market import ZERO
from app.trading.order_queues import DELEVERAGING, LIQUIDATION
from app.trading.orders import (
    Fill,
    Order,
    OrderKey,
    OrderKind,
    Purpose,
    Side,
    Status,
    fee_in_quote,
)
from app.trading.ports import VenueOrder
from app.trading.strategy import Severity, StopHow

NOTED = "order_cancelled_outside"
# Apart from the numbers that a strategy gives its closing orders.
LIQUIDATED = 1_000_000
# Why a venue closed a position by force, and what the log says of it.
FORCED = {
    LIQUIDATION: ("liquidated", "position_liquidated"),
    DELEVERAGING: ("deleveraged", "position_deleveraged"),
}
# So many orders do not end in one moment without a trace.
MANY = 3
BY_HAND = ("closed_by_hand", "position_closed_by_hand")


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
    # Accounts whose venue lets stop orders rest.
    with_stops: frozenset[int] = frozenset()
    # Bots whose position others than they have closed, all or part of it.
    closed_by_force: set[int] = field(default_factory=set)
    # Orders that somebody else has given another price, or made bigger: to be taken back.
    edited: dict[int, list[OwnOrder]] = field(default_factory=lambda: defaultdict(list))
    # Orders at the venue that should not stand there, by account.
    strays: dict[int, list[VenueOrder]] = field(default_factory=dict)
    # Orders that nobody has seen for long enough, by account.
    doubted: dict[int, list[OwnOrder]] = field(default_factory=lambda: defaultdict(list))
    # Coins that bots held and that were not there, as they ended: bot and what moves by currency.
    taken_out: list[tuple[LiveBot, dict[str, Decimal]]] = field(default_factory=list)
    # What the books of an account lack of what its venue has.
    lost: dict[int, Lost] = field(default_factory=dict)


def open_books(seen: Mapping[int, Seen], accounts: Mapping[int, Account]) -> Books:
    """Read what belongs to these accounts and book what was seen of them."""
    orders = unsettled_orders(seen)
    by_client = {(own.account_id, own.order.client_id): own for own in orders}
    told = [(number, fill) for number, entry in seen.items() for _, fill in entry.fills]
    late = {(number, fill.client_id) for number, fill in told}
    late |= {(number, order.client_id) for number, e in seen.items() for order in e.strays}
    late = {key for key in late - set(by_client) if is_own_id(key[1])}
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
    for number, entry in seen.items():
        lost = None if accounts[number].is_paper else find_lost(accounts[number], entry, by_client)
        if lost is not None:
            books.lost[number] = lost
    books.with_stops = frozenset(n for n in seen if VENUES[accounts[n].exchange].has_stops)
    for number, entry in seen.items():
        told += _forced_closings(books, number, entry, by_client)
    book_fills(books, told, by_client)
    by_hand = [
        fill for number, e in seen.items() for fill in _closed_by_hand(books, number, e, by_client)
    ]
    book_fills(books, by_hand, by_client)
    _book_found(books, seen, accounts, by_client)
    for number, entry in seen.items():
        _book_strays(books, number, entry, by_client)
        _book_funding(books, number, entry)
    return books


def book_fills(
    books: Books,
    told: Iterable[tuple[int, Fill]],
    by_client: Mapping[tuple[int, str], OwnOrder],
) -> None:
    """Count fills once each into their orders and into the sums of their bots."""
    markets = {bot.id: bot.market for bot in books.bots}
    rates = FeeRates()
    ours = []
    for number, fill in told:
        own = by_client.get((number, fill.client_id))
        # Trades of other programs on the account are none of our business.
        if is_known(own):
            market = markets[own.bot_id]
            known = rates.rate_for(fill, market, own.market_id) or ZERO
            ours.append(NewFill(own, fill, fee_in_quote(fill, market, known)))
    for new in store_fills(ours):
        own, fill, market = new.owner, new.fill, markets[new.owner.bot_id]
        rate = rates.rate_for(fill, market, own.market_id)
        if rate is None:
            values = {"currency": fill.fee_currency, "amount": exact_text(fill.fee)}
            books.events.append(Event(own.bot_id, "fee_price_unknown", values, Severity.WARNING))
        count_fill(own, fill, market, rate or ZERO)
        books.metrics[own.bot_id].add_fill(fill, market, rate or ZERO)
        books.fills[own.bot_id].append(new)
        books.touched[own.id] = own


def _forced_closings(
    books: Books, number: int, entry: Seen, by_client: dict[tuple[int, str], OwnOrder]
) -> list[tuple[int, Fill]]:
    """Give fills by which the venue closed a position an order of its bot, so that they count.

    The bot then ends: whatever it still has at the venue is taken back.
    """
    runs = _holders(books, number)
    return [
        (number, taken)
        for market_id, fill in entry.fills
        if fill.client_id in FORCED and (bot := runs.get(market_id)) is not None
        if (taken := _taken_in(books, bot, fill, FORCED[fill.client_id], by_client)) is not None
    ]


def _closed_by_hand(
    books: Books, number: int, entry: Seen, by_client: dict[tuple[int, str], OwnOrder]
) -> list[tuple[int, Fill]]:
    """Give trades by which the owner closed a bot's position an order of it, so that they count.

    Without them the orders of a grid that close would open a position the other way. They are
    taken only where the venue holds less than our books and just these trades explain it; whatever
    the owner has beside the bot's position is none of its business.
    """
    taken = []
    for market_id, bot in _holders(books, number).items():
        held = entry.positions.get(bot.market.symbol)
        if held is None or not lacks(books, bot, held):
            continue
        foreign = [
            fill
            for at, fill in entry.fills
            if at == market_id and fill.client_id not in FORCED and not is_own_id(fill.client_id)
        ]
        for fill in _explaining(foreign, held - books.metrics[bot.id].books.position.base):
            own = _taken_in(books, bot, fill, BY_HAND, by_client)
            taken += [] if own is None else [(number, own)]
    return taken


def lacks(books: Books, bot: LiveBot, held: Decimal) -> bool:
    """Say whether a venue holds less of a contract than a bot believes, or the other way round."""
    known = books.metrics[bot.id].books.position.base
    return abs(held) < abs(known) or held * known < 0


def _explaining(fills: list[Fill], gap: Decimal) -> list[Fill]:
    """Return the newest of some fills that move a position by just so much, oldest first."""
    fills = sorted(fills, key=lambda fill: fill.time)
    moved = ZERO
    for count, fill in enumerate(reversed(fills), 1):
        moved += fill.quantity if fill.side is Side.BUY else -fill.quantity
        if moved == gap:
            return fills[-count:]
    return []


def _taken_in(
    books: Books,
    bot: LiveBot,
    fill: Fill,
    why: tuple[str, str],
    by_client: dict[tuple[int, str], OwnOrder],
) -> Fill | None:
    """Give a fill that nobody here ordered an order of a bot, and end the bot; None if told before.

    One of several fills that were told together finds the bot ended already.
    """
    code, told = why
    key = bot.account_id, fill.trade_id
    if key not in by_client:
        written = insert_orders([foreign_order(bot, fill, code)])
        # Told before: it was booked and settled then.
        if not written:
            return None
        by_client[key] = written[0]
        books.orders[bot.id].append(written[0])
        values = {"price": exact_text(fill.price), "quantity": exact_text(fill.quantity)}
        if bot.is_running or bot.is_paused:
            bot.stop_request = bot.stop_request or StopHow.KEEP.value
            bot.turn(BotState.STOPPING, code, values, books.now)
        books.events.append(Event(bot.id, told, values, Severity.ERROR))
        books.closed_by_force.add(bot.id)
    return replace(fill, client_id=fill.trade_id)


def _holders(books: Books, number: int) -> dict[int, LiveBot]:
    """Return whose the position in each market is: of who runs there, else of who has kept it."""
    own = [bot for bot in books.bots if bot.account_id == number]
    kept = {bot.market_id: bot for bot in own if books.metrics[bot.id].books.position.base != 0}
    return kept | {bot.market_id: bot for bot in own if bot.is_running}


def foreign_order(
    bot: LiveBot, fill: Fill, code: str, purpose: Purpose = Purpose.CLOSE
) -> NewOrder:
    """Return an order of a bot for a fill of which it has none, under the id of the trade."""
    return NewOrder(
        user_id=bot.user_id,
        account_id=bot.account_id,
        bot_id=bot.id,
        market_id=bot.market_id,
        symbol=bot.market.symbol,
        epoch=bot.epoch,
        order=Order(
            client_id=fill.trade_id,
            key=OrderKey(purpose, None, fill.side, cycle=LIQUIDATED),
            attempt=0,
            kind=OrderKind.MARKET,
            price=None,
            quantity=fill.quantity,
            status=Status.OPEN,
        ),
        reason=Reason(code),
        config_version=bot.config_version,
        tick_id=code,
    )


def _book_funding(books: Books, number: int, entry: Seen) -> None:
    """Count funding payments for the bot that holds the contract; there is one at a time.

    One that fell due before the bot had begun, or where none is left, is of who has ended since.
    """
    runs = _holders(books, number)
    payments = []
    for market_id, funding in entry.funding:
        bot = runs.get(market_id)
        if bot is None or (bot.started_at is not None and funding.time < bot.started_at):
            bot = _ended_since(books, number, market_id, funding.time) or bot
        if bot is not None:
            payments.append(NewFunding(bot.user_id, number, bot.id, market_id, funding))
    for new in store_funding(payments):
        books.metrics[new.bot_id].add_funding(new.funding.amount)


def _ended_since(books: Books, number: int, market_id: int, time: datetime) -> LiveBot | None:
    """Return who traded a contract at a time and has ended since; the last of several."""
    ended = [
        (bot.stopped_at, bot.id, bot)
        for bot in books.bots
        if (bot.account_id, bot.market_id) == (number, market_id)
        and not bot.is_running
        and bot.stopped_at is not None
        and bot.started_at is not None
        and bot.started_at <= time
    ]
    return max(ended)[-1] if ended else None


def _book_found(
    books: Books,
    seen: Mapping[int, Seen],
    accounts: Mapping[int, Account],
    by_client: Mapping[tuple[int, str], OwnOrder],
) -> None:
    markets = {bot.id: bot.market for bot in books.bots}
    for number, entry in seen.items():
        if not entry.found:
            continue
        patience = _patience(accounts[number], entry, by_client)
        for client_id, found in entry.found.items():
            own = by_client.get((number, client_id))
            if own is None or own.settled:
                continue
            if found is not None:
                changed = apply_found(own, found)
            else:
                changed = _doubt(own)
                if not changed and _is_overdue(own, entry.begun_at, patience):
                    books.doubted[number].append(own)
            if changed:
                books.touched[own.id] = own
                _tell_taken(books, own)
            if found is not None and is_edited(own, found, markets[own.bot_id].tick):
                _note_edited(books, own, found)


def _note_edited(books: Books, own: OwnOrder, found: VenueOrder) -> None:
    books.edited[own.bot_id].append(own)
    if own.answer == EDITED:
        return
    own.answer = EDITED
    books.touched[own.id] = own
    price = own.order.price if found.price is None else found.price
    values = {
        "side": own.order.key.side.value,
        "ours": exact_text(own.order.price or ZERO),
        "price": exact_text(price or ZERO),
    }
    books.events.append(Event(own.bot_id, "order_edited_outside", values, Severity.WARNING))


def _tell_taken(books: Books, own: OwnOrder) -> None:
    if own.status is not Status.CANCELLED or own.error != TAKEN_BY_OTHERS:
        return
    # Closing a position by force takes its orders with it; they are not placed again.
    if own.bot_id in books.closed_by_force:
        return
    key = own.order.key
    if key.level is None:
        values: dict[str, str | int] = {"side": key.side.value}
        books.events.append(
            Event(own.bot_id, "order_cancelled_elsewhere", values, Severity.WARNING)
        )
    else:
        values = {"level": key.level, "side": key.side.value}
        books.events.append(Event(own.bot_id, NOTED, values, Severity.WARNING))


def _doubt(own: OwnOrder) -> bool:
    """Take in that the venue says it does not know an order; one that was never sent just waits.

    One that was about to be sent when its worker died may be there: venues forget orders for a
    while, also filled ones, and not each of them refuses a second order under the id of a filled
    one. So it is doubted first.
    """
    unsent = own.status is Status.INTENDED and own.sent_at is None
    if unsent or not own.status.is_live or own.status is Status.UNRESOLVED:
        return False
    own.turn(Status.UNRESOLVED, "unknown_to_venue")
    return True


def _is_overdue(own: OwnOrder, asked_at: datetime, patience: timedelta) -> bool:
    """Say whether nobody has seen an order in doubt for long enough.

    That is up to when the venue was asked, for calls wait for their turn and an answer may be old
    by now.
    """
    if own.status is not Status.UNRESOLVED:
        return False
    return asked_at - (own.doubtful_since or own.created_at) >= patience


def _patience(
    account: Account, entry: Seen, by_client: Mapping[tuple[int, str], OwnOrder]
) -> timedelta:
    """Return how long orders of an account are looked for; longer if all that stood are missing."""
    usual = grace_of(account.exchange)
    if any(found is not None and found.status.is_live for found in entry.found.values()):
        return usual
    missing = [
        own
        for (number, _), own in by_client.items()
        if number == account.id
        and own.status is Status.UNRESOLVED
        and own.exchange_order_id is not None
    ]
    return usual * clock.ALL_GONE if len(missing) >= MANY else usual


def _book_strays(
    books: Books, number: int, entry: Seen, by_client: Mapping[tuple[int, str], OwnOrder]
) -> None:
    """Take in orders that stand unexpectedly: adopt our own, have all others taken back.

    One that was taken as absent lives again; its bot decides about it, or it is taken back too if
    that has ended meanwhile. One that is final otherwise,
    or that stands in no book of ours (the books were restored from an older copy), has no owner.
    What another account ordered is its own: both may have a key of one account at the venue.
    """
    unknown = {each.client_id for each in entry.strays if (number, each.client_id) not in by_client}
    beside = ids_beside(number, unknown)
    for found in entry.strays:
        own = by_client.get((number, found.client_id))
        if found.client_id in beside or (own is not None and own.status.is_live):
            continue
        if own is not None and own.status is Status.REJECTED:
            apply_found(own, found)
            own.settled = False
            books.touched[own.id] = own
            if _goes_on(books, own):
                books.events.append(_stray_event(own.bot_id, "order_adopted", found))
            else:
                books.edited[own.bot_id].append(own)
                books.events.append(_stray_event(own.bot_id, "late_order_cancelled", found))
        else:
            books.strays.setdefault(number, []).append(found)


def _goes_on(books: Books, own: OwnOrder) -> bool:
    """Say whether somebody answers for an order that turns up late: its bot, or a kept position."""
    bot = next(each for each in books.bots if each.id == own.bot_id)
    held = books.metrics[bot.id].books.position.base
    return bot.is_running or bot.is_paused or bool(held_stops(bot, [own], held))


def tell_of_stray(books: Books, number: int, stray: VenueOrder) -> None:
    """Write into the logs of an account's bots on its pair that such an order is taken back."""
    books.events += [
        _stray_event(bot.id, "stray_cancelled", stray)
        for bot in books.bots
        if bot.account_id == number and bot.market.symbol == stray.symbol
    ]


def _stray_event(bot_id: int, code: str, found: VenueOrder) -> Event:
    price = None if found.price is None else exact_text(found.price)
    return Event(bot_id, code, {"side": found.side.value, "price": price}, Severity.WARNING)
