"""Forms as browsers send them."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wtforms
from flask import Flask
from werkzeug.datastructures import MultiDict
from wtforms.fields.core import UnboundField
from wtforms.validators import Optional

ROOT = Path(__file__).resolve().parents[2]


def _fields() -> Iterator[tuple[str, str, "UnboundField[Any]"]]:
    """Yield each field of each form of ours, with the form's name and its own."""
    for source in sorted((ROOT / "app").rglob("*.py")):
        if "Form(" not in source.read_text():
            continue
        module = importlib.import_module(".".join(source.relative_to(ROOT).with_suffix("").parts))
        for form in vars(module).values():
            if isinstance(form, type) and issubclass(form, wtforms.Form):
                for name in dir(form):
                    if isinstance(field := getattr(form, name), UnboundField):
                        yield f"{form.__module__}.{form.__name__}", name, field


def test_a_field_that_need_not_be_filled_may_be_sent_empty(app: Flask) -> None:
    """A browser leaves no field out: what nobody filled comes as an empty text."""
    refused: list[str] = []
    seen = set()
    with app.test_request_context():
        for form, name, field in _fields():
            validators = field.kwargs.get("validators") or next(iter(field.args[1:2]), ())
            # What can be chosen of is known in the view only, and holds its own empty choice.
            chosen = issubclass(field.field_class, wtforms.SelectField)
            if chosen or not any(isinstance(one, Optional) for one in validators):
                continue
            seen.add((form, name))
            alone = type("Alone", (wtforms.Form,), {name: field})(MultiDict({name: ""}))
            if not alone.validate():
                refused.append(f"{form}.{name}: {alone.errors}")
    assert len(seen) > 10
    assert refused == []
