"""The staff desk: Flask-Admin, closed by default, read-only until a view turns something on."""

from collections.abc import Iterable

from flask import Flask
from flask_admin import Admin, BaseView
from flask_babel import lazy_gettext as _l

from app.admin import (
    alerts,
    audit,
    billing,
    bots,
    exchanges,
    faq,
    ledger,
    people,
    plans,
    promotions,
    provider,
    subscriptions,
    support,
    trading,
)
from app.admin.emergency import EmergencyPage
from app.admin.health import HealthPage
from app.admin.home import HomePage
from app.admin.invites import InvitesPage
from app.admin.queues import QueuesPage
from app.admin.revenue import RevenuePage
from app.admin.roles import RolesPage
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
    for group, views in _menu().items():
        for view in views:
            view.category = group
            admin.add_view(view)


def _menu() -> dict[str, Iterable[BaseView]]:
    """Return the views by the heading they stand under; the menu puts the headings into words."""
    unclear = UnresolvedPage(
        name=_l("Unclear orders"), endpoint="admin_unresolved", url="/admin/unclear-orders"
    )
    emergency = EmergencyPage(
        name=_l("Emergency stop"), endpoint="admin_emergency", url="/admin/emergency"
    )
    queues = QueuesPage(name=_l("Queues"), endpoint="admin_queues", url="/admin/queues")
    services = HealthPage(name=_l("Services"), endpoint="admin_health", url="/admin/health")
    statistics = StatisticsPage(
        name=_l("Statistics"), endpoint="admin_statistics", url="/admin/statistics"
    )
    roles = RolesPage(name=_l("Roles"), endpoint="admin_roles", url="/admin/roles")
    invites = InvitesPage(name=_l("Invitations"), endpoint="admin_invites", url="/admin/invites")
    settings = SettingsPage(name=_l("Settings"), endpoint="admin_settings", url="/admin/settings")
    revenue = RevenuePage(name=_l("Revenue"), endpoint="admin_revenue", url="/admin/revenue")
    return {
        "trading": (*bots.views(), *trading.views(), unclear, emergency),
        "people": (
            *people.views(),
            *plans.views(),
            *promotions.views(),
            *subscriptions.views(),
            invites,
            roles,
        ),
        "money": (revenue, *billing.views(), *alerts.views(), *provider.views(), *ledger.views()),
        "exchanges": exchanges.views(),
        "help": (*support.views(), *faq.views()),
        "system": (services, queues, statistics, settings, *audit.views()),
    }
