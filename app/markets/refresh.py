"""Reading a pair's rules at once when an exchange refuses an order by other rules than we know."""

from collections.abc import Iterable

from app.adapters.exchanges import public
from app.markets.models import MarketRow
from app.markets.public_source import rules_of
from app.markets.queries import market_row
from app.markets.service import apply_rules
from app.queues import QueueName, enqueue_once
from app.transactions import transaction

READ_JOB = "app.markets.jobs.read_rules"
# Asked for by many bots they are read once.
SLOT_S = 60


def ask_for_rules(market_ids: Iterable[int]) -> None:
    """Have a worker read the rules of these pairs from their exchange, soon and once."""
    for number in sorted(market_ids):
        key = f"rules-{number}"
        enqueue_once(QueueName.ACCOUNTS, READ_JOB, number, key=key, slot_seconds=SLOT_S)


def read_rules(market_id: int) -> None:
    """Read a pair's rules from its exchange and take them over; raise Unavailable.

    Opens a transaction of its own: call it outside any.
    """
    with transaction():
        row: MarketRow = market_row(market_id)
        exchange, symbol = row.exchange, row.symbol
    if not public.is_known(exchange):
        return
    stated = public.markets(exchange).get(symbol)
    with transaction():
        apply_rules({market_id: rules_of(stated)})
