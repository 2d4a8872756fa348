"""The staff desk: Flask-Admin, closed by default, read-only until a view turns something on."""

from flask import Flask
from flask_admin import Admin
from flask_babel import lazy_gettext as _l

from app.admin import audit, bots, exchanges, faq, people, plans, trading
from app.admin.emergency import EmergencyPage
from app.admin.health import HealthPage
from app.admin.home import HomePage
from app.admin.queues import QueuesPage
from app.admin.settings import SettingsPage
from app.admin.statistics import StatisticsPage
from app.admin.unresolved import UnresolvedPage


def init_admin(app: Flask) -> None:
    """Register the desk with all its views."""
    admin = Admin(
        app,
        name="Botyard",
        index_view=HomePage(name=_l("Overview"), endpoint="admin", url="/admin"),
        csp_nonce_generator=app.jinja_env.globals["csp_nonce"],
    )
    for view in (
        *people.views(),
        *exchanges.views(),
        *bots.views(),
        UnresolvedPage(
            name=_l("Unclear orders"), endpoint="admin_unresolved", url="/admin/unclear-orders"
        ),
        EmergencyPage(
            name=_l("Emergency stop"), endpoint="admin_emergency", url="/admin/emergency"
        ),
        *trading.views(),
        *plans.views(),
        *faq.views(),
        QueuesPage(name=_l("Queues"), endpoint="admin_queues", url="/admin/queues"),
        HealthPage(name=_l("Services"), endpoint="admin_health", url="/admin/health"),
        StatisticsPage(name=_l("Statistics"), endpoint="admin_statistics", url="/admin/statistics"),
        SettingsPage(name=_l("Settings"), endpoint="admin_settings", url="/admin/settings"),
        *audit.views(),
    ):
        admin.add_view(view)
