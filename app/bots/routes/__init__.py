"""Pages of bots."""

from flask import Blueprint

from app.bots.texts import FILTERS

blueprint = Blueprint("bots", __name__)

for _name, _filter in FILTERS.items():
    blueprint.add_app_template_filter(_filter, _name)

from app.bots.routes import actions, create, lists, page  # noqa: E402 - they hang on the blueprint

__all__ = ["actions", "blueprint", "create", "lists", "page"]
