"""How lists of the desk write words and codes: as the cabinet does, in the reader's language."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import get_template_attribute
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.bots.labels import ORDER_STATUS_LABELS, PURPOSE_LABELS, STRATEGY_LABELS
from app.bots.wording import say
from app.subscriptions.wording import sold_label
from app.trades.queries import Line

Formatter = Callable[[object, object, Any, str], str]

ROLE_LABELS: Mapping[str, LazyString] = {
    "customer": _l("Customer"),
    "support": _l("Support"),
    "manager": _l("Manager"),
    "admin": _l("Administrator"),
}
KIND_LABELS: Mapping[str, LazyString] = {
    "limit": _l("Limit"),
    "market": _l("At market"),
    "spot": _l("Spot"),
    "linear": _l("Futures"),
}
TRADE_LABELS: Mapping[str, LazyString] = {
    "open": _l("Open"),
    "closed": _l("Closed"),
    "carried": _l("Carried over"),
}
LEVEL_LABELS: Mapping[str, LazyString] = {
    "info": _l("Info"),
    "warning": _l("Warning"),
    "error": _l("Error"),
}


def badge(_view: object, _context: object, model: Any, name: str) -> str:
    """Write a mode, a state or a side with its shape, by the macro of that name."""
    show = get_template_attribute("macros/ui.html", name)
    return show(getattr(model, name))  # type: ignore[no-any-return]  # a macro gives markup


def label(names: Mapping[str, LazyString]) -> Formatter:
    """Return a formatter that names a word and leaves an unknown one as it is."""

    def write(_view: object, _context: object, model: Any, name: str) -> str:
        value = getattr(model, name)
        return "" if value is None else str(names.get(str(value), value))

    return write


def sentence(_view: object, _context: object, model: Any, _name: str) -> str:
    """Write a line of a log as its owner reads it."""
    return say(Line(model.code, model.values or {}))


def sold(_view: object, _context: object, model: Any, name: str) -> str:
    """Write the code of a plan or an add-on as people call it."""
    return sold_label(getattr(model, name))


def yes_or_no(_view: object, value: object, _name: str) -> str:
    """Write a flag as a word: the desk has no icon font."""
    return str(gettext("yes") if value else gettext("no"))


ORDER_WORDS: Mapping[str, Formatter] = {
    "side": badge,
    "kind": label(KIND_LABELS),
    "status": label(ORDER_STATUS_LABELS),
    "purpose": label(PURPOSE_LABELS),
}
BOT_WORDS: Mapping[str, Formatter] = {
    "mode": badge,
    "state": badge,
    "strategy": label(STRATEGY_LABELS),
}
EVENT_WORDS: Mapping[str, Formatter] = {"code": sentence, "level": label(LEVEL_LABELS)}
