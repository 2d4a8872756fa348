"""What is left of the money that was paid for what somebody has."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from sqlalchemy import select

from app.db import db
from app.payments import refunds
from app.payments.models import Invoice, Payment
from app.payments.rules import InvoiceState
from app.subscriptions.kept import rules
from app.subscriptions.kept.rules import InvoiceKind, Reason
from app.subscriptions.models import KeptSubscription

# Moments that were counted twice may differ by a breath.
_BREATH = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Bought:
    """What an invoice has bought; `back` of its total was given back, or taken by a bank."""

    start: datetime
    end: datetime
    total: Decimal
    back: Decimal
    is_period: bool

    @property
    def stays(self) -> Decimal:
        return max(self.total - self.back, Decimal(0))

    def left(self, now: datetime) -> timedelta:
        return self.end - max(now, self.start)

    def share(self, money: Decimal, time: timedelta) -> Fraction:
        """Return how much of its money is for so long."""
        return Fraction(money) * rules.part_of(time, self.end - self.start)


def share_paid(kept: KeptSubscription, worth: Fraction, now: datetime) -> Fraction:
    """Return which share of what is left was really paid, where `worth` is that at its prices.

    All of it, unless money went back. Given days keep what they are worth: staff gave them.
    """
    bought = tuple(_bought(kept, now))
    running = tuple(one for one in bought if one.end > now)
    if not worth or kept.period_end is None or not any(one.back for one in running):
        return Fraction(1)
    money = sum((one.share(one.stays, one.left(now)) for one in running), Fraction(0))
    return min(Fraction(1), (money + _worth_given(bought, kept.period_end, now)) / worth)


def _worth_given(bought: tuple[_Bought, ...], end: datetime, now: datetime) -> Fraction:
    """Return what the days that nobody has paid for are worth.

    They go on with what was had when they were given: the last period, and what was added to it
    before. What was added later has paid for them itself.
    """
    last = max((one for one in bought if one.is_period), key=lambda one: one.end, default=None)
    if last is None:
        return Fraction(0)
    added = (one for one in bought if not one.is_period and one.end > last.start + _BREATH)
    return sum((_worth_after(one, end, now) for one in (last, *added)), Fraction(0))


def _worth_after(one: _Bought, end: datetime, now: datetime) -> Fraction:
    """Return what the time from the end of something that was bought to a moment is worth."""
    given = end - max(now, one.end)
    return one.share(one.total, given) if given > _BREATH else Fraction(0)


def _bought(kept: KeptSubscription, now: datetime) -> Iterator[_Bought]:
    """Yield what the paid invoices of a subscription have bought; what is over lacks nothing."""
    paid = select(Invoice).where(
        Invoice.kept_id == kept.id, Invoice.state == InvoiceState.PAID.value
    )
    for invoice in db.session.scalars(paid):
        reason, line = Reason.parse(invoice.key), invoice.lines[0]
        start = invoice.given_from or line.period_start
        end = invoice.given_until or line.period_end
        if reason is None or start is None or end is None or end <= start + _BREATH:
            continue
        is_period = reason.kind is InvoiceKind.PERIOD
        back = _gone_back(invoice.id) if end > now else Decimal(0)
        yield _Bought(start, end, invoice.total, back, is_period)


def _gone_back(invoice_id: int) -> Decimal:
    payments = db.session.scalars(select(Payment).where(Payment.invoice_id == invoice_id))
    return sum((refunds.gone_of(one) for one in payments), Decimal(0))
