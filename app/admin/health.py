"""The state of every service, one row each."""

from flask.typing import ResponseReturnValue
from flask_admin import expose

from app import health
from app.accounts.permissions import Permission
from app.admin.base import StaffPage
from app.markets import queries


class HealthPage(StaffPage):
    """Database, Redis, workers, scheduler, feed, queues and exchanges."""

    permission = Permission.HEALTH_VIEW

    @expose("/")
    def index(self) -> ResponseReturnValue:
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/health.html", health=health.overview(), feed=queries.feed_state()
        )
