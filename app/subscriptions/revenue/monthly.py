"""The query behind recurring revenue, in steps that are named and read from top to bottom.

Asked for moments in one currency (`:moments`, `:currency`), it tells for each of them what every
customer pays a month. Each step is a small query over those before it.
"""

from collections.abc import Mapping

from sqlalchemy import text

_STEPS: Mapping[str, str] = {
    # Money that came for nothing and went to the wallet: it is for no period, and ends none.
    "given_away": """
  select p.invoice_id
  from refunds r
  join payments p on p.id = r.payment_id
  where r.key = 'kept:' || p.id and p.invoice_id is not null
""",
    # Days that staff have given after paid ones: until when what ends at a moment goes on.
    "moved": """
  select cast(substr(source, 6) as bigint) as kept_id,
         cast(before->>'period_end' as timestamptz) as was,
         cast(after->>'period_end' as timestamptz) as becomes
  from subscription_history
  where what = 'days_given' and source like 'kept:%'
""",
    # They may be given again and again.
    "moved_on": """
  select kept_id, was, becomes from moved
  union all
  select moved_on.kept_id, moved_on.was, moved.becomes
  from moved_on
  join moved on moved.kept_id = moved_on.kept_id and moved.was = moved_on.becomes
""",
    "gifts": """
  select moved_on.kept_id, was,
         least(max(becomes), case when max(kept.ended_at) is null then 'infinity'
                                  else greatest(was, max(kept.ended_at)) end) as goes_on_until
  from moved_on
  join kept_subscriptions kept on kept.id = moved_on.kept_id
  group by moved_on.kept_id, was
""",
    # What sells time, for the period that it gives: of an invoice that was paid late another one
    # than it was issued for. Credits of prices that nobody has named are set against the rest.
    "sold": """
  select i.user_id, i.state, i.key, i.kept_id, i.currency, i.subtotal, i.discount,
         i.due_at, i.opened_at, i.closed_at,
         l.invoice_id, l.position, l.kind, l.amount, l.quantity, l.price_id,
         l.period_start as issued_from, l.period_end as issued_until,
         coalesce(i.given_from, l.period_start) as starts,
         coalesce(i.given_until, l.period_end) as ends,
         coalesce(gifts.goes_on_until, i.given_until, l.period_end) as holds_until
  from invoices i
  join invoice_lines l on l.invoice_id = i.id
  left join gifts
    on gifts.kept_id = i.kept_id
    and abs(extract(epoch from gifts.was - coalesce(i.given_until, l.period_end))) < 60
  where i.currency = :currency and i.state <> 'draft' and i.opened_at is not null
    and l.kind in ('plan', 'bot', 'proration') and (l.amount >= 0 or l.price_id is null)
    and not (l.amount = 0 and l.price_id is not null and i.key ~ '^kept:[0-9]+:change:')
    and l.period_start < l.period_end
    and coalesce(i.given_from, l.period_start) <= :last
    and coalesce(gifts.goes_on_until, i.given_until, l.period_end)
        > :first - cast(:lag as interval)
    and i.id not in (select invoice_id from given_away)
""",
    # Of that what was paid, or is a renewal that is waited for: one of ours has a number, one of a
    # provider begins where something that was paid ends.
    "expected": """
  select sold.*
  from sold
  where state = 'paid'
    or key ~ '^kept:[0-9]+:period:([2-9]|[1-9][0-9]+)[.]'
    or kind <> 'proration' and exists (
      select 1
      from invoices i
      join invoice_lines l on l.invoice_id = i.id
      where i.user_id = sold.user_id and i.currency = sold.currency and i.state = 'paid'
        and l.kind in ('plan', 'bot') and l.amount > 0
        and l.period_end between sold.issued_from - interval '1 day'
                             and sold.issued_from + interval '1 day'
    )
""",
    # How much of its sum a line is worth, after what stands against all lines of its invoice: the
    # rest, which has no name of ours, and a discount, which lowers charges only. On a part of a
    # period that is the roundest share which explains it: its cents would be multiplied.
    "weighed": """
  select expected.*,
         case when subtotal > coalesce(rest.amount, 0)
              then subtotal / (subtotal - coalesce(rest.amount, 0)) else 1 end as worth,
         case when expected.amount > 0
              then coalesce(discount / charges.amount, 0) else 0 end as taken_off,
         case when expected.amount > 0 then round_one.share end as round_share
  from expected
  left join invoice_lines rest
    on rest.invoice_id = expected.invoice_id and rest.kind = 'other' and rest.description = '-'
  left join lateral (
    select nullif(sum(l.amount), 0) as amount, count(*) as lines
    from invoice_lines l
    where l.invoice_id = expected.invoice_id and l.amount > 0
      and not (l.kind = 'other' and l.description = '-')
  ) charges on discount > 0
  left join lateral (
    select share
    from unnest(array[20, 100, 200]) as step,
         lateral (select round(discount / charges.amount * step) / step as share) rounded
    where abs(charges.amount * share - discount) <= charges.lines * :unit / 2
    order by step
    limit 1
  ) round_one on discount > 0
""",
    # The price of a line, and the full period of which it sells a part: that of the plan, of the
    # same customer, that ends with it; without a plan, that of the first bots. Moments that were
    # counted twice may differ by a breath: they are the same within a minute.
    "placed": """
  select weighed.*,
         case when price.currency = weighed.currency
              then price.amount * weighed.quantity end as price,
         coalesce(whole.period_start, weighed.starts) as full_from,
         coalesce(whole.period_end, weighed.ends) as full_until,
         coalesce(whole.code, price.period) as code
  from weighed
  left join plan_prices price on price.id = weighed.price_id
  left join lateral (
    select l.period_start, l.period_end, known.period as code
    from invoices i
    join invoice_lines l on l.invoice_id = i.id
    left join plan_prices known on known.id = l.price_id
    where weighed.kind in ('bot', 'proration') and i.user_id = weighed.user_id
      and l.kind in ('plan', 'bot') and l.amount >= 0
      and abs(extract(epoch from l.period_end - weighed.issued_until)) < 60
      and l.period_start <= weighed.issued_from
    order by l.kind <> 'plan', case when l.kind = 'bot' then l.period_start end,
             l.period_start desc
    limit 1
  ) whole on true
""",
    # How long a line and its full period are, by the clock and in whole months of the calendar.
    "measured": """
  select placed.*,
         extract(epoch from ends - starts) as seconds,
         extract(epoch from full_until - full_from) as full_seconds,
         greatest(1, round(extract(epoch from full_until - full_from) / 2629746)::int) as months,
         full_from at time zone 'UTC' as first_day,
         full_until at time zone 'UTC' as last_day,
         split_part(code, '-', case when code like '%-%' then 2 else 1 end) as unit,
         case when code like '%-%' then split_part(code, '-', 1)::numeric else 1 end as number
  from placed
""",
    # How many months the full period is: what the price says. Where the price is not known: whole
    # months by the calendar, also where the day is cut to the end of a short month; whole weeks as
    # 12/52; anything else by its days.
    "lasting": """
  select measured.*,
         case
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
         end as in_months
  from measured
""",
    # What a line comes to in a month. A part counts as its price, so that what was rounded for the
    # part is not multiplied. A price of ours may be named for one of a provider that was made by
    # hand and costs something else: of its invoices it is believed where it explains the sum.
    "filled": """
  select lasting.*,
         case
           when kept_id is not null and price is not null then price
           when abs(amount - price * seconds / full_seconds) <= :unit then price
           else amount * (full_seconds / seconds)
         end as whole
  from lasting
""",
    "priced": """
  select filled.*,
         round(
           (whole * worth - case when seconds < full_seconds - 60 and round_share is not null
                                 then round(whole * round_share, :digits)
                                 else whole * taken_off end) / in_months,
           :digits
         ) as monthly
  from filled
""",
    # Where a credit tells that a line holds no longer: what is left of its price is given back, or
    # nothing of it where its days were given or its money has gone back already.
    "undone": """
  select line.invoice_id, line.position, min(greatest(credit.period_start, line.starts)) as at
  from priced line
  join (
    select i.user_id, l.invoice_id, l.price_id, l.period_start, l.period_end
    from invoice_lines l
    join invoices i on i.id = l.invoice_id
    where (l.amount < 0 or l.amount = 0 and i.key ~ '^kept:[0-9]+:change:')
      and l.price_id is not null and l.kind in ('plan', 'bot', 'proration')
      and i.currency = :currency and i.state = 'paid'
      and i.id not in (select invoice_id from given_away)
  ) credit
    on credit.user_id = line.user_id and credit.price_id = line.price_id
    and credit.period_start < line.holds_until and credit.period_end > line.starts
    and (credit.invoice_id > line.invoice_id
         or credit.invoice_id = line.invoice_id and credit.period_start > line.starts)
  group by line.invoice_id, line.position
""",
    # From when to when a line counts. What is unpaid does until it is closed or its grace is over;
    # what has ended just now does until its provider has had the time to write the renewal.
    "counted": """
  select priced.user_id, priced.state, priced.monthly, priced.starts,
         case
           when undone.at is not null then undone.at
           when priced.state <> 'paid' then
             least(ends, closed_at, coalesce(due_at, opened_at) + cast(:grace as interval))
           when holds_until > :now - cast(:lag as interval) and holds_until <= :now and not exists (
             select 1
             from invoices i
             join invoice_lines l on l.invoice_id = i.id
             where i.user_id = priced.user_id and i.state <> 'draft'
               and l.kind in ('plan', 'bot') and l.period_start >= priced.holds_until
           ) then 'infinity'
           else holds_until
         end as ends
  from priced
  left join undone using (invoice_id, position)
""",
    # When everybody has paid first.
    "firsts": """
  select i.user_id, min(l.period_start) as first_at
  from invoices i
  join invoice_lines l on l.invoice_id = i.id
  where i.currency = :currency and i.state = 'paid' and i.subtotal > i.discount
    and l.kind in ('plan', 'bot') and l.amount > 0
  group by i.user_id
""",
}
_TOLD = """
select moment.at, counted.user_id, sum(counted.monthly) as monthly,
       sum(counted.monthly) filter (where counted.state <> 'paid') as at_risk, firsts.first_at
from counted
join unnest(cast(:moments as timestamptz[])) as moment (at)
  on counted.starts <= moment.at and counted.ends > moment.at
join firsts on firsts.user_id = counted.user_id
group by moment.at, counted.user_id, firsts.first_at
having sum(counted.monthly) > 0
"""


def _put_together() -> str:
    steps = ",\n".join(f"{name} as ({step})" for name, step in _STEPS.items())
    return f"with recursive {steps}{_TOLD}"


MONTHLY = text(_put_together())
