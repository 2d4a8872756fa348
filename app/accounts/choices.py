"""Options of select and radio fields, in the form that WTForms wants from 3.3 on."""

from collections.abc import Iterable
from typing import Any

from flask_babel.speaklater import LazyString

# The stubs are older.
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]


def choices(options: Iterable[tuple[str, str | LazyString]]) -> list[Any]:
    """Return options for `SelectField(choices=…)` from pairs of value and label."""
    return [SelectChoice(value, label) for value, label in options]
