"""What this subject announces, and asks: a handler that objects raises and undoes all."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AccountConnecting:
    """Somebody connects one more account; refuse it if the plan does not allow it."""

    user_id: int
    mode: str


@dataclass(frozen=True, slots=True)
class AccountClosing:
    """An account is about to be deleted; raise Conflict while something runs on it.

    Its owner wants stops of positions, or all orders, to stay at the exchange.
    """

    account_id: int
    leaves_stops: bool = False
    leaves_orders: bool = False


@dataclass(frozen=True, slots=True)
class AccountSwitchedOff:
    """An account may not be used any more; what runs on it has to stop."""

    account_id: int
