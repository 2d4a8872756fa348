"""When contracts pay funding, and at which rate where nobody tells one."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import NamedTuple

from app.trading.market import exact

DAY_S = 86_400
# Every eight hours from midnight UTC: what Bybit and Binance do for most contracts.
USUAL_INTERVAL_S = 8 * 3600
# The interest part of both venues' formula is 0.03 % a day, and it is the whole rate as long as
# the contract trades close to its index (Bybit help page "Introduction to Funding Rate").
INTEREST_A_DAY = Decimal("0.0003")


class FundingRate(NamedTuple):
    """What longs pay to shorts at a moment, as a fraction of the position's value."""

    ts_ms: int
    rate: Decimal


@exact
def usual_rate(interval_s: int = USUAL_INTERVAL_S) -> Decimal:
    """Return the rate of a contract without premium: 0.01 % for eight hours."""
    return INTEREST_A_DAY * interval_s / DAY_S


def times_between(before: datetime, until: datetime, interval_s: int) -> int:
    """Count the funding times after one moment, up to and including another.

    They stand at whole multiples of the interval since the epoch, so at midnight UTC too.
    """
    first, last = (int(moment.timestamp() // interval_s) for moment in (before, until))
    return max(0, last - first)


def usual_funding(
    after_ms: int, until_ms: int | None = None, interval_s: int = USUAL_INTERVAL_S
) -> Iterator[FundingRate]:
    """Yield the usual rate at every funding time after a moment, without end or up to another."""
    step = interval_s * 1000
    rate = usual_rate(interval_s)
    for ts_ms in count((after_ms // step + 1) * step, step):
        if until_ms is not None and ts_ms > until_ms:
            return
        yield FundingRate(ts_ms, rate)
