"""Books that were restored from an older copy catch up with the venue. See `lost`."""

import logging
from collections.abc import Collection
from dataclasses import replace

from app.bots.live.booking import Books, book_fills, foreign_order
from app.bots.live.facts import Seen, Work
from app.bots.live.rows import Event, LiveBot
from app.trades.service import OwnOrder, insert_orders
from app.trading.orders import Fill, Purpose
from app.trading.strategies import strategy_named
from app.trading.strategy import Severity

log = logging.getLogger(__name__)

RESTORED = "books_restored"


def catch_up(books: Books, number: int, entry: Seen, work: Work, *, wants_more: bool) -> None:
    """Let an account's books catch up; send nothing while its bots want what may be there already.

    When they want nothing new, fills that are left are counted to the bot of their pair, and it
    begins anew with what it holds by then.
    """
    lost = books.lost[number]
    log.warning("books_behind account=%s fills=%s", number, len(lost.fills))
    if wants_more:
        work.sends, work.again, entry.cursor = [], True, lost.cursor
        books.strays.pop(number, None)
        return
    taken: dict[int, list[Fill]] = {}
    for market_id, fill in lost.fills:
        bot = _whose(books, number, market_id, fill)
        if bot is None:
            log.error("fill_unknown account=%s trade=%s", number, fill.trade_id)
        else:
            taken.setdefault(bot.id, []).append(fill)
    for bot in books.bots:
        if bot.id in taken:
            _take_in(books, bot, taken[bot.id])
            work.again = True


def _whose(books: Books, number: int, market_id: int, fill: Fill) -> LiveBot | None:
    """Return the only bot that can have ordered what was filled; None if there are several."""
    known = [
        bot
        for bot in books.bots
        if (bot.account_id, bot.market_id) == (number, market_id)
        and (bot.is_running or bot.is_paused)
        and bot.started_at is not None
        and bot.started_at <= fill.time
    ]
    return known[0] if len(known) == 1 else None


def _take_in(books: Books, bot: LiveBot, fills: Collection[Fill]) -> None:
    rows = [foreign_order(bot, fill, RESTORED, Purpose.ENTRY) for fill in fills]
    orders: dict[tuple[int, str], OwnOrder] = {}
    for own in insert_orders(rows):
        orders[own.account_id, own.order.client_id] = own
        books.orders[bot.id].append(own)
    told = [(bot.account_id, replace(fill, client_id=fill.trade_id)) for fill in fills]
    book_fills(books, told, orders)
    for own in orders.values():
        # They are in the state that begins now.
        own.settled = True
    values = {"fills": len(orders)}
    books.events.append(Event(bot.id, RESTORED, values, Severity.WARNING))
    if bot.strategy_state is not None:
        strategy = strategy_named(bot.strategy)
        state = strategy.begin_anew(strategy.decode_state(bot.strategy_state))
        bot.strategy_state, bot.state_changed = strategy.encode_state(state), True
        bot.next_tick_at = books.now
