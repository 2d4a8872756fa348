"""What the desk shows of recurring revenue in one currency: figures, months, cohorts, trials."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import text

from app.db import db
from app.subscriptions.revenue.figures import Cohort, Movements, cohorts, movements
from app.subscriptions.revenue.recurring import Recurring, recurring
from app.subscriptions.revenue.spans import Span, first_of_month, last_months

COHORT_MONTHS = 12
_TRIALS = text(
    """
with trials as (
  select user_id, min(started_at) as started_at
  from (
    select user_id, started_at from rail_subscriptions where trial_end is not null
    union all
    select user_id, started_at from kept_subscriptions where trial_end is not null
  ) begun
  group by user_id
)
select date_trunc('month', started_at, 'UTC'), count(*), count(*) filter (where exists (
  select 1
  from invoices i
  join invoice_lines l on l.invoice_id = i.id
  where i.user_id = trials.user_id and i.state = 'paid' and i.total > 0
    and l.kind in ('plan', 'bot') and l.amount > 0 and l.period_start >= trials.started_at
))
from trials
where started_at >= :start and started_at < :end
group by 1
order by 1
"""
)


@dataclass(frozen=True, slots=True)
class MonthMoved:
    """How the revenue moved in one month; `end` is later than its last day only by a moment."""

    start: datetime
    end: datetime
    moved: Movements


@dataclass(frozen=True, slots=True)
class TrialCohort:
    """Who began a trial in one month, and who of them has paid since, however late."""

    month: datetime
    begun: int
    paid: int

    @property
    def share(self) -> Decimal:
        """Return the share that has paid."""
        return Decimal(self.paid) / self.begun


@dataclass(frozen=True, slots=True)
class RecurringReport:
    """The recurring revenue of a period in one currency."""

    currency: str
    whole: Movements
    months: tuple[MonthMoved, ...]
    cohorts: tuple[Cohort, ...]
    at_risk: Decimal
    customers_at_risk: int


def recurring_report(currency: str, span: Span) -> RecurringReport:
    """Count the recurring revenue of a period; cohorts are those of the year up to its end."""
    year = last_months(COHORT_MONTHS, span.end - timedelta(microseconds=1))
    ends = {start: min(end, span.end) for start, end in year.months}
    ends[first_of_month(year.end)] = span.end
    moments = sorted({*span.bounds, *ends.values()})
    found = recurring(currency, moments, span.now)
    last = found.at[span.end]
    return RecurringReport(
        currency=currency,
        whole=_moved(found, span.start, span.end),
        months=tuple(
            MonthMoved(start, end, _moved(found, start, end)) for start, end in span.months
        ),
        cohorts=cohorts({month: _joined(found, at, year.start) for month, at in ends.items()}),
        at_risk=last.at_risk,
        customers_at_risk=last.customers_at_risk,
    )


def trial_cohorts(span: Span) -> tuple[TrialCohort, ...]:
    """Return the trials that began in a period, by month."""
    rows = db.session.execute(_TRIALS, {"start": span.start, "end": span.end})
    return tuple(TrialCohort(month.astimezone(UTC), begun, paid) for month, begun, paid in rows)


def _moved(found: Recurring, start: datetime, end: datetime) -> Movements:
    before, after = found.at[start].monthly, found.at[end].monthly
    return movements(before, after, _paid_before(found.first_paid, after.keys(), start))


def _paid_before(
    first_paid: Mapping[int, datetime], customers: Set[int], moment: datetime
) -> set[int]:
    return {customer for customer in customers if first_paid[customer] < moment}


def _joined(found: Recurring, at: datetime, since: datetime) -> set[int]:
    """Return who pays at a moment and has paid first since another one."""
    return {one for one in found.at[at].monthly if found.first_paid[one] >= since}
