"""One tick: the strategy decides, then the limits. Live, paper and back-test all call this."""

from dataclasses import dataclass, replace
from typing import Any

from app.trading.intents import Intent, Place, Reason
from app.trading.market import Triggers, exact
from app.trading.orders import FINAL, Order, Side
from app.trading.risk import NO_LIMITS, Denied, Limits, check
from app.trading.strategy import Decision, LogLine, Match, Severity, Strategy, View


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick gives its caller to store and to do.

    `intents` become orders INTENDED, `denied` orders DENIED, both stored with `state` in one
    transaction. `triggers` are prices at which the strategy itself must decide; `wake` also counts
    the nearest resting orders and is what a wake index needs. `finished` says why the bot is done.
    """

    intents: tuple[Intent, ...]
    denied: tuple[Denied, ...]
    state: Any
    events: tuple[LogLine, ...]
    matches: tuple[Match, ...]
    triggers: Triggers
    finished: Reason | None
    # What was resting before.
    orders: tuple[Order, ...] = ()

    @property
    def wake(self) -> Triggers:
        """Return the nearest of all prices at which something happens; counted when asked for."""
        return _wake(self.orders, self.intents, self.triggers)


@exact
def tick(strategy: Strategy[Any, Any], view: View, limits: Limits = NO_LIMITS) -> Tick:
    """Decide for one moment and let the limits have their say; pure, so twice gives the same."""
    decision = _decide(strategy, view)
    verdict = check(decision.intents, view, limits)
    refusals = tuple(
        LogLine(f"denied_{each.code}", each.values, Severity.WARNING)
        for each in verdict.denied
        if not each.intent.is_told
    )
    return Tick(
        intents=verdict.allowed,
        denied=verdict.denied,
        state=decision.state,
        events=decision.events + refusals,
        matches=decision.matches,
        triggers=decision.triggers,
        finished=decision.finished,
        orders=view.orders,
    )


def _decide(strategy: Strategy[Any, Any], view: View) -> Decision:
    decision = strategy.decide(view)
    while decision.again:
        more = strategy.decide(replace(view, state=decision.state))
        decision = replace(
            more, events=decision.events + more.events, matches=decision.matches + more.matches
        )
    return decision


def _wake(orders: tuple[Order, ...], intents: tuple[Intent, ...], triggers: Triggers) -> Triggers:
    below = [] if triggers.below is None else [triggers.below]
    above = [] if triggers.above is None else [triggers.above]
    for order in orders:
        if order.price is not None and order.status not in FINAL:
            (below if order.key.side is Side.BUY else above).append(order.price)
    for intent in intents:
        if isinstance(intent, Place) and intent.price is not None:
            (below if intent.key.side is Side.BUY else above).append(intent.price)
    return Triggers(max(below, default=None), min(above, default=None))
