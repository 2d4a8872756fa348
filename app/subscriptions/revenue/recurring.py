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

ZERO = Decimal(0)
# Providers write the invoice of a renewal an hour or more after the period before has ended.
RENEWAL_LAG = timedelta(hours=3)

# How many months a period is: what the price says. Where the price is not known: whole months by
# the calendar, also where the day is cut to the end of a short month; whole weeks as 12/52;
# anything else by its days. Moments of one period that were counted twice may differ by a breath,
# so they are the same within a minute. The full period of a part that was charged for is the
# plan's, of the same customer, that ends with it; without a plan, that of the first bots. What was
# given up and paid later lasts from its payment on, not as it was written; money that came for
# nothing, and went to the wallet, is for no period at all, and ends none.
#
# A price of ours may be named for one of a provider that was made by hand and costs something else:
# of its invoices it is believed where it explains the sum. A discount lowers charges only: credits
# tell what was paid. Those of prices that nobody has named are set against the rest.
_SQL = text(
    """
with for_nothing as (
  select p.invoice_id
  from refunds r
  join payments p on p.id = r.payment_id
  where r.key = 'kept:' || p.id and p.invoice_id is not null
),
spans as (
  select i.user_id, i.state, l.invoice_id, l.position, l.kind, had.period_start, had.period_end,
         i.due_at, i.opened_at, i.closed_at, i.kept_id, l.amount, l.price_id,
         case when price.currency = i.currency then price.amount * l.quantity end as price,
         case when i.subtotal > coalesce(rest.amount, 0)
              then i.subtotal / (i.subtotal - coalesce(rest.amount, 0)) else 1 end as untaxed,
         case when i.discount > 0 and l.amount > 0 then i.discount / nullif((
           select sum(p.amount) from invoice_lines p
           where p.invoice_id = i.id and p.amount > 0
             and not (p.kind = 'other' and p.description = '-')
         ), 0) else 0 end as lowered,
         coalesce(whole.period_start, had.period_start) as full_start,
         coalesce(whole.period_end, had.period_end) as full_end,
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
    where l.kind in ('bot', 'proration') and pi.user_id = i.user_id
      and p.kind in ('plan', 'bot') and p.amount >= 0
      and abs(extract(epoch from p.period_end - l.period_end)) < 60
      and p.period_start <= l.period_start
    order by p.kind <> 'plan', case when p.kind = 'bot' then p.period_start end,
             p.period_start desc
    limit 1
  ) whole on true
  cross join lateral (
    select coalesce(i.given_from, l.period_start) as period_start,
           coalesce(i.given_until, l.period_end) as period_end
  ) had
  where i.currency = :currency and i.state <> 'draft' and i.opened_at is not null
    and l.kind in ('plan', 'bot', 'proration') and (l.amount >= 0 or l.price_id is null)
    and l.period_start < l.period_end and had.period_start <= :last
    and had.period_end > :first - cast(:lag as interval)
    and i.id not in (select invoice_id from for_nothing)
    and (
      i.state = 'paid'
      or i.key ~ '^kept:[0-9]+:period:([2-9]|[1-9][0-9]+)[.]'
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
undone as (
  select line.invoice_id, line.position,
         min(greatest(credit.period_start, line.period_start)) as at
  from lengths line
  join (
    select i.user_id, l.invoice_id, l.price_id, l.period_start, l.period_end
    from invoice_lines l
    join invoices i on i.id = l.invoice_id
    where l.amount < 0 and l.price_id is not null and l.kind in ('plan', 'bot', 'proration')
      and i.currency = :currency and i.state = 'paid'
      and i.id not in (select invoice_id from for_nothing)
  ) credit
    on credit.user_id = line.user_id and credit.price_id = line.price_id
    and credit.period_start < line.period_end and credit.period_end > line.period_start
    and (credit.invoice_id > line.invoice_id
         or credit.invoice_id = line.invoice_id and credit.period_start > line.period_start)
  group by line.invoice_id, line.position
),
counted as (
  select lengths.user_id, lengths.state, lengths.period_start as starts,
         case
           when undone.at is not null then undone.at
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
           case
             when kept_id is not null and price is not null then price
             when abs(amount - price * seconds / full_seconds) <= :unit then price
             else amount * (full_seconds / seconds)
           end * (untaxed - lowered) / case
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
  left join undone using (invoice_id, position)
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
    digits = MINOR_DIGITS.get(currency, COIN_DIGITS)
    rows = db.session.execute(
        _SQL,
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
