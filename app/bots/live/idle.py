"""Answers for bots whose strategy is not asked: what they have left, and what a pause keeps."""

import logging
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from app.bots.live.answers import CANCELLABLE, Answer, event_of, params_of, remember
from app.bots.live.booking import Books
from app.bots.live.facts import Seen
from app.bots.live.protect import is_protection, note_fired
from app.bots.live.rows import Event, LiveBot
from app.bots.models import BotState
from app.trades.service import OwnOrder
from app.trading.market import ZERO
from app.trading.orders import Side, Status
from app.trading.strategies import strategy_named
from app.trading.strategy import Severity, View

log = logging.getLogger(__name__)


def watch(
    orders: Iterable[OwnOrder], *, take_back: bool = False, staying: Collection[OwnOrder] = ()
) -> Answer:
    """Answer for a bot that does not run: nothing new goes out, what stands may be filled.

    With `take_back` (a bot that gave up) what stands is cancelled, but for what is `staying`:
    nobody would answer its fills.
    """
    own = list(orders)
    unwanted = CANCELLABLE if take_back else {Status.INTENDED}
    return Answer(
        cancels=[each for each in own if each.status in unwanted and each not in staying],
        settled=[each for each in own if each.status.is_final],
    )


def read_left(books: Books, bot: LiveBot, answer: Answer) -> None:
    """Count the round trips that were closed by orders of a start that is over.

    Nobody answers them; but what they sell, nothing waits for any longer.
    """
    try:
        if not bot.is_running and bot.strategy_state is not None:
            state = _read_left(books, bot, answer, bot.strategy, bot.epoch, bot.strategy_state)
            remember(bot, state, None)
        if bot.left_state is not None:
            state = _read_left(books, bot, answer, **bot.left_state)
            bot.left_state = {**bot.left_state, "state": state}
    except Exception:
        # What stands is taken back even if nobody can say what it has closed.
        log.exception("left_unread bot=%s", bot.id)


def _read_left(
    books: Books, bot: LiveBot, answer: Answer, strategy: str, epoch: int, state: dict[str, Any]
) -> dict[str, Any]:
    left = tuple(own.order for own in answer.settled if own.epoch == epoch)
    if not left:
        return state
    reader = strategy_named(strategy)
    read = reader.read_left(reader.decode_state(state), left, books.now)
    answer.matches += read.matches
    answer.events += [event_of(bot, line) for line in read.events]
    return reader.encode_state(read.state)


def rest(orders: Iterable[OwnOrder], held: Decimal) -> Answer:
    """Answer for a paused bot: what would open more is taken back, what closes stays.

    Nothing is settled: what happens meanwhile is news to the strategy when the bot goes on.
    """
    own = [each for each in orders if each.status.is_live and not is_protection(each)]
    closing = Side.SELL if held > 0 else Side.BUY
    left, staying = abs(held), set()
    for each in sorted(own, key=_turn_to_fill):
        if each.status is Status.INTENDED or each.order.key.side is not closing:
            continue
        # What goes beyond the coins or the position would open the other way.
        if each.status in CANCELLABLE and each.order.remaining > left:
            continue
        staying.add(each.id)
        left -= each.order.remaining
    return Answer(cancels=[o for o in own if o.status in CANCELLABLE and o.id not in staying])


def _turn_to_fill(own: OwnOrder) -> tuple[bool, Decimal]:
    # What can't be taken back counts first, then the price comes to the nearest one first.
    price = own.order.price or ZERO
    return own.status in CANCELLABLE, price if own.order.key.side is Side.SELL else -price


def hold(books: Books, bot: LiveBot, seen: Seen) -> Answer:
    """Answer for a paused bot: as `rest`, and its exits hold: where one is reached, it ends."""
    answer = rest(books.orders[bot.id], books.metrics[bot.id].books.position.base)
    current = [own for own in books.orders[bot.id] if own.epoch == bot.epoch]
    answer.events = note_fired(bot, current, books.now)
    point = seen.points.get(bot.market_id)
    if not answer.events and point is not None and bot.strategy_state is not None:
        strategy = strategy_named(bot.strategy)
        view = View(
            time=point.time,
            price=point.price,
            market=bot.market,
            params=params_of(strategy, bot),
            state=strategy.decode_state(bot.strategy_state),
            orders=tuple(own.order for own in current),
            holdings=books.metrics[bot.id].books.position.holdings,
            investment=bot.capital,
            swing=seen.swings.get(bot.id),
        )
        bot.triggers = answer.wake = strategy.exit_triggers(view)
        ending = strategy.ending(view)
        bot.has_minded(point)
        if ending is not None:
            bot.stop_request = ending.how.value
            bot.turn(BotState.STOPPING, ending.why.code, ending.why.values, books.now)
            line = Event(bot.id, ending.why.code, dict(ending.why.values), Severity.WARNING)
            answer.events.append(line)
    if bot.stop_request is not None:
        # The strategy closes, at this very price.
        bot.next_tick_at, answer.again = books.now, True
    return answer
