"""Who may do what: one map of roles and rights on one screen."""

from collections.abc import Mapping
from enum import StrEnum

from app.accounts.models import Role


class Permission(StrEnum):
    """Every right of the product."""

    # customers
    CABINET = "cabinet"
    BOTS_OWN = "bots.own"
    EXCHANGES_OWN = "exchanges.own"
    SUBSCRIPTIONS_OWN = "subscriptions.own"
    WALLET_OWN = "wallet.own"
    # staff
    DESK = "staff.desk"
    USERS_VIEW = "staff.users.view"
    USERS_BLOCK = "staff.users.block"
    USERS_ACT_AS = "staff.users.act_as"
    USERS_DELETE = "staff.users.delete"
    BOTS_VIEW_ALL = "staff.bots.view"
    BOTS_STOP_ANY = "staff.bots.stop"
    TRADES_VIEW_ALL = "staff.trades.view"
    EXCHANGES_MANAGE = "staff.exchanges.manage"
    QUEUES_VIEW = "staff.queues.view"
    QUEUES_REQUEUE = "staff.queues.requeue"
    HEALTH_VIEW = "staff.health.view"
    STATISTICS_VIEW = "staff.statistics.view"
    REVENUE_VIEW = "staff.revenue.view"
    LEDGER_VIEW = "staff.ledger.view"
    PLANS_MANAGE = "staff.plans.manage"
    BILLING_VIEW = "staff.billing.view"
    BILLING_MANAGE = "staff.billing.manage"
    FAQ_MANAGE = "staff.faq.manage"
    TICKETS = "staff.tickets"
    AUDIT_VIEW = "staff.audit.view"
    ROLES_MANAGE = "staff.roles.manage"


_CUSTOMER = frozenset(
    {
        Permission.CABINET,
        Permission.BOTS_OWN,
        Permission.EXCHANGES_OWN,
        Permission.SUBSCRIPTIONS_OWN,
        Permission.WALLET_OWN,
    }
)
_SUPPORT = _CUSTOMER | {
    Permission.DESK,
    Permission.USERS_VIEW,
    Permission.USERS_ACT_AS,
    Permission.BOTS_VIEW_ALL,
    Permission.BOTS_STOP_ANY,
    Permission.TRADES_VIEW_ALL,
    Permission.HEALTH_VIEW,
    Permission.BILLING_VIEW,
    Permission.FAQ_MANAGE,
    Permission.TICKETS,
}
_MANAGER = _SUPPORT | {
    Permission.USERS_BLOCK,
    Permission.EXCHANGES_MANAGE,
    Permission.QUEUES_VIEW,
    Permission.STATISTICS_VIEW,
    Permission.REVENUE_VIEW,
    Permission.LEDGER_VIEW,
    Permission.PLANS_MANAGE,
    Permission.BILLING_MANAGE,
}

RIGHTS: Mapping[Role, frozenset[Permission]] = {
    Role.CUSTOMER: _CUSTOMER,
    Role.SUPPORT: _SUPPORT,
    Role.MANAGER: _MANAGER,
    Role.ADMIN: frozenset(Permission),
}


def may(role: str, permission: Permission) -> bool:
    """Tell whether a role has a right as delivered (`roles.may` knows what staff changed)."""
    try:
        return permission in RIGHTS[Role(role)]
    except ValueError:
        return False
