"""Sentences for the codes of this subject, and the names of the shelves."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "unknown_article": _l("There is no such article in the help."),
}

CATEGORIES: Mapping[str, LazyString] = {
    "start": _l("First steps"),
    "grid": _l("Grid bots"),
    "risk": _l("Risk, stopping and taxes"),
    "security": _l("Keys and security"),
    "plans": _l("Plans"),
    "operation": _l("Operation and disturbances"),
}


def category_label(category: str) -> str:
    """Return the name of a shelf; one that staff invented stays as it is."""
    return str(CATEGORIES.get(category, category))
