"""Figures of a period: bots by state, fills and profit per day."""

from flask import request
from flask.typing import ResponseReturnValue
from flask_admin import expose

from app.accounts.permissions import Permission
from app.admin.base import StaffPage
from app.bots import statistics
from app.listing.files import csv_file
from app.money import exact_text

PERIODS = (7, 30, 90)


def chosen_days() -> int:
    """Return the asked period, or the shortest one for anything else."""
    asked = request.args.get("days", "")
    return int(asked) if asked in {str(days) for days in PERIODS} else PERIODS[0]


class StatisticsPage(StaffPage):
    """One page, and the same rows as a file."""

    permission = Permission.STATISTICS_VIEW

    @expose("/")
    def index(self) -> ResponseReturnValue:
        days = chosen_days()
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/statistics.html",
            days=days,
            periods=PERIODS,
            states=statistics.bots_by_state(),
            fills=statistics.fills_per_day(days),
            profits=statistics.profit_per_day(days),
        )

    @expose("/profit.csv")
    def profit_csv(self) -> ResponseReturnValue:
        columns = ("day", "mode", "currency", "closed_trades", "profit", "fees")
        rows = (
            (
                row.day.isoformat(),
                row.mode,
                row.currency,
                str(row.trades),
                exact_text(row.profit),
                exact_text(row.fees),
            )
            for row in statistics.profit_per_day(chosen_days())
        )
        return csv_file("profit-per-day.csv", columns, rows)
