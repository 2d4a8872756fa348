"""What passes between the parts of a tick: what was seen, and what is to be done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from app.db import utc_now
from app.trades.service import OwnOrder
from app.trading.market import PricePoint
from app.trading.orders import Fill
from app.trading.ports import Balance, Funding, VenueOrder


@dataclass(slots=True)
class Account:
    """An account of the batch: where its orders go, and what of its fills is booked already."""

    id: int
    user_id: int
    exchange: str
    fills_cursor: str
    funding_cursor: str = ""
    audited_at: datetime | None = None

    @property
    def is_paper(self) -> bool:
        """Say whether it trades with pretend money."""
        return self.exchange == "paper"


@dataclass(slots=True)
class Seen:
    """One look at an account; nothing in it was asked before `begun_at`.

    `points` is where each of its markets stands; `fills` are those after the cursor, with their
    market, and `funding` payments of contracts; `found` holds orders that were looked up by client
    id, None for one that the venue says it lacks. `strays` are orders of ours that stand without
    being expected, and `balances` what the venue holds, `positions` those in contracts by symbol;
    with `is_audit` all of it was asked, and with `may_retry` a real venue may be asked again what
    it has refused too often, as with `asks_again` it is now and then. `is_cut` says that orders
    which wait to be sent could not all be looked up, `is_partial` that there are more fills than
    could be read: nothing is compared before all are. `swings` are the lowest and highest prices
    since bots have decided last that have a stop or wait for a price, and `stale` are markets whose
    prices have stopped coming. With `is_news` there is something to decide; `has_walked` says
    that prices have happened since, and `is_last` that no later one is known.
    """

    account_id: int
    cursor: str
    begun_at: datetime = field(default_factory=utc_now)
    points: dict[int, PricePoint] = field(default_factory=dict)
    fills: list[tuple[int, Fill]] = field(default_factory=list)
    found: dict[str, VenueOrder | None] = field(default_factory=dict)
    strays: list[VenueOrder] = field(default_factory=list)
    funding: list[tuple[int, Funding]] = field(default_factory=list)
    funding_cursor: str | None = None
    balances: Mapping[str, Balance] | None = None
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    swings: Mapping[int, tuple[Decimal, Decimal]] = field(default_factory=dict)
    stale: set[int] = field(default_factory=set)
    is_audit: bool = False
    may_retry: bool = False
    asks_again: bool = False
    is_cut: bool = False
    is_partial: bool = False
    is_news: bool = False
    has_walked: bool = False
    is_last: bool = True


@dataclass(slots=True)
class Work:
    """What one decision leaves to do for an account: take back, then send.

    `strays` are orders at the venue that stand in no book of ours: taken back first. `doubted` are
    orders that nobody has seen for long enough: asked back, so that they stand for sure no more
    before they count as absent. `again` asks for one more decision at the same price even if
    nothing is to be sent. With `edited` other settings begin now: the venue is told their leverage
    before an order that counts on it. What belongs to bots that are `stopping` goes first.
    Afterwards `keyless` are bots for which the venue did nothing because of the key, as when its
    rights were taken away, and `served` those with an order that it took. `misfits` are markets
    whose rules are not what we know, by what the venue said to an order, and with `closes_nothing`
    it has refused one that may only close.
    """

    strays: list[VenueOrder] = field(default_factory=list)
    cancels: list[OwnOrder] = field(default_factory=list)
    doubted: list[OwnOrder] = field(default_factory=list)
    sends: list[OwnOrder] = field(default_factory=list)
    again: bool = False
    edited: bool = False
    stopping: set[int] = field(default_factory=set)
    keyless: set[int] = field(default_factory=set)
    served: set[int] = field(default_factory=set)
    misfits: set[int] = field(default_factory=set)
    closes_nothing: bool = False

    @property
    def is_empty(self) -> bool:
        """Say whether nothing is left."""
        orders = self.strays or self.cancels or self.doubted or self.sends
        return not (orders or self.again or self.edited)
