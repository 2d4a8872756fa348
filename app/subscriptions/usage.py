"""How much of a plan somebody uses.

Bots stand above plans and may not be imported here, so they register how they are counted.
"""

from collections.abc import Callable, Mapping, Sequence

from redis.exceptions import RedisError

from app.accounts import limits
from app.accounts.limits import Limit
from app.exchanges import queries as exchanges
from app.subscriptions import rules
from app.subscriptions.rules import Allowance, Limits, RunningBots

BotCounter = Callable[[int], RunningBots]
BotNamer = Callable[[int, int, int], Sequence[str]]


class _Registered:
    """The functions that count and name bots, once somebody has given them."""

    counter: BotCounter | None = None
    namer: BotNamer | None = None


def count_bots_with(counter: BotCounter) -> BotCounter:
    """Register the function that counts a person's running bots."""
    _Registered.counter = counter
    return counter


def running_bots(user_id: int) -> RunningBots:
    """Count a person's running bots; without a counter a limit would be no limit, so raise."""
    if _Registered.counter is None:
        raise RuntimeError("nobody counts bots: count_bots_with() has not been called")
    return _Registered.counter(user_id)


def name_bots_beyond_with(namer: BotNamer) -> BotNamer:
    """Register the function that names a person's running bots beyond so many, live ones apart."""
    _Registered.namer = namer
    return namer


def bots_beyond(user_id: int, own: Limits) -> tuple[str, ...]:
    """Return the names of a person's running bots that would stop under other limits."""
    if _Registered.namer is None:
        raise RuntimeError("nobody names bots: name_bots_beyond_with() has not been called")
    return tuple(_Registered.namer(user_id, own.max_bots, own.max_live_bots))


def spent(user_id: int) -> Mapping[Allowance, int]:
    """Return how often a person has done in the present window what a plan allows so often.

    With Redis down nothing is told.
    """
    try:
        return {what: limits.used(Limit(what.value, 0, 0), str(user_id)) for what in rules.COUNTED}
    except RedisError:
        return {}


def connected_accounts(user_id: int) -> int:
    """Count a person's exchange accounts, paper ones too."""
    return exchanges.count_accounts(user_id)
