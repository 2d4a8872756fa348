"""What stays at an exchange when we let go of an account, or of a bot: read there at that moment.

A worker reads it, for no web process opens a key. Who decides what becomes of it has read it, so
the form carries `Remains.seen`.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from app import answers
from app.adapters.exchanges.reading import Held
from app.errors import DomainError, Unavailable
from app.exchanges import snapshots
from app.exchanges.models import ExchangeAccount
from app.exchanges.queries import Balances, account_of, accounts_of, is_paper
from app.trading.codec import from_json, to_json
from app.trading.market import ZERO
from app.trading.orders import OrderKind
from app.trading.ports import VenueOrder

READ_JOB = "app.exchanges.jobs.read_remains"
# So long a page waits for the exchange before it says that nobody knows.
PATIENCE_S = 6.0
LONGEST_S = 10.0
KEPT_S = 60
# A key that the exchange does not take can't take anything back either.
DEAD_KEY = frozenset({"exchange_key_refused", "keys_do_not_open"})


@dataclass(frozen=True, slots=True)
class Remains:
    """Positions, orders and money of an account at its exchange; `orders` are all that stand.

    `failure` says why the exchange did not tell: then it is what was read there last, at `as_of`,
    without orders.
    """

    positions: tuple[Held, ...] = ()
    orders: tuple[VenueOrder, ...] = ()
    money: Mapping[str, Decimal] = field(default_factory=dict)
    as_of: datetime | None = None
    failure: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def stops(self) -> tuple[VenueOrder, ...]:
        """Return the orders that wait for their trigger."""
        return tuple(order for order in self.orders if order.kind is OrderKind.STOP)

    @property
    def other_orders(self) -> int:
        """Count the orders that rest."""
        return len(self.orders) - len(self.stops)

    @property
    def error(self) -> DomainError | None:
        """Return why the exchange did not tell."""
        return None if self.failure is None else Unavailable(self.failure, **self.values)

    @property
    def has_dead_key(self) -> bool:
        """Say whether the exchange did not tell because of the key."""
        return self.failure in DEAD_KEY

    @property
    def seen(self) -> str:
        """Write for a form what its reader decides about; empty where nothing is at stake."""
        found = {f"{held.symbol} {held.side}" for held in self.positions}
        found |= {f"stop {order.symbol}" for order in self.stops}
        if self.other_orders:
            found.add("orders")
        if self.failure is not None:
            found.add("unread")
        return ",".join(sorted(found))

    def of(self, symbol: str) -> "Remains":
        """Return what of it belongs to one contract; money belongs to the account."""
        return replace(
            self,
            money={},
            positions=tuple(held for held in self.positions if held.symbol == symbol),
            orders=tuple(order for order in self.orders if order.symbol == symbol),
        )


@dataclass(frozen=True, slots=True)
class Keeper:
    """A bot that has left something at the exchange, and can still close it or take it back."""

    bot_id: int
    name: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Traces:
    """What our books know of an account: the pairs that were traded there, and who left what."""

    symbols: tuple[str, ...] = ()
    keepers: tuple[Keeper, ...] = ()


Tracer = Callable[[int], Traces]


@dataclass(slots=True)
class _Joined:
    tracer: Tracer = lambda _account_id: Traces()


_joined = _Joined()


def trace_with(tracer: Tracer) -> None:
    """Ask this for what our books know of an account."""
    _joined.tracer = tracer


def traces_of(account_id: int) -> Traces:
    """Return what our books know of an account."""
    return _joined.tracer(account_id)


def remains_now(
    user_id: int, account_id: int, symbols: Collection[str], patience_s: float | None = None
) -> Remains:
    """Return what an account has at its exchange now; on paper that is nothing.

    The orders of these pairs are asked for, and of those in which there are positions. Call it
    outside any transaction. Raise NotFound for the account of somebody else.
    """
    if is_paper(account_of(user_id, account_id)):
        return Remains()
    patience = PATIENCE_S if patience_s is None else patience_s
    name = _name(account_id)
    try:
        text = answers.ask(
            READ_JOB, user_id, account_id, ",".join(sorted(symbols)), name=name, patience_s=patience
        )
    except Unavailable:
        text = None
    found = Remains(failure="nobody_answers") if text is None else _read(text)
    return found if found.failure is None else _as_read_last(account_id, found)


def keeps_at_exchanges(user_id: int) -> list[tuple[ExchangeAccount, Traces, Remains]]:
    """Return what each real account of a person has at its exchange now.

    All together take no longer than `LONGEST_S`; who is not reached by then is told as unread.
    """
    deadline = time.monotonic() + LONGEST_S
    found = []
    for account in accounts_of(user_id):
        if is_paper(account):
            continue
        patience = min(PATIENCE_S, max(0.0, deadline - time.monotonic()))
        traces = traces_of(account.id)
        left = remains_now(user_id, account.id, traces.symbols, patience)
        found.append((account, traces, left))
    return found


def keep(account_id: int, balances: Balances, orders: Sequence[VenueOrder]) -> None:
    """Keep what a worker has just read."""
    found = Remains(
        tuple(balances.positions),
        tuple(orders),
        {name: part.total for name, part in balances.by_currency.items() if part.total != ZERO},
        balances.as_of,
    )
    _put(account_id, found)


def keep_failure(account_id: int, error: DomainError) -> None:
    """Keep why the exchange did not tell."""
    texts = {name: str(value) for name, value in error.values.items()}
    _put(account_id, Remains(failure=error.code, values=texts))


def _as_read_last(account_id: int, failed: Remains) -> Remains:
    before = snapshots.read_last(account_id).balances
    if before is None:
        return failed
    money = {name: part.total for name, part in before.by_currency.items()}
    return replace(failed, positions=tuple(before.positions), money=money, as_of=before.as_of)


def _put(account_id: int, found: Remains) -> None:
    answers.put(_name(account_id), json.dumps(to_json(found)), KEPT_S)


def _read(text: str) -> Remains:
    found: Remains = from_json(Remains, json.loads(text))
    return found


def _name(account_id: int) -> str:
    return f"remains:{account_id}"
