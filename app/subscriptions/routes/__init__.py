"""Pages of plans: what is had of one, ordering, changing and leaving it."""

from flask import Blueprint

from app.subscriptions import retelling, wording

blueprint = Blueprint("subscriptions", __name__)

for _name, _filter in {**wording.FILTERS, **retelling.FILTERS}.items():
    blueprint.add_app_template_filter(_filter, _name)

# They hang on the blueprint.
from app.subscriptions.routes import change, leave, order, plan, way  # noqa: E402
from app.subscriptions.routes.shared import plan_reader  # noqa: E402

__all__ = ["blueprint", "change", "leave", "order", "plan", "plan_reader", "way"]
