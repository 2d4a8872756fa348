"""What a bot wants at one moment, asked or not: orders, cancels, lines of its log, what is over."""

from dataclasses import dataclass, field
from typing import Any

from app.bots.live.rows import Event, LiveBot
from app.trades.service import NewOrder, OwnOrder
from app.trading.intents import Reason
from app.trading.market import PricePoint, Triggers
from app.trading.orders import Status
from app.trading.strategy import LogLine, Match, Strategy, UnderWay

CANCELLABLE = frozenset({Status.INTENDED, Status.OPEN, Status.PARTIAL})
_MOST_PARAMS = 50_000


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


def event_of(bot: LiveBot, line: LogLine) -> Event:
    """Return a line of a strategy as one of its bot's log."""
    return Event(bot.id, line.code, dict(line.values), line.level)


def remember(bot: LiveBot, state: dict[str, Any], minded: PricePoint | None) -> None:
    """Keep a strategy's state, and up to which price it has decided."""
    if minded is not None:
        bot.has_minded(minded)
    bot.state_changed = state != bot.strategy_state
    bot.strategy_state = state


_params_read: dict[tuple[int, int], Any] = {}


def params_of(strategy: Strategy[Any, Any], bot: LiveBot) -> Any:
    """Return a bot's settings as its strategy reads them."""
    # Versions of settings never change, so reading one once is enough for a process.
    key = (bot.id, bot.config_version)
    params = _params_read.get(key)
    if params is None:
        if len(_params_read) >= _MOST_PARAMS:
            _params_read.clear()
        params = _params_read[key] = strategy.parse(bot.params)
    return params
