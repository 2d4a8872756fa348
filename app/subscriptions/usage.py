"""How much of a plan somebody uses.

Bots stand above plans and may not be imported here, so they register how they are counted.
"""

from collections.abc import Callable

from app.exchanges import queries as exchanges
from app.subscriptions.rules import RunningBots

BotCounter = Callable[[int], RunningBots]


class _Registered:
    """The function that counts bots, once somebody has given it."""

    counter: BotCounter | None = None


def count_bots_with(counter: BotCounter) -> BotCounter:
    """Register the function that counts a person's running bots."""
    _Registered.counter = counter
    return counter


def running_bots(user_id: int) -> RunningBots:
    """Count a person's running bots; without a counter a limit would be no limit, so raise."""
    if _Registered.counter is None:
        raise RuntimeError("nobody counts bots: count_bots_with() has not been called")
    return _Registered.counter(user_id)


def connected_accounts(user_id: int) -> int:
    """Count a person's exchange accounts, paper ones too."""
    return exchanges.count_accounts(user_id)
