"""Revenue: what customers pay a month and how it moves, and what renting brought after costs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from flask import flash, request
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_babel import gettext

from app.accounts.permissions import Permission
from app.admin.base import StaffPage
from app.bots.labels import STRATEGY_LABELS
from app.db import utc_now
from app.errors import DomainError, InvalidInput
from app.formatting.filters import month
from app.i18n import describe
from app.listing.files import csv_file, iso
from app.money import exact_text
from app.payments.texts import LINE_LABELS, rail_label
from app.settings import queries as settings
from app.settings.rules import COSTS_A_MONTH
from app.subscriptions.periods import Period
from app.subscriptions.revenue import income, recurring, report, spans
from app.subscriptions.revenue.figures import Movements
from app.subscriptions.revenue.income import Income, K, RentalRow
from app.subscriptions.revenue.spans import Span
from app.subscriptions.texts import period_words, plan_label

PERIODS = ("this_month", "last_month", "year", "days")
CURRENCY = "USD"
CSV_PAYMENTS = 100_000
MOVED = ("start", "new", "expansion", "reactivation", "contraction", "churned", "net_new", "end")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the reader has chosen: a period by its name, its days, and a currency of those used."""

    period: str
    span: Span
    currency: str
    currencies: tuple[str, ...]

    @property
    def asked(self) -> dict[str, str]:
        """Return the same choice as arguments of an address."""
        found = {"period": self.period, "currency": self.currency}
        if self.period == "days":
            found |= {
                "first": self.span.start.date().isoformat(),
                "last": self.span.last_day.isoformat(),
            }
        return found


class RevenuePage(StaffPage):
    """Two pages, and their tables as files; each currency apart."""

    permission = Permission.REVENUE_VIEW

    @expose("/")
    def index(self) -> ResponseReturnValue:
        """Show the recurring revenue and how it moved."""
        choice = _choice()
        found = report.recurring_report(choice.currency, choice.span)
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/revenue.html",
            choice=choice,
            report=found,
            bars=[(one.start, one.moved.end) for one in found.months],
            trials=report.trial_cohorts(choice.span),
            today=choice.span.now.date(),
        )

    @expose("/months.csv")
    def months_csv(self) -> ResponseReturnValue:
        """Return the months of the recurring revenue."""
        choice = _choice()
        found = report.recurring_report(choice.currency, choice.span)
        columns = ("from", "until", "currency", *MOVED, "customers_start", "customers_end")
        rows = (
            (iso(one.start), iso(one.end), found.currency, *_moved_cells(one.moved))
            for one in found.months
        )
        return csv_file("revenue-by-month.csv", columns, rows)

    @expose("/income")
    def income(self) -> ResponseReturnValue:
        """Show what renting brought, and what each payment left."""
        choice = _choice()
        rows = tuple(
            row for row in income.rental_income(choice.span) if row.currency == choice.currency
        )
        months = income.grouped(rows, lambda row: row.month)
        sums = income.payment_sums(choice.span)
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/income.html",
            choice=choice,
            total=sum((row.income for row in rows), Income()).rounded(),
            bars=[(start, one.net) for start, one in months.items()],
            months=[(month(start), one) for start, one in months.items()],
            plans=_named(rows, lambda row: (row.name, row.code), _plan),
            lines=_named(rows, lambda row: row.kind, LINE_LABELS.__getitem__),
            kinds=_named(rows, lambda row: row.bot_kind, _bot_kind),
            periods=_named(rows, lambda row: row.period, _period),
            sums=sums,
            payments=income.payments_of(choice.span),
            break_even=_break_even(choice, sums),
            rail_label=rail_label,
            today=choice.span.now.date(),
        )

    @expose("/rental.csv")
    def rental_csv(self) -> ResponseReturnValue:
        """Return what renting brought, in all currencies."""
        columns = (
            "month", "currency", "plan", "line", "bot_kind", "period", "paid", "given_back", "fees",
            "net",
        )  # fmt: skip
        parts = ((row, row.income.rounded()) for row in income.rental_income(_choice().span))
        rows = (
            (
                row.month.strftime("%Y-%m"),
                row.currency,
                row.code,
                row.kind,
                row.bot_kind,
                row.period.code if row.period else "",
                *_exact(one.paid, one.given_back, one.fees, one.net),
            )
            for row, one in parts
        )
        return csv_file("rental-income.csv", columns, rows)

    @expose("/payments.csv")
    def payments_csv(self) -> ResponseReturnValue:
        """Return the payments with what their providers kept, in all currencies."""
        columns = (
            "payment", "user", "invoice", "at", "rail", "purpose", "currency", "gross", "fee",
            "net",
        )  # fmt: skip
        rows = (
            (
                str(one.id),
                str(one.user_id),
                str(one.invoice_id or ""),
                iso(one.at),
                one.rail,
                one.purpose,
                one.currency,
                *_exact(one.gross, one.fee, one.net),
            )
            for one in income.payments_of(_choice().span, CSV_PAYMENTS)
        )
        return csv_file("payments.csv", columns, rows)


@dataclass(frozen=True, slots=True)
class BreakEven:
    """How many paying customers cover the costs of a month; None while that can't be told."""

    costs: Decimal
    customers: int
    needed: int | None


def _break_even(choice: Choice, sums: Iterable[income.PaymentSum]) -> BreakEven:
    costs = Decimal(settings.text_of(COSTS_A_MONTH))
    end = choice.span.end
    paying = recurring.recurring(choice.currency, [end], choice.span.now).at[end].monthly
    each = sum(paying.values(), Decimal(0)) / len(paying) if paying else None
    kept = next((one.kept_share for one in sums if one.currency == choice.currency), Decimal(0))
    # Costs are written down in dollars only.
    known = costs > 0 and choice.currency == CURRENCY
    return BreakEven(costs, len(paying), income.break_even(costs, each, kept) if known else None)


def _named(
    rows: Iterable[RentalRow], by: Callable[[RentalRow], K], name: Callable[[K], object]
) -> list[tuple[str, Income]]:
    return [(str(name(key)), one) for key, one in income.grouped(rows, by).items()]


def _plan(key: tuple[str, str]) -> str:
    name, code = key
    return plan_label(name) if name else code or gettext("Not told")


def _bot_kind(kind: str) -> object:
    return STRATEGY_LABELS.get(kind, kind) if kind else gettext("With a plan")


def _period(period: Period | None) -> str:
    return period_words(period) if period else gettext("Once, or a part of a period")


def _choice() -> Choice:
    used = recurring.currencies() or (CURRENCY,)
    asked = request.args.get("currency", "")
    period = request.args.get("period", "")
    period = period if period in PERIODS else PERIODS[0]
    try:
        span = _span(period)
    except DomainError as error:
        flash(describe(error), "danger")
        period, span = PERIODS[0], spans.this_month(utc_now())
    return Choice(period, span, asked if asked in used else used[0], used)


def _span(period: str) -> Span:
    now = utc_now()
    if period == "last_month":
        return spans.last_month(now)
    if period == "year":
        return spans.last_months(12, now)
    if period != "days":
        return spans.this_month(now)
    return spans.days(_day("first", now.date() - timedelta(days=30)), _day("last", now.date()), now)


def _day(name: str, usual: date) -> date:
    try:
        return date.fromisoformat(request.args.get(name) or usual.isoformat())
    except ValueError:
        raise InvalidInput("bad_span", field=name) from None


def _moved_cells(moved: Movements) -> tuple[str, ...]:
    customers = (str(moved.customers_at_start), str(moved.customers_at_end))
    return (*_exact(*(getattr(moved, name) for name in MOVED)), *customers)


def _exact(*amounts: Decimal) -> tuple[str, ...]:
    return tuple(exact_text(amount) for amount in amounts)
