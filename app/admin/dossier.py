"""What staff see of one person on one page: plan, invoices, bots, accounts, money, devices."""

from dataclasses import dataclass

from app.accounts import session_store
from app.accounts.access import current_may
from app.accounts.deletion.unfinished import Money, money_left
from app.accounts.permissions import Permission
from app.accounts.session_store import SessionInfo
from app.admin.histories import Told, told
from app.bots.queries.names import NamedBot, named_bots
from app.exchanges.models import ExchangeAccount
from app.exchanges.queries import accounts_of
from app.payments.customers import RailName, names_at_rails
from app.payments.queries import InvoiceCard, list_invoices
from app.subscriptions.buying import standing
from app.subscriptions.desk import KnownSubscription, subscriptions_of
from app.subscriptions.history import history_of
from app.subscriptions.kept.store import live_id
from app.subscriptions.queries import PlanSummary, Right, plan_summary, present_right
from app.subscriptions.terms import Standing

SHOWN_BOTS = 100
ACTS = {
    "block": Permission.USERS_BLOCK,
    "role": Permission.ROLES_MANAGE,
    "act_as": Permission.USERS_ACT_AS,
    "delete_person": Permission.USERS_DELETE,
    "billing": Permission.BILLING_MANAGE,
    "tickets": Permission.TICKETS,
}


@dataclass(frozen=True, slots=True)
class Dossier:
    """All of it; what the reader has no right to see is None."""

    plan: PlanSummary
    right: Right | None
    standing: Standing | None
    subscriptions: tuple[KnownSubscription, ...] | None
    # Whether they pay to us for something that is not over.
    pays_here: bool
    customers: tuple[RailName, ...]
    history: tuple[Told, ...]
    invoices: tuple[InvoiceCard, ...] | None
    bots: tuple[NamedBot, ...] | None
    accounts: list[ExchangeAccount]
    money: tuple[Money, ...]
    sessions: list[SessionInfo]
    # What the reader may do to the person.
    acts: frozenset[str]


def dossier_of(user_id: int) -> Dossier:
    """Gather what staff see of a person."""
    may_see_bots = current_may(Permission.BOTS_VIEW_ALL)
    may_see_money = current_may(Permission.BILLING_VIEW)
    return Dossier(
        plan=plan_summary(user_id),
        right=present_right(user_id),
        standing=standing(user_id),
        subscriptions=subscriptions_of(user_id) if may_see_money else None,
        pays_here=live_id(user_id) is not None,
        customers=names_at_rails(user_id) if may_see_money else (),
        history=tuple(map(told, history_of(user_id))) if may_see_money else (),
        invoices=list_invoices(user_id) if may_see_money else None,
        bots=named_bots(user_id)[:SHOWN_BOTS] if may_see_bots else None,
        accounts=accounts_of(user_id),
        money=money_left(user_id),
        sessions=session_store.list_sessions(user_id),
        acts=frozenset(act for act, right in ACTS.items() if current_may(right)),
    )
