"""What renting bots and plans brought in a period: money that came, less what went back and fees.

Money counts when it came; what is given back, and what a bank took, when it went. All of it is
shared out over the lines of the invoice; tax and what went to the wallet are no income.
"""

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

from sqlalchemy import Row, text

from app.db import db
from app.money import CENT
from app.payments.rules import LineKind
from app.subscriptions.periods import Period, nearest
from app.subscriptions.revenue.spans import Span

SHOWN_PAYMENTS = 20
ZERO = Decimal(0)
K = TypeVar("K", bound=Hashable)

_RENTAL = text(
    """
with moved as (
  select p.invoice_id, p.settled_at as at, p.amount - p.surplus as paid, 0 as given_back, p.fee
  from payments p
  where p.state = 'succeeded' and p.invoice_id is not null
    and p.settled_at >= :start and p.settled_at < :end
  union all
  select p.invoice_id, r.settled_at, 0, r.amount - r.from_wallet, 0
  from refunds r
  join payments p on p.id = r.payment_id
  where r.state = 'succeeded' and p.invoice_id is not null
    and r.settled_at >= :start and r.settled_at < :end
  union all
  select p.invoice_id, d.closed_at, 0, d.amount - least(d.amount, p.surplus + coalesce((
    select sum(r.amount)
    from refunds r
    where r.payment_id = p.id and r.target = 'wallet' and r.state = 'succeeded'
      and r.settled_at < d.created_at
  ), 0)), 0
  from disputes d
  join payments p on p.id = d.payment_id
  where d.state = 'lost' and p.invoice_id is not null
    and d.closed_at >= :start and d.closed_at < :end
  union all
  select p.invoice_id, d.created_at, 0, 0, d.fee
  from disputes d
  join payments p on p.id = d.payment_id
  where d.fee > 0 and p.invoice_id is not null
    and d.created_at >= :start and d.created_at < :end
)
select date_trunc('month', moved.at, 'UTC') as month, i.currency,
       coalesce(price.plan_code, split_part(l.subject, ':', 2)) as code,
       coalesce(plans.name, '') as name, l.kind,
       coalesce(plans.bot_kind, '') as bot_kind, coalesce(price.period, '') as period,
       coalesce(extract(epoch from l.period_end - l.period_start) / 86400, 0)::int as days,
       sum(moved.paid * share.untaxed * share.part) as paid,
       sum(moved.given_back * share.untaxed * share.part) as given_back,
       sum(moved.fee * share.part) as fees
from moved
join invoices i on i.id = moved.invoice_id and i.subtotal > 0 and i.total > 0
join invoice_lines l on l.invoice_id = i.id and l.kind in ('plan', 'bot', 'proration')
cross join lateral (
  select l.amount / i.subtotal as part, (i.total - i.tax) / i.total as untaxed
) share
left join rail_prices named
  on named.rail = i.rail and l.subject = 'price:' || named.external_id
left join plan_prices price on price.id = coalesce(l.price_id, named.price_id)
left join plans on plans.code = coalesce(price.plan_code, split_part(l.subject, ':', 2))
group by 1, 2, 3, 4, 5, 6, 7, 8
order by 1, 2, 3, 5, 7, 8
"""
)
_PAYMENTS = text(
    """
select p.id, p.user_id, users.email, p.invoice_id, p.settled_at, p.rail, p.purpose, p.currency,
       p.amount, p.fee, p.amount - p.fee
from payments p
join users on users.id = p.user_id
where p.state = 'succeeded' and p.settled_at >= :start and p.settled_at < :end
order by p.settled_at desc, p.id desc
limit :most
"""
)
_SUMS = text(
    """
select currency, count(*), count(distinct user_id), sum(amount), sum(fee)
from payments
where state = 'succeeded' and rail <> 'wallet' and settled_at >= :start and settled_at < :end
group by currency
order by count(*) desc, currency
"""
)


@dataclass(frozen=True, slots=True)
class Income:
    """Money without tax: what came, what went back, what providers kept of it."""

    paid: Decimal = ZERO
    given_back: Decimal = ZERO
    fees: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """Return what is left."""
        return self.paid - self.given_back - self.fees

    def __add__(self, other: "Income") -> "Income":
        return Income(
            self.paid + other.paid, self.given_back + other.given_back, self.fees + other.fees
        )

    def rounded(self) -> "Income":
        """Return it in cents."""
        return Income(_cents(self.paid), _cents(self.given_back), _cents(self.fees))


@dataclass(frozen=True, slots=True)
class RentalRow:
    """The income of a month from one thing that is rented, for one length of its period.

    `code` is the plan's or add-on's, empty where nobody knows it; a period of None stands for what
    is paid once, or for a part of a period.
    """

    month: datetime
    currency: str
    code: str
    name: str
    kind: str
    bot_kind: str
    period: Period | None
    income: Income


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """One payment: what came, what its provider kept, what is left."""

    id: int
    user_id: int
    email: str
    invoice_id: int | None
    at: datetime
    rail: str
    purpose: str
    currency: str
    gross: Decimal
    fee: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class PaymentSum:
    """All payments that came by providers in a currency; those from a wallet had come before."""

    currency: str
    payments: int
    people: int
    gross: Decimal
    fees: Decimal

    @property
    def net(self) -> Decimal:
        """Return what is left."""
        return self.gross - self.fees

    @property
    def kept_share(self) -> Decimal:
        """Return the share that providers keep."""
        return self.fees / self.gross if self.gross else ZERO


def rental_income(span: Span) -> tuple[RentalRow, ...]:
    """Return what plans and bots brought in a period, by month, currency and what was rented."""
    rows = db.session.execute(_RENTAL, {"start": span.start, "end": span.end})
    return tuple(_rental_row(row) for row in rows)


def payments_of(span: Span, most: int = SHOWN_PAYMENTS) -> tuple[PaymentRow, ...]:
    """Return the payments of a period, the newest first."""
    asked = {"start": span.start, "end": span.end, "most": most}
    return tuple(PaymentRow(*row) for row in db.session.execute(_PAYMENTS, asked))


def payment_sums(span: Span) -> tuple[PaymentSum, ...]:
    """Return what came by providers in a period, by currency."""
    rows = db.session.execute(_SUMS, {"start": span.start, "end": span.end})
    return tuple(PaymentSum(*row) for row in rows)


def grouped(rows: Iterable[RentalRow], by: Callable[[RentalRow], K]) -> dict[K, Income]:
    """Add rows up by something that they have, in the order in which it appears."""
    sums: dict[K, Income] = {}
    for row in rows:
        key = by(row)
        sums[key] = sums.get(key, Income()) + row.income
    return {key: income.rounded() for key, income in sums.items()}


def break_even(costs: Decimal, per_customer: Decimal | None, kept_share: Decimal) -> int | None:
    """Return how many paying customers cover the costs of a month, None while nobody pays.

    Each leaves what they pay a month less the share that providers keep.
    """
    left = (per_customer or ZERO) * (1 - kept_share)
    return math.ceil(costs / left) if left > 0 else None


def _rental_row(row: Row[Any]) -> RentalRow:
    return RentalRow(
        month=row.month.astimezone(UTC),
        currency=row.currency,
        code=row.code,
        name=row.name,
        kind=row.kind,
        bot_kind=row.bot_kind,
        period=_period(row),
        income=Income(row.paid, row.given_back, row.fees),
    )


def _period(row: Row[Any]) -> Period | None:
    """Return the period that was paid for: that of the price, or of the line where none is told."""
    if row.kind == LineKind.PRORATION:
        return None
    if row.period:
        return Period.parse(row.period)
    return nearest(row.days) if row.days else None


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)
