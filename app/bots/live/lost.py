"""Orders that the venue has of ours and our books lack: they were restored from an older copy.

The same logical order always has the same id. So what a bot wants anew is looked up before it is
sent, is found as it stands or was filled, and leads to what it wanted next, until all is as it was.
What no bot wants any more (the price has led it another way) is in `catching_up`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeGuard

from app.bots.live.facts import Account, Seen
from app.bots.live.outcomes import is_own_id
from app.trades.service import OwnOrder, ids_beside, ids_known, restate_orders
from app.trading.orders import Fill, Status

ById = Mapping[tuple[int, str], OwnOrder]


@dataclass(frozen=True, slots=True)
class Lost:
    """What an account's books lack: fills with their markets; `cursor` is where those begin."""

    cursor: str
    fills: tuple[tuple[int, Fill], ...]


def find_lost(account: Account, entry: Seen, by_client: ById) -> Lost | None:
    """Return what the books of a real account lack of what was seen, None if they lack nothing.

    An order that was never sent from here and stands at the venue is as the venue has it: perhaps
    for a lot more or less, because coins that are left over came about another way.
    """
    stray = {each.client_id for each in entry.strays}
    told = stray | {fill.client_id for _, fill in entry.fills}
    unknown = {
        one for one in told if is_own_id(one) and not is_known(by_client.get((account.id, one)))
    }
    unknown -= ids_beside(account.id, unknown)
    fills = {fill.trade_id: (at, fill) for at, fill in entry.fills if fill.client_id in unknown}
    # Counted before without their orders, or those of an account that was deleted.
    known = ids_known(account.id, fills, {fill.client_id for _, fill in fills.values()})
    left = [each for each in fills.values() if not known & {each[1].trade_id, each[1].client_id}]
    found = _stand_there(account.id, entry, by_client)
    if not (left or found or unknown & stray):
        return None
    return Lost(account.fills_cursor, tuple(left))


def is_known(own: OwnOrder | None) -> TypeGuard[OwnOrder]:
    """Say whether an order may have fills here; one that we have denied was never sent by us."""
    return own is not None and own.status is not Status.DENIED


def _stand_there(number: int, entry: Seen, by_client: ById) -> list[OwnOrder]:
    orders = []
    for client_id, found in entry.found.items():
        own = by_client.get((number, client_id))
        if own is None or found is None:
            continue
        if own.status is Status.INTENDED and own.sent_at is None:
            own.order = replace(own.order, price=found.price, quantity=found.quantity)
            orders.append(own)
    restate_orders(orders)
    return orders
