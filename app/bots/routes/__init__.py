"""Pages of bots."""

from flask import Blueprint

from app.bots.wording import FILTERS

blueprint = Blueprint("bots", __name__)

for _name, _filter in FILTERS.items():
    blueprint.add_app_template_filter(_filter, _name)

# They hang on the blueprint.
from app.bots.routes import (  # noqa: E402
    actions,
    bulk,
    create,
    edit,
    limits,
    lists,
    page,
    running,
    share,
    tags,
)

__all__ = [
    "actions",
    "blueprint",
    "bulk",
    "create",
    "edit",
    "limits",
    "lists",
    "page",
    "running",
    "share",
    "tags",
]
