"""The page of somebody's plan."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, render_template
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.cards import register_profile_card
from app.accounts.permissions import Permission
from app.subscriptions import queries, usage
from app.subscriptions.texts import allowance_name, period_words, plan_label

blueprint = Blueprint("subscriptions", __name__)


@blueprint.get("/subscriptions")
@requires(Permission.SUBSCRIPTIONS_OWN)
def index() -> ResponseReturnValue:
    """Show the plan, how much of it is used, and what the others offer."""
    return render_template(
        "subscriptions/index.html",
        limits=queries.limits_of(current_user.id),
        summary=queries.plan_summary(current_user.id),
        running=usage.running_bots(current_user.id),
        accounts=usage.connected_accounts(current_user.id),
        offers=queries.price_list(),
    )


@blueprint.record_once
def _join(state: BlueprintSetupState) -> None:
    state.app.jinja_env.filters["plan_label"] = plan_label
    state.app.jinja_env.filters["period"] = period_words
    state.app.jinja_env.filters["allowance"] = allowance_name
    register_profile_card("subscriptions/_card.html", _card)


def _card(user_id: int) -> Mapping[str, Any]:
    return {"plan": queries.plan_summary(user_id), "plan_limits": queries.limits_of(user_id)}
