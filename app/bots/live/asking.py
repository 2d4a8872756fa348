"""Asking one bot's strategy: the view is put together, its answer becomes orders and log lines."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from app.bots.live.booking import NOTED, Books
from app.bots.live.facts import Seen
from app.bots.live.limits import broken_limit
from app.bots.live.outcomes import PREFIX, is_excused, rests_for_now
from app.bots.live.protect import (
    NOTHING,
    Guarding,
    guard,
    held_stops,
    is_protection,
    note_fired,
    stop_is_declined,
    wake_with,
)
from app.bots.live.rows import Event, LiveBot
from app.bots.models import BotState
from app.errors import Conflict
from app.money import exact_text
from app.trades.service import NewOrder, OwnOrder
from app.trading.engine import Tick, tick
from app.trading.intents import Cancel, Place, Reason
from app.trading.market import ZERO, MarketKind, PricePoint, Triggers
from app.trading.orders import Order, Purpose, Side, Status, client_order_id, traded_value
from app.trading.ports import Balance
from app.trading.risk import Limits
from app.trading.strategies import strategy_named
from app.trading.strategy import (
    COINS_MISSING,
    LogLine,
    Match,
    Protection,
    Severity,
    StopHow,
    Strategy,
    UnderWay,
    View,
)

log = logging.getLogger(__name__)

CANCELLABLE = frozenset({Status.INTENDED, Status.OPEN, Status.PARTIAL})
_MOST_PARAMS = 50_000
# What a strategy logs when other settings begin.
EDITED = "edit_done"
# When it deals its coins out anew: to other orders than those that answer their purchases.
DEALT_ANEW = frozenset({EDITED, "grid_started", "level_too_small_to_sell"})


@dataclass(slots=True)
class Answer:
    """What a bot wants: nothing of it is written yet.

    `unsent` are intended orders of former ticks that still have to go out; `settled` final orders
    that the strategy has taken in. `under_way` are the round trips that go on where coins were
    dealt out anew: all others have ended.
    """

    new_orders: list[NewOrder] = field(default_factory=list)
    cancels: list[OwnOrder] = field(default_factory=list)
    unsent: list[OwnOrder] = field(default_factory=list)
    settled: list[OwnOrder] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    matches: tuple[Match, ...] = ()
    wake: Triggers = Triggers()
    finished: Reason | None = None
    again: bool = False
    edited: bool = False
    under_way: UnderWay | None = None


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
            _remember(bot, state, None)
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
    answer.events += [_event(bot, line) for line in read.events]
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
            params=_params(strategy, bot),
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


def unsent(orders: Iterable[OwnOrder], epoch: int, seen: Seen) -> list[OwnOrder]:
    """Return the intended orders of this start that were looked up just now, in vain."""
    return [
        own
        for own in orders
        if own.status is Status.INTENDED
        and own.epoch == epoch
        and own.order.client_id in seen.found
    ]


def ask(books: Books, bot: LiveBot, seen: Seen, tick_id: str) -> Answer:
    """Ask a running bot's strategy; raises what the strategy raises."""
    orders = books.orders[bot.id]
    former = [own for own in orders if own.epoch != bot.epoch]
    # The stop of a kept position stands until there is a new one.
    staying = _taken_over(books, bot, former)
    answer = watch(former, take_back=True, staying=staying)
    read_left(books, bot, answer)
    point = seen.points.get(bot.market_id)
    if point is None:
        answer.events += _no_price(bot)
        return answer
    beyond = broken_limit(books, bot, orders, point)
    if beyond is not None:
        bot.turn(BotState.PAUSED, beyond.code, beyond.values, books.now)
        paused = rest(orders, books.metrics[bot.id].books.position.base)
        paused.events = [Event(bot.id, beyond.code, dict(beyond.values), Severity.WARNING)]
        # Its exits hold at this very price too.
        paused.again = True
        return paused
    strategy = strategy_named(bot.strategy)
    params = _params(strategy, bot)
    if begins := bot.strategy_state is None:
        # Orders of the start before this one, and prices of the past, come first.
        live = [own for own in former if own.status.is_live and own not in staying]
        if live or not seen.is_last or seen.is_partial:
            return answer
        if bot.market_id in seen.stale and bot.stop_request is None:
            return _until_next_price(answer, point)
        _check_money(books, bot, seen)
        state = _first_state(books, strategy, params, bot, point)
        # All that its last start has left is booked.
        bot.left_state = None
    else:
        state = strategy.decode_state(bot.strategy_state)
    current = [own for own in orders if own.epoch == bot.epoch]
    answer.events += note_fired(bot, current, books.now)
    stops = [own for own in current if own.order.key.purpose is Purpose.PROTECT]
    traded = [own for own in current if own not in stops] if stops else current
    resting = [] if bot.stop_request else [o for o in current if rests_for_now(o, books.now)]
    view = View(
        time=point.time,
        price=point.price,
        market=bot.market,
        params=params,
        state=state,
        orders=tuple(
            [_shown(own, resting) if own.error or own.answer else own.order for own in traded]
        ),
        holdings=books.metrics[bot.id].books.position.holdings,
        investment=bot.capital,
        fills=tuple(new.fill for new in books.fills.get(bot.id, ())),
        stop_request=bot.how,
        may_retry=seen.may_retry,
        asks_again=seen.asks_again,
        swing=None if begins else seen.swings.get(bot.id),
        price_is_old=bot.market_id in seen.stale,
        there=_there(books, bot, seen),
    )
    result = tick(strategy, view, Limits(halted=bot.is_emergency))
    wanted = _protection(books, strategy, bot, view, result)
    guarding = NOTHING
    if stops or wanted is not None or bot.protection is not None:
        guarding = guard(bot, stops, wanted, result, view, books.now)
    known = [own for own in current if own not in resting] if resting else current
    _read(answer, bot, known, result, tick_id, guarding)
    waiting = unsent(current, bot.epoch, seen)
    taken_back = {own.id for own in answer.cancels}
    answer.unsent = [own for own in waiting if own.id not in taken_back]
    answer.wake = wake_with(answer.wake, wanted)
    if begins or any(each.code in DEALT_ANEW for each in result.events):
        answer.under_way = strategy.under_way(result.state)
    # What has to wait for the next price is decided once more then.
    _remember(bot, strategy.encode_state(result.state), None if view.price_is_old else point)
    bot.triggers = result.triggers
    if answer.finished is not None and answer.finished.code == COINS_MISSING:
        _take_out(books, bot, answer.finished)
    books.metrics[bot.id].value_at(point.price)
    return answer


def _until_next_price(answer: Answer, point: PricePoint) -> Answer:
    # Nothing is traded by an old price.
    answer.wake = Triggers(point.price, point.price)
    return answer


def _there(books: Books, bot: LiveBot, seen: Seen) -> Balance | None:
    """Return the coins of a pair that are at the venue and that no other bot of the account holds.

    None where no comparison has just asked for them.
    """
    if seen.balances is None or bot.market.kind is not MarketKind.SPOT or not seen.asks_again:
        return None
    coin = bot.market.base
    others = (
        _held_of(coin, books, each)
        for each in books.bots
        if each.id != bot.id
        and each.account_id == bot.account_id
        and (each.is_running or each.is_paused)
        and each.market.kind is MarketKind.SPOT
    )
    told = seen.balances.get(bot.market.base, Balance())
    total = max(ZERO, told.total - sum(others, ZERO))
    free = min(told.free, total)
    return Balance(free, total - free)


def _held_of(coin: str, books: Books, bot: LiveBot) -> Decimal:
    """Return how much of a coin a bot holds: as what it trades, or as the money that it trades for.

    A bot on ETH/BTC waits with bitcoins for its buys, beside one that trades BTC/USDT.
    """
    position = books.metrics[bot.id].books.position
    held = position.base if bot.market.base == coin else ZERO
    return held + (position.quote if bot.market.quote == coin else ZERO)


def _take_out(books: Books, bot: LiveBot, why: Reason) -> None:
    coins, price = Decimal(str(why.values["quantity"])), Decimal(str(why.values["price"]))
    metrics = books.metrics[bot.id]
    if coins > metrics.books.position.base:
        # Told before: they are out of the books already.
        return
    metrics.take_out(coins, price)
    moved = {bot.market.base: -coins, bot.market.quote: traded_value(price, coins)}
    books.taken_out.append((bot, moved))


def _taken_over(books: Books, bot: LiveBot, former: list[OwnOrder]) -> list[OwnOrder]:
    if bot.strategy_state is not None or bot.how is StopHow.SELL:
        return []
    return held_stops(bot, former, books.metrics[bot.id].books.position.base)


def _protection(
    books: Books, strategy: Strategy[Any, Any], bot: LiveBot, view: View, result: Tick
) -> Protection | None:
    if bot.account_id not in books.with_stops or stop_is_declined(bot):
        return None
    return strategy.protection(
        view.params, result.state, view.market, view.holdings, view.investment
    )


def _shown(own: OwnOrder, resting: list[OwnOrder]) -> Order:
    # A level whose order is shown as unresolved is left alone.
    if own in resting:
        return replace(own.order, status=Status.UNRESOLVED)
    return replace(own.order, excused=True) if is_excused(own) else own.order


def _first_state(
    books: Books, strategy: Strategy[Any, Any], params: Any, bot: LiveBot, point: PricePoint
) -> Any:
    metrics = books.metrics[bot.id]
    if bot.stop_request is not None:
        # Whether it could start does not matter to somebody who wants it stopped.
        return strategy.ending_state(point.price)
    state = strategy.start_state(params, bot.market, point.price, metrics.books.position.holdings)
    metrics.begin_at(point.price, bot.market)
    return state


def _check_money(books: Books, bot: LiveBot, seen: Seen) -> None:
    """Raise Conflict if the money of a first start has gone since somebody asked for it.

    A bot that has traded before may have fills that its exchange has yet to tell.
    """
    position = books.metrics[bot.id].books.position
    if seen.balances is None or position.fills:
        return
    needed, quote = position.holdings.quote, bot.market.quote
    total = seen.balances.get(quote, Balance()).total
    if needed > total:
        values = {"needed": exact_text(needed), "free": exact_text(total), "currency": quote}
        raise Conflict("not_enough_money", **values)


def _read(
    answer: Answer,
    bot: LiveBot,
    orders: list[OwnOrder],
    result: Tick,
    tick_id: str,
    guarding: Guarding,
) -> None:
    by_client = {own.order.client_id: own for own in orders}
    answer.cancels += guarding.cancels
    answer.events += guarding.events
    stop = () if guarding.place is None else (guarding.place,)
    for intent in (*result.intents, *stop):
        if isinstance(intent, Place):
            if intent in guarding.held_back:
                continue
            order = _ordered(bot, intent, Status.INTENDED)
            answer.new_orders.append(_new(bot, order, intent.reason, tick_id))
        else:
            answer.cancels += _cancelled(intent, by_client)
    for denied in result.denied:
        order = _ordered(bot, denied.intent, Status.DENIED)
        answer.new_orders.append(_new(bot, order, denied.intent.reason, tick_id, denied.code))
    answer.settled += [own for own in orders if own.status.is_final]
    # What others took back is in the log since it was noticed.
    answer.events += [_event(bot, e) for e in result.events if e.code != NOTED]
    answer.matches += result.matches
    answer.edited = any(each.code == EDITED for each in result.events)
    answer.wake = result.wake
    # A stop that still locks coins at the venue is taken back first.
    answer.finished = None if guarding.lives else result.finished
    # Denied orders are news to the strategy, at this very price.
    answer.again = bool(result.denied)


def _cancelled(intent: Cancel, orders: dict[str, OwnOrder]) -> list[OwnOrder]:
    own = orders.get(intent.client_id)
    return [own] if own is not None and own.status in CANCELLABLE else []


def _ordered(bot: LiveBot, intent: Place, status: Status) -> Order:
    return Order(
        client_id=client_order_id(PREFIX, bot.id, bot.epoch, intent.key, intent.attempt),
        key=intent.key,
        attempt=intent.attempt,
        kind=intent.kind,
        price=intent.price,
        quantity=intent.quantity,
        status=status,
    )


def _new(
    bot: LiveBot, order: Order, reason: Reason, tick_id: str, error: str | None = None
) -> NewOrder:
    return NewOrder(
        user_id=bot.user_id,
        account_id=bot.account_id,
        bot_id=bot.id,
        market_id=bot.market_id,
        symbol=bot.market.symbol,
        epoch=bot.epoch,
        order=order,
        reason=reason,
        config_version=bot.config_version,
        tick_id=tick_id,
        error=error,
    )


def _event(bot: LiveBot, line: LogLine) -> Event:
    return Event(bot.id, line.code, dict(line.values), line.level)


def _no_price(bot: LiveBot) -> list[Event]:
    # Said once, not at every tick.
    if bot.last_error == "no_price":
        return []
    bot.last_error = "no_price"
    return [Event(bot.id, "no_price", {"symbol": bot.market.symbol}, Severity.WARNING)]


def _remember(bot: LiveBot, state: dict[str, Any], minded: PricePoint | None) -> None:
    if minded is not None:
        bot.has_minded(minded)
    bot.state_changed = state != bot.strategy_state
    bot.strategy_state = state


_params_read: dict[tuple[int, int], Any] = {}


def _params(strategy: Strategy[Any, Any], bot: LiveBot) -> Any:
    # Versions of settings never change, so reading one once is enough for a process.
    key = (bot.id, bot.config_version)
    params = _params_read.get(key)
    if params is None:
        if len(_params_read) >= _MOST_PARAMS:
            _params_read.clear()
        params = _params_read[key] = strategy.parse(bot.params)
    return params
