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
from app.bots.labels import CHOICE_LABELS, FIELD_HELPS, FIELD_LABELS, STRATEGY_LABELS
from app.bots.queries.cards import number_of
from app.bots.queries.draft import offered_fields, offered_strategies
from app.bots.queries.preview import IN_PERCENT, FieldLine
from app.bots.wording import say
from app.errors import InvalidInput
from app.formatting import input_text, parse_optional_decimal
from app.trades.owners import Pair
from app.trades.queries import Line
from app.trading.guard import GUARD_FIELDS
from app.trading.market import exact
from app.trading.strategy import Field, FieldKind

LARGEST_ID = 2**63 - 1
PRESETS = ("careful", "balanced", "active", "own")
GROUPS = {
    **dict.fromkeys(("direction", "leverage"), "futures"),
    **dict.fromkeys(("lower", "upper", "infinity"), "range"),
    **dict.fromkeys(("grids", "spacing"), "grids"),
    "investment": "money",
    **dict.fromkeys(
        ("take_profit", "stop_loss", "take_profit_share", "stop_loss_share", "at_exit"), "exits"
    ),
    "trigger_price": "start",
    **dict.fromkeys(
        ("trailing_up", "trailing_up_limit", "trailing_down", "trailing_down_limit"), "trailing"
    ),
    **dict.fromkeys(("sizing", "quantity", "reserve", "profit_use", "max_resting"), "more"),
}
# What everybody is asked for; the rest is for experts, and for bots that have it set already.
SIMPLE_FIELDS = frozenset(
    {
        "lower",
        "upper",
        "grids",
        "spacing",
        "investment",
        "take_profit",
        "stop_loss",
        "at_exit",
        "sizing",
        "reserve",
    }
)
FUTURES_FIELDS = frozenset({"direction", "leverage"})
IN_QUOTE = frozenset(
    {
        "lower",
        "upper",
        "investment",
        "take_profit",
        "stop_loss",
        "trigger_price",
        "trailing_up_limit",
        "trailing_down_limit",
    }
)
IN_COINS = frozenset({"quantity"})
HUNDRED = Decimal(100)


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
    is_simple: bool
    is_set: bool


class LimitFields(FlaskForm):
    """The limits beyond which a bot pauses; an empty field is no limit."""

    max_capital = StringField(FIELD_LABELS["max_capital"], description=FIELD_HELPS["max_capital"])
    max_daily_loss = StringField(
        FIELD_LABELS["max_daily_loss"], description=FIELD_HELPS["max_daily_loss"]
    )
    max_open_orders = StringField(
        FIELD_LABELS["max_open_orders"], description=FIELD_HELPS["max_open_orders"]
    )
    max_leverage = StringField(
        FIELD_LABELS["max_leverage"], description=FIELD_HELPS["max_leverage"]
    )

    def fill_limits(self, values: Mapping[str, Any], locale: str) -> None:
        """Write stored limits as a person would type them."""
        for name, value in values.items():
            if name in self and value is not None:
                self[name].data = input_text(Decimal(str(value)), locale)

    def read_limits(self, locale: str) -> tuple[dict[str, object], list[FieldLine]]:
        """Read what was typed: limits by name, and what can't be read."""
        values: dict[str, object] = {}
        wrong = []
        for field in GUARD_FIELDS:
            try:
                if field.name in self:
                    values[field.name] = parse_optional_decimal(self[field.name].data, locale)
            except InvalidInput as error:
                wrong.append(FieldLine(field.name, Line(error.code, error.values, "error")))
        return values, wrong


class BotForm(LimitFields):
    """What a new bot is made of; subclasses add the parameters of one strategy."""

    strategy_name = ""
    unit = ""
    unit_of_coins = ""
    # Whether a typed step is kept as it is, or only says how many grids there are.
    keeps_step = False
    is_futures = False

    bot_id = HiddenField()
    # The version of the settings that were read.
    seen = HiddenField()
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
        """Return the strategy's parameters in the order of their declaration, without the step."""
        return [
            self._parameter(field)
            for field in offered_fields(self.strategy_name)
            if field.name != "step" and (self.is_futures or field.name not in FUTURES_FIELDS)
        ]

    def _parameter(self, field: Field) -> Parameter:
        control = self[field.name]
        unit = self.unit if field.name in IN_QUOTE else "%" if field.name in IN_PERCENT else ""
        if field.name in IN_COINS:
            unit = self.unit_of_coins
        return Parameter(
            field=control,
            name=field.name,
            kind=field.kind.value,
            unit=unit,
            group=GROUPS.get(field.name, "more"),
            required=field.required,
            choices=field.choices,
            is_simple=field.name in SIMPLE_FIELDS | FUTURES_FIELDS or field.name not in GROUPS,
            is_set=(control.data or None) not in (None, field.default, str(field.default)),
        )

    def read(self, locale: str) -> tuple[dict[str, object], list[FieldLine]]:
        """Read what was typed: values by name, and what can't be read."""
        values: dict[str, object] = {}
        wrong = []
        for field in offered_fields(self.strategy_name):
            if field.name == "step":
                continue
            try:
                values[field.name] = _read(field, self[field.name].data, locale)
            except InvalidInput as error:
                wrong.append(FieldLine(field.name, Line(error.code, error.values, "error")))
        step, fault = self._typed_step(locale)
        if fault is not None:
            wrong.append(fault)
        if values.get("infinity"):
            values["upper"] = None
        if step is not None and (self.keeps_step or values.get("infinity")):
            geometric = values.get("spacing") == "geometric"
            values |= {"step": _hundredth(step) if geometric else step, "grids": None}
            wrong = [each for each in wrong if each.field != "grids"]
        return values, wrong

    def _typed_step(self, locale: str) -> tuple[Decimal | None, FieldLine | None]:
        try:
            step = self.read_step(locale)
        except InvalidInput as error:
            return None, FieldLine("step", Line(error.code, error.values, "error"))
        if step is not None and step <= 0:
            return None, FieldLine("step", Line("step_not_positive", {}, "error"))
        return step, None

    def read_step(self, locale: str) -> Decimal | None:
        """Return the typed step between lines, if that is what was typed last.

        It is money, or percent where lines stand at equal percent. Raise InvalidInput for one that
        can't be read.
        """
        if self.linked.data != "step" and not self._is_infinite:
            return None
        return parse_optional_decimal(self.step.data, locale)

    @property
    def _is_infinite(self) -> bool:
        return "infinity" in self and bool(self["infinity"].data)

    def fill(self, values: Mapping[str, object], locale: str) -> None:
        """Write stored or proposed values into the fields as a person would type them."""
        for field in offered_fields(self.strategy_name):
            if field.name in values and field.name != "step":
                self[field.name].data = _written(field, values[field.name], locale)
        step = number_of(values.get("step"))
        if step is not None:
            geometric = values.get("spacing") == "geometric"
            self.step.data = input_text(_hundredfold(step) if geometric else step, locale)
            self.linked.data = "step"

    def fill_defaults(self, locale: str) -> None:
        """Write the declared defaults into the fields."""
        defaults = {field.name: field.default for field in offered_fields(self.strategy_name)}
        self.fill(defaults, locale)

    def complain(self, lines: Sequence[FieldLine], pair: Pair | None) -> None:
        """Show sentences beside their fields, or above the form where there is no such field."""
        for entry in lines:
            text = say(entry.line, pair)
            if entry.field in self and entry.field not in {"market_id", "bot_id", "seen", "linked"}:
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
    number = parse_optional_decimal(str(data), locale)
    return _hundredth(number) if number is not None and field.name in IN_PERCENT else number


def _written(field: Field, value: object, locale: str) -> object:
    if value is None:
        return False if field.kind is FieldKind.FLAG else ""
    if isinstance(value, bool):
        return value
    if field.kind in {FieldKind.DECIMAL, FieldKind.INTEGER}:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
        return input_text(_hundredfold(number) if field.name in IN_PERCENT else number, locale)
    return str(value)


@exact
def _hundredth(number: Decimal) -> Decimal:
    return number / HUNDRED


@exact
def _hundredfold(number: Decimal) -> Decimal:
    return number * HUNDRED


def declares_step(strategy: str) -> bool:
    """Say whether a strategy can keep a step as it is typed."""
    return any(field.name == "step" for field in offered_fields(strategy))


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


class MoneyForm(FlaskForm):
    """Money into a bot that trades, or out of it."""

    way = RadioField(
        _l("Which way"),
        choices=options((("in", _l("Put money in")), ("out", _l("Take profit out")))),
        validate_choice=False,
    )
    amount = StringField(_l("How much money"))
    seen = HiddenField()


class LimitsForm(LimitFields):
    """The limits of a bot on a page of their own; it says which ones its reader has seen."""

    seen = HiddenField()


class ResumeForm(FlaskForm):
    """Let a paused bot go on; it says which pause its reader has seen."""

    seen = HiddenField()


class TagsForm(FlaskForm):
    """The tags of a bot, or those that several bots get."""

    tags = StringField(
        _l("Tags"), description=_l("Up to 10 words with commas between them, such as “long term”.")
    )


class ShareForm(FlaskForm):
    """What the link to a bot's result shows."""

    with_money = BooleanField(_l("Show amounts of money too"))


class PlainForm(FlaskForm):
    """A button with its token."""
