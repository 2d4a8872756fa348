"""What a fee in a third currency is worth, by the prices that we know."""

from decimal import Decimal

from sqlalchemy import text

from app.db import db
from app.trading.market import ONE, ZERO, Market, booked, exact
from app.trading.orders import Fill

# The pair of both currencies on the same exchange, or the one turned around.
_RATE = text("""
    select other.last_price, other.base = :currency as straight
    from markets as own
    join markets as other on other.exchange = own.exchange and other.kind = 'spot'
        and ((other.base = :currency and other.quote = own.quote)
            or (other.base = own.quote and other.quote = :currency))
    where own.id = :market and other.last_price > 0
    order by straight desc limit 1
""")


class FeeRates:
    """Prices of third currencies, asked once each; most fills need none."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], Decimal | None] = {}

    def rate_for(self, fill: Fill, market: Market, market_id: int) -> Decimal | None:
        """Return the price of a fill's fee currency in quote: 0 where none is needed, else None."""
        if fill.fee == 0 or fill.fee_currency in {market.base, market.quote}:
            return ZERO
        key = (market_id, fill.fee_currency)
        if key not in self._known:
            self._known[key] = _read_rate(*key)
        return self._known[key]


@exact
def _read_rate(market_id: int, currency: str) -> Decimal | None:
    row = db.session.execute(_RATE, {"market": market_id, "currency": currency}).first()
    if row is None:
        return None
    price: Decimal = row.last_price
    return price if row.straight else booked(ONE / price)
