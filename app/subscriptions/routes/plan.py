"""The page of somebody's plan, and the same in a few words elsewhere."""

from collections.abc import Mapping
from typing import Any

from flask import render_template, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.cards import register_profile_card
from app.accounts.permissions import Permission
from app.errors import NotFound
from app.payments import queries as payments
from app.payments.queries import CheckoutView
from app.subscriptions import buying, history, offers, queries, usage
from app.subscriptions.links import way_from_checkout
from app.subscriptions.notices import Notice, notice_for
from app.subscriptions.routes import blueprint, shared

SHOWN_INVOICES = 5
MOST_DIGITS = 18
SHOWN_CHANGES = 20


@blueprint.get("/subscriptions")
@requires(Permission.SUBSCRIPTIONS_OWN)
def index() -> ResponseReturnValue:
    """Show the plan, how much of it is used, what comes next, and what was paid."""
    user_id = current_user.id
    standing = buying.standing(user_id)
    shared.let_forms_lead_away()
    return render_template(
        "subscriptions/index.html",
        limits=queries.limits_of(user_id),
        summary=queries.plan_summary(user_id),
        standing=standing,
        gifts=queries.waiting_gifts(user_id),
        arrived=_arrived(user_id),
        running=usage.running_bots(user_id),
        accounts=usage.connected_accounts(user_id),
        spent=usage.spent(user_id),
        invoices=payments.list_invoices(user_id)[:SHOWN_INVOICES],
        changes=history.history_of(user_id, SHOWN_CHANGES),
        shelf=offers.shelf(shared.reader(standing)) if standing is None else None,
    )


def _arrived(user_id: int) -> CheckoutView | None:
    """Return the own page to pay on that somebody comes from, when its money has come."""
    checkout_id = request.args.get("paid", "")
    if not (checkout_id.isascii() and checkout_id.isdecimal() and len(checkout_id) <= MOST_DIGITS):
        return None
    try:
        found = payments.own_checkout(user_id, int(checkout_id))
    except NotFound:
        return None
    return found if way_from_checkout(user_id, found) else None


@blueprint.record_once
def _join(state: BlueprintSetupState) -> None:
    register_profile_card("subscriptions/_card.html", _card)
    state.app.jinja_env.globals["plan_notice"] = _notice


def _notice() -> Notice | None:
    """Return what the reader has to hear about their subscription."""
    return notice_for(current_user.id) if current_user.is_authenticated else None


def _card(user_id: int) -> Mapping[str, Any]:
    return {"plan": queries.plan_summary(user_id), "plan_limits": queries.limits_of(user_id)}
