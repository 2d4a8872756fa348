"""The trading platforms that the product knows: what each can do. On or off stands in the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.quirks.kinds import Lane
from app.trading.market import MarketKind

PAPER = "paper"


@dataclass(frozen=True, slots=True)
class Venue:
    """One platform; fees are the ordinary ones, fractions of the traded value."""

    code: str
    name: str
    spot: bool
    futures: bool
    maker_fee: Decimal
    taker_fee: Decimal

    @property
    def is_paper(self) -> bool:
        return self.code == PAPER

    @property
    def has_testnet(self) -> bool:
        return not self.is_paper and QUIRKS[self.code].has_testnet

    @property
    def needs_passphrase(self) -> bool:
        return not self.is_paper and QUIRKS[self.code].needs_passphrase

    @property
    def has_stops(self) -> bool:
        """Say whether a stop order can rest there."""
        return self.is_paper or QUIRKS[self.code].has_stops

    @property
    def absence_grace_s(self) -> int:
        """Return for how long it may fail to find an order that it has."""
        return 0 if self.is_paper else QUIRKS[self.code].absence_grace_s

    @property
    def orders_per_second(self) -> Decimal | None:
        """Return how many orders an account may place there, None where nothing limits them."""
        if self.is_paper:
            return None
        rate = QUIRKS[self.code].limits.account[Lane.PLACE]
        return Decimal(str(rate.units)) / Decimal(str(rate.seconds))

    @property
    def key_page(self) -> str:
        """Return where a customer makes a key; empty where there are no keys."""
        return "" if self.is_paper else QUIRKS[self.code].key_page


# Whatever has an adapter, and the paper venue, which has what the venue of its prices has. Futures
# say what can be traded here, not what the platform offers elsewhere.
VENUES: Mapping[str, Venue] = {
    **{
        one.code: Venue(
            one.code,
            one.name,
            MarketKind.SPOT in one.kinds,
            MarketKind.LINEAR in one.kinds,
            one.maker_fee,
            one.taker_fee,
        )
        for one in QUIRKS.values()
    },
    PAPER: Venue(PAPER, "Paper", True, True, Decimal(0), Decimal(0)),
}
