"""Asking one bot's strategy: the view is put together, its answer becomes orders and log lines."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.bots.live.answers import CANCELLABLE, Answer, event_of, params_of, remember
from app.bots.live.booking import NOTED, Books
from app.bots.live.facts import Seen
from app.bots.live.idle import read_left, rest, watch
from app.bots.live.limits import broken_limit
from app.bots.live.outcomes import PREFIX, is_excused, rests_for_now
from app.bots.live.protect import (
    NOTHING,
    Guarding,
    guard,
    held_stops,
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
from app.trading.orders import Order, Purpose, Status, client_order_id, traded_value
from app.trading.ports import Balance
from app.trading.risk import Limits
from app.trading.strategies import strategy_named
from app.trading.strategy import (
    COINS_MISSING,
    Protection,
    Severity,
    StopHow,
    Strategy,
    View,
)

# What a strategy logs when other settings begin.
EDITED = "edit_done"
# When it deals its coins out anew: to other orders than those that answer their purchases.
DEALT_ANEW = frozenset({EDITED, "grid_started", "level_too_small_to_sell"})


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
    params = params_of(strategy, bot)
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
    remember(bot, strategy.encode_state(result.state), None if view.price_is_old else point)
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
    answer.events += [event_of(bot, e) for e in result.events if e.code != NOTED]
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


def _no_price(bot: LiveBot) -> list[Event]:
    # Said once, not at every tick.
    if bot.last_error == "no_price":
        return []
    bot.last_error = "no_price"
    return [Event(bot.id, "no_price", {"symbol": bot.market.symbol}, Severity.WARNING)]
