"""What every customer pays a month at given moments, read from the lines of invoices.

A line counts from the start of its period to its end, with what it comes to in a month after
discounts and before tax. Where a part of a period is charged, that is the price, so that what was
rounded there is not multiplied; a credit for what is left of a price ends the lines of that price.
An unpaid renewal counts too, as money at risk, until it is paid or closed or the days of grace are
over; a first invoice, or a change of plan, counts when it is paid.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import text

from app.db import db
from app.money import COIN_DIGITS, MINOR_DIGITS
from app.subscriptions.grace import longest
from app.subscriptions.revenue.monthly import MONTHLY

ZERO = Decimal(0)
# Providers write the invoice of a renewal an hour or more after the period before has ended.
RENEWAL_LAG = timedelta(hours=3)

_CURRENCIES = text(
    """
select i.currency
from invoices i
where i.state <> 'draft' and exists (
  select 1
  from invoice_lines l
  where l.invoice_id = i.id and l.kind in ('plan', 'bot', 'proration') and l.amount <> 0
)
group by i.currency
order by count(*) desc, i.currency
"""
)


@dataclass(slots=True)
class Paying:
    """What customers pay a month at one moment, and how much of it is overdue."""

    monthly: dict[int, Decimal] = field(default_factory=dict)
    at_risk: Decimal = ZERO
    customers_at_risk: int = 0


@dataclass(frozen=True, slots=True)
class Recurring:
    """What customers pay at several moments, and when each of them paid first."""

    at: dict[datetime, Paying]
    first_paid: dict[int, datetime]


def currencies() -> tuple[str, ...]:
    """Return the currencies in which plans or bots were ever paid for, the commonest first."""
    return tuple(db.session.scalars(_CURRENCIES))


def recurring(currency: str, moments: Sequence[datetime], now: datetime) -> Recurring:
    """Return what everybody pays a month in a currency at each of the moments, none of them later.

    Who pays nothing at a moment is not in it.
    """
    digits = MINOR_DIGITS.get(currency, COIN_DIGITS)
    rows = db.session.execute(
        MONTHLY,
        {
            "currency": currency,
            "moments": list(moments),
            "first": min(moments),
            "last": max(moments),
            "now": now,
            "grace": longest(),
            "lag": RENEWAL_LAG,
            "digits": digits,
            "unit": Decimal(1).scaleb(-digits),
        },
    )
    found = Recurring({moment: Paying() for moment in moments}, {})
    for moment, user_id, monthly, at_risk, first_at in rows:
        paying = found.at[moment]
        paying.monthly[user_id] = monthly
        found.first_paid[user_id] = first_at
        if at_risk:
            paying.at_risk += at_risk
            paying.customers_at_risk += 1
    return found
