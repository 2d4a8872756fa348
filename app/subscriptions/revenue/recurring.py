"""What every customer pays a month at given moments, read from the lines of invoices.

A line counts from the start of its period to its end, with what it comes to in a month after
discounts and before tax. An unpaid renewal counts too, as money at risk, until it is paid or
closed or the days of grace are over; a first invoice, or a change of plan, counts when it is paid.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import text

from app.db import db
from app.money import MINOR_DIGITS
from app.settings import queries as settings
from app.settings.rules import GRACE_DAYS

ZERO = Decimal(0)
COIN_DIGITS = 8
# Providers write the invoice of a renewal an hour or more after the period before has ended.
RENEWAL_LAG = timedelta(hours=3)

# How many months a period is: what the price says. Where the price is not known: whole months by
# the calendar, also where the day is cut to the end of a short month; whole weeks as 12/52;
# anything else by its days. Moments of one period that were
# counted twice may differ by a breath, so they are the same within a minute. The full period of a
# part that was charged for is the plan's, of the same customer, that ends with it.
_SQL = text(
    """
with spans as (
  select i.user_id, i.state, l.kind, l.period_start, l.period_end,
         i.due_at, i.opened_at, i.closed_at,
         l.amount * case when i.subtotal > coalesce(rest.amount, 0)
                         then (i.subtotal - i.discount) / (i.subtotal - coalesce(rest.amount, 0))
                         else 1 end as net,
         coalesce(whole.period_start, l.period_start) as full_start,
         coalesce(whole.period_end, l.period_end) as full_end,
         coalesce(whole.code, price.period) as code
  from invoices i
  join invoice_lines l on l.invoice_id = i.id
  left join invoice_lines rest
    on rest.invoice_id = i.id and rest.kind = 'other' and rest.description = '-'
  left join plan_prices price on price.id = l.price_id
  left join lateral (
    select p.period_start, p.period_end, known.period as code
    from invoices pi
    join invoice_lines p on p.invoice_id = pi.id
    left join plan_prices known on known.id = p.price_id
    where l.kind in ('bot', 'proration') and pi.user_id = i.user_id and p.kind = 'plan'
      and abs(extract(epoch from p.period_end - l.period_end)) < 60
      and p.period_start <= l.period_start
    order by p.period_start desc
    limit 1
  ) whole on true
  where i.currency = :currency and i.state <> 'draft' and i.opened_at is not null
    and l.kind in ('plan', 'bot', 'proration')
    and l.period_start < l.period_end and l.period_start <= :last
    and l.period_end > :first - cast(:lag as interval)
    and (
      i.state = 'paid'
      or l.kind <> 'proration' and exists (
        select 1
        from invoices pi
        join invoice_lines p on p.invoice_id = pi.id
        where pi.user_id = i.user_id and pi.currency = i.currency and pi.state = 'paid'
          and p.kind in ('plan', 'bot') and p.amount > 0
          and p.period_end between l.period_start - interval '1 day'
                               and l.period_start + interval '1 day'
      )
    )
),
lengths as (
  select spans.*,
         greatest(1, round(extract(epoch from full_end - full_start) / 2629746)::int) as months,
         extract(epoch from full_end - full_start) as full_seconds,
         extract(epoch from period_end - period_start) as seconds,
         full_start at time zone 'UTC' as first_day,
         full_end at time zone 'UTC' as last_day,
         split_part(code, '-', case when code like '%-%' then 2 else 1 end) as unit,
         case when code like '%-%' then split_part(code, '-', 1)::numeric else 1 end as number
  from spans
),
counted as (
  select user_id, state, period_start as starts,
         case
           when state <> 'paid' then
             least(period_end, closed_at, coalesce(due_at, opened_at) + cast(:grace as interval))
           when period_end > :now - cast(:lag as interval) and period_end <= :now and not exists (
             select 1
             from invoices later
             join invoice_lines p on p.invoice_id = later.id
             where later.user_id = lengths.user_id and later.state <> 'draft'
               and p.kind in ('plan', 'bot') and p.period_start >= lengths.period_end
           ) then 'infinity'
           else period_end
         end as ends,
         round(
           net * (full_seconds / seconds) / case
             when unit = 'month' then number
             when unit = 'year' then number * 12
             when unit = 'week' then number * 12 / 52
             when unit = 'day' then number * 12 / 365
             when abs(extract(epoch from
                 first_day + make_interval(months => months) - last_day)) < 60
               or abs(extract(epoch from
                 last_day - make_interval(months => months) - first_day)) < 60 then months
             when abs(full_seconds - round(full_seconds / 604800) * 604800) < 60
               then round(full_seconds / 604800) * 12 / 52
             else full_seconds / 86400 * 12 / 365
           end,
           :digits
         ) as monthly
  from lengths
),
firsts as (
  select i.user_id, min(l.period_start) as first_at
  from invoices i
  join invoice_lines l on l.invoice_id = i.id
  where i.currency = :currency and i.state = 'paid' and i.subtotal > i.discount
    and l.kind in ('plan', 'bot') and l.amount > 0
  group by i.user_id
)
select moment.at, counted.user_id, sum(counted.monthly),
       sum(counted.monthly) filter (where counted.state <> 'paid'), firsts.first_at
from counted
join unnest(cast(:moments as timestamptz[])) as moment (at)
  on counted.starts <= moment.at and counted.ends > moment.at
join firsts on firsts.user_id = counted.user_id
group by moment.at, counted.user_id, firsts.first_at
having sum(counted.monthly) > 0
"""
)
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
    grace = timedelta(days=int(settings.text_of(GRACE_DAYS)))
    rows = db.session.execute(
        _SQL,
        {
            "currency": currency,
            "moments": list(moments),
            "first": min(moments),
            "last": max(moments),
            "now": now,
            "grace": grace,
            "lag": RENEWAL_LAG,
            "digits": MINOR_DIGITS.get(currency, COIN_DIGITS),
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
