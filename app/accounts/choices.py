"""Options of select and radio fields, in the form that WTForms wants from 3.3 on."""

from collections.abc import Iterable
from typing import Any

from flask_babel.speaklater import LazyString
from wtforms import SelectMultipleField

# The stubs are older.
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]
from wtforms.widgets import CheckboxInput, ListWidget


class BoxesField(SelectMultipleField):
    """Boxes to tick, one for each option."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


def choices(options: Iterable[tuple[str, str | LazyString]]) -> list[Any]:
    """Return options for `SelectField(choices=…)` from pairs of value and label."""
    return [SelectChoice(value, label) for value, label in options]
