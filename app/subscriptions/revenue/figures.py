"""Figures of a subscription business; pure. The desk shows the definitions beside them.

Conventions, where vendors differ: amounts are what was invoiced, after discounts and before tax
(as ChartMogul and ProfitWell count); a week is 12/52 of a month; who cancels counts until the
paid period ends; who is late counts until the subscription ends; trials and pauses count nothing.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Movements:
    """How monthly revenue went from the start of a period to its end, in one currency.

    `net_new` is always `end` less `start`. Customers are counted by whether they pay anything.
    """

    start: Decimal
    end: Decimal
    new: Decimal
    expansion: Decimal
    contraction: Decimal
    churned: Decimal
    reactivation: Decimal
    customers_at_start: int
    customers_at_end: int
    customers_churned: int

    @property
    def net_new(self) -> Decimal:
        """Return new, expansion and reactivation less contraction and churn."""
        return self.new + self.expansion + self.reactivation - self.contraction - self.churned

    @property
    def a_year(self) -> Decimal:
        """Return the monthly revenue at the end, times twelve (ARR)."""
        return self.end * 12

    @property
    def gross_churn(self) -> Decimal | None:
        """Return churn and contraction over the revenue at the start."""
        return _over(self.churned + self.contraction, self.start)

    @property
    def net_churn(self) -> Decimal | None:
        """Return gross churn less expansion and reactivation; may be negative."""
        lost = self.churned + self.contraction - self.expansion - self.reactivation
        return _over(lost, self.start)

    @property
    def customer_churn(self) -> Decimal | None:
        """Return the customers lost over those at the start."""
        return _over(Decimal(self.customers_churned), Decimal(self.customers_at_start))

    @property
    def quick_ratio(self) -> Decimal | None:
        """Return new and expansion over contraction and churn (as Baremetrics counts)."""
        return _over(self.new + self.expansion, self.contraction + self.churned)

    @property
    def per_customer(self) -> Decimal | None:
        """Return the monthly revenue a paying customer at the end (ARPA), not rounded."""
        return _over(self.end, Decimal(self.customers_at_end))

    @property
    def lifetime_value(self) -> Decimal | None:
        """Return ARPA over the share of customers lost; None while nobody leaves."""
        if not self.customers_churned or self.per_customer is None:
            return None
        return self.per_customer * self.customers_at_start / self.customers_churned


def movements(
    start: Mapping[int, Decimal], end: Mapping[int, Decimal], paid_before: Set[int]
) -> Movements:
    """Compare what each customer pays a month at two moments.

    `paid_before` are those who paid at any time before the start: they come back, others are new.
    Who joined and left between the two moments appears in neither and moves nothing.
    """
    sums = dict.fromkeys(("new", "expansion", "contraction", "churned", "reactivation"), Decimal(0))
    for customer in start.keys() | end.keys():
        before, after = start.get(customer, Decimal(0)), end.get(customer, Decimal(0))
        kind = _kind(before, after, came_back=customer in paid_before)
        if kind:
            sums[kind] += abs(after - before)
    paying = {customer for customer, amount in start.items() if amount > 0}
    still = {customer for customer, amount in end.items() if amount > 0}
    return Movements(
        start=sum(start.values(), Decimal(0)),
        end=sum(end.values(), Decimal(0)),
        customers_at_start=len(paying),
        customers_at_end=len(still),
        customers_churned=len(paying - still),
        **sums,
    )


def _kind(before: Decimal, after: Decimal, *, came_back: bool) -> str | None:
    if before == after:
        return None
    if before == 0:
        return "reactivation" if came_back else "new"
    if after == 0:
        return "churned"
    return "expansion" if after > before else "contraction"


@dataclass(frozen=True, slots=True)
class Cohort:
    """Customers who first paid in one month; `staying[n]` of them pay n months later."""

    month: datetime
    size: int
    staying: tuple[int, ...]

    @property
    def retention(self) -> tuple[Decimal, ...]:
        """Return the share that pays in each month; who comes back counts again."""
        return tuple(Decimal(number) / self.size for number in self.staying)


def cohorts(paying: Mapping[datetime, Set[int]]) -> tuple[Cohort, ...]:
    """Group customers by the first month in which they pay.

    `paying` maps each month, none left out, to those who pay at its end.
    """
    months = sorted(paying)
    known: set[int] = set()
    found: list[Cohort] = []
    for place, month in enumerate(months):
        joined = paying[month] - known
        known |= joined
        if joined:
            staying = tuple(len(joined & paying[later]) for later in months[place:])
            found.append(Cohort(month, len(joined), staying))
    return tuple(found)


def _over(part: Decimal, whole: Decimal) -> Decimal | None:
    return part / whole if whole else None
