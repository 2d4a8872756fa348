"""Forms of bots; the fields of a strategy are made from its declaration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, RadioField, SelectField, StringField
from wtforms.fields.core import Field as FormField

from app.accounts.choices import choices as options
from app.bots.queries.draft import offered_fields, offered_strategies
from app.bots.queries.preview import FieldLine
from app.bots.texts import CHOICE_LABELS, FIELD_HELPS, FIELD_LABELS, STRATEGY_LABELS, say
from app.errors import InvalidInput
from app.formatting import input_text, parse_optional_decimal
from app.trades.owners import Pair
from app.trades.queries import Line
from app.trading.strategy import Field, FieldKind

LARGEST_ID = 2**63 - 1
PRESETS = ("careful", "balanced", "active", "own")
GROUPS = {
    "lower": "range",
    "upper": "range",
    "grids": "grids",
    "spacing": "grids",
    "investment": "money",
    "take_profit": "exits",
    "stop_loss": "exits",
    "at_exit": "exits",
    "sizing": "more",
    "reserve": "more",
}
IN_QUOTE = frozenset({"lower", "upper", "investment", "take_profit", "stop_loss"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A strategy's parameter with its form field."""

    field: FormField
    name: str
    kind: str
    unit: str
    group: str
    required: bool
    choices: tuple[str, ...]


class BotForm(FlaskForm):
    """What a new bot is made of; subclasses add the parameters of one strategy."""

    strategy_name = ""
    unit = ""

    bot_id = HiddenField()
    account_id = SelectField(FIELD_LABELS["account_id"], validate_choice=False)
    strategy = SelectField(FIELD_LABELS["strategy"], validate_choice=False)
    market_id = HiddenField(FIELD_LABELS["market_id"])
    preset = RadioField(
        FIELD_LABELS["preset"],
        choices=options((name, CHOICE_LABELS[name]) for name in PRESETS),
        validate_choice=False,
    )
    step = StringField(FIELD_LABELS["step"])
    linked = HiddenField(default="grids")
    name = StringField(FIELD_LABELS["name"])

    def parameters(self) -> list[Parameter]:
        """Return the strategy's parameters in the order of their declaration."""
        return [
            Parameter(
                field=self[field.name],
                name=field.name,
                kind=field.kind.value,
                unit=self.unit if field.name in IN_QUOTE else "",
                group=GROUPS.get(field.name, "more"),
                required=field.required,
                choices=field.choices,
            )
            for field in offered_fields(self.strategy_name)
        ]

    def read(self, locale: str) -> tuple[dict[str, object], list[FieldLine]]:
        """Read what was typed: values by name, and what can't be read."""
        values: dict[str, object] = {}
        wrong = []
        for field in offered_fields(self.strategy_name):
            try:
                values[field.name] = _read(field, self[field.name].data, locale)
            except InvalidInput as error:
                wrong.append(FieldLine(field.name, Line(error.code, error.values, "error")))
        try:
            step = self.read_step(locale)
        except InvalidInput as error:
            wrong.append(FieldLine("step", Line(error.code, error.values, "error")))
        else:
            if step is not None and step <= 0:
                wrong.append(FieldLine("step", Line("step_not_positive", {}, "error")))
        return values, wrong

    def read_step(self, locale: str) -> Decimal | None:
        """Return the typed step between lines, if that is what was typed last.

        Raise InvalidInput for one that can't be read.
        """
        if self.linked.data != "step":
            return None
        return parse_optional_decimal(self.step.data, locale)

    def fill(self, values: Mapping[str, object], locale: str) -> None:
        """Write stored or proposed values into the fields as a person would type them."""
        for field in offered_fields(self.strategy_name):
            if field.name in values:
                self[field.name].data = _written(field, values[field.name], locale)

    def fill_defaults(self, locale: str) -> None:
        """Write the declared defaults into the fields."""
        defaults = {field.name: field.default for field in offered_fields(self.strategy_name)}
        self.fill(defaults, locale)

    def complain(self, lines: Sequence[FieldLine], pair: Pair | None) -> None:
        """Show sentences beside their fields, or above the form where there is no such field."""
        for entry in lines:
            text = say(entry.line, pair)
            if entry.field in self and entry.field not in {"market_id", "bot_id", "linked"}:
                field = self[entry.field]
                field.errors = [*field.errors, text]
            else:
                self.form_errors.append(text)


def _read(field: Field, data: Any, locale: str) -> object:
    if field.kind is FieldKind.FLAG:
        return bool(data)
    if field.kind is FieldKind.CHOICE:
        return data or None
    if data is None or not str(data).strip():
        return None
    return parse_optional_decimal(str(data), locale)


def _written(field: Field, value: object, locale: str) -> object:
    if value is None:
        return False if field.kind is FieldKind.FLAG else ""
    if isinstance(value, bool):
        return value
    if field.kind in {FieldKind.DECIMAL, FieldKind.INTEGER}:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
        return input_text(number, locale)
    return str(value)


@lru_cache(maxsize=32)
def bot_form(strategy: str) -> type[BotForm]:
    """Return the form of a strategy, made from its declaration."""
    members: dict[str, Any] = {"strategy_name": strategy}
    for field in offered_fields(strategy):
        members[field.name] = _form_field(field)
    return type(f"BotForm_{strategy}", (BotForm,), members)


def _form_field(field: Field) -> Any:
    label = FIELD_LABELS.get(field.name, field.name.replace("_", " "))
    help_text = FIELD_HELPS.get(field.name, "")
    if field.kind is FieldKind.FLAG:
        return BooleanField(label, description=help_text)
    if field.kind is FieldKind.CHOICE:
        choices = options((choice, CHOICE_LABELS.get(choice, choice)) for choice in field.choices)
        return SelectField(label, choices=choices, description=help_text, validate_choice=False)
    return StringField(label, description=help_text)


def strategy_choices() -> list[Any]:
    """Return the strategies for a list."""
    return options((name, STRATEGY_LABELS.get(name, name)) for name in offered_strategies())


def read_id(text: object) -> int | None:
    """Read a row id from a form or an address; anything odd is None."""
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal():
        return None
    number = int(text) if len(text) < len(str(LARGEST_ID)) else 0
    return number if 0 < number <= LARGEST_ID else None


class ConfirmForm(FlaskForm):
    """The last step before a start: what was read, and for live bots a tick."""

    seen = HiddenField()
    understood = BooleanField(_l("I understand that I can lose this money"))


class StopForm(FlaskForm):
    """How a bot stops; nothing is chosen beforehand."""

    how = RadioField(
        FIELD_LABELS["how"],
        choices=options((name, CHOICE_LABELS[name]) for name in ("keep", "sell", "leave_orders")),
        validate_choice=False,
    )


class PlainForm(FlaskForm):
    """A button with its token."""
