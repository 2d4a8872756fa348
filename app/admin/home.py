"""First page: what waits for a person, oldest first; every number leads to its list."""

from flask.typing import ResponseReturnValue
from flask_admin import expose

from app import health
from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.base import StaffHome
from app.bots import statistics
from app.payments import queries as payments
from app.support import queries


class HomePage(StaffHome):
    """Counts with links, and the state of the services in one row."""

    permission = Permission.DESK

    @expose("/")
    def index(self) -> ResponseReturnValue:
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/home.html",
            desk=statistics.desk_counts(),
            dead=payments.dead_events() if current_may(Permission.BILLING_VIEW) else None,
            alerts=payments.to_look_into() if current_may(Permission.BILLING_VIEW) else None,
            disputes=payments.undecided() if current_may(Permission.BILLING_VIEW) else None,
            tickets=queries.waiting() if current_may(Permission.TICKETS) else None,
            health=health.overview(),
        )
