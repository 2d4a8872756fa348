"""Small forms of the desk."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from flask_babel import get_locale, gettext
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import DecimalField, HiddenField, IntegerField, SelectField, StringField
from wtforms.validators import (
    AnyOf,
    InputRequired,
    Length,
    NumberRange,
    Optional,
    Regexp,
    StopValidation,
)
from wtforms.widgets import TextInput

from app.accounts.choices import choices
from app.admin.words import ROLE_LABELS
from app.errors import DomainError
from app.formatting import parse_decimal
from app.i18n import describe
from app.payments.forms import CURRENCIES
from app.payments.rules import Settlement
from app.payments.texts import AMOUNT, LINE_LABELS, SETTLEMENTS, TARGET_LABELS

MIN_REASON = 3
MAX_REASON = 300
# Any such number fits a column; a longer one could not even be compared with a limit.
MOST_DIGITS = 18


class _Told:
    """A field that says one thing: what could not be read is not also out of range."""

    process_errors: Sequence[str]

    def pre_validate(self, _form: object) -> None:
        """Leave it at what was wrong with reading."""
        if self.process_errors:
            raise StopValidation


class AmountField(_Told, DecimalField):
    """A sum as people write it in their language; a browser's own number field would take 1e5."""

    widget = TextInput()

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Read the sum that was typed."""
        if not valuelist or not valuelist[0].strip():
            return
        try:
            self.data = parse_decimal(valuelist[0], str(get_locale()))
        except DomainError as error:
            self.data = None
            raise ValueError(describe(error)) from None


class CountField(_Told, IntegerField):
    """A whole number; one that is longer than any that may stand there is not even read."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Read the number that was typed; of an empty field the validators say what it is."""
        typed = valuelist[0].strip() if valuelist else ""
        if not typed:
            self.data = None
            return
        if len(typed) > MOST_DIGITS:
            self.data = None
            raise ValueError(gettext("This number is too large."))
        super().process_formdata(valuelist)


class ReasonForm(FlaskForm):
    """Why somebody does what they are about to do; it ends in the audit log."""

    reason = StringField(
        _l("Reason"), validators=[InputRequired(), Length(min=MIN_REASON, max=MAX_REASON)]
    )

    @property
    def why(self) -> str:
        """Return the reason as it was given, without what no column holds."""
        return (self.reason.data or "").replace("\x00", "")


class BlockForm(ReasonForm):
    """A reason, and what the page offered: sent twice, it is done once."""

    wanted = HiddenField(validators=[AnyOf(("block", "unblock"))])


class DeletePersonForm(ReasonForm):
    """A reason, and what the page offered: sent twice, it is done once."""

    wanted = HiddenField(validators=[AnyOf(("delete", "keep"))])


class RoleForm(ReasonForm):
    """A reason, and which role somebody gets."""

    role = SelectField(_l("Role"), choices=choices(tuple(ROLE_LABELS.items())))


class InviteForm(FlaskForm):
    """How often and how long an invitation works, and for whom it is."""

    note = StringField(_l("For whom"), validators=[Optional(), Length(max=100)])
    uses = CountField(
        _l("How many people"), default=1, validators=[InputRequired(), NumberRange(1, 1000)]
    )
    days = CountField(
        _l("How many days it works"), default=14, validators=[InputRequired(), NumberRange(1, 365)]
    )


class ResolveForm(ReasonForm):
    """What became of an order, and how that is known."""

    # Nothing is chosen beforehand: the wrong answer places an order twice, or none.
    verdict = SelectField(
        _l("What became of it"),
        validators=[InputRequired()],
        choices=choices(
            (
                ("", _l("Please choose")),
                ("open", _l("It stands on the exchange: watch it")),
                ("cancelled", _l("It is not on the exchange: the level may be used again")),
                ("filled", _l("It was filled: read its fills from the exchange")),
            )
        ),
    )


class KeyedForm(ReasonForm):
    """A form with a key of its own: sent twice, it is done once."""

    key = HiddenField(validators=[Regexp(r"[0-9a-f]{32}\Z")])

    def take_key(self) -> None:
        """Give a form that is shown for the first time its key."""
        self.key.data = self.key.data or secrets.token_hex(16)


class IssueForm(KeyedForm):
    """Who owes what, until when."""

    user_id = CountField(_l("Number of the user"), validators=[InputRequired(), NumberRange(1)])
    kind = SelectField(_l("What for"), choices=choices(tuple(LINE_LABELS.items())))
    description = StringField(
        _l("Line of the invoice"), validators=[InputRequired(), Length(max=200)]
    )
    amount = StringField(AMOUNT, validators=[InputRequired(), Length(max=40)])
    currency = SelectField(_l("Currency"), choices=choices([(one, one) for one in CURRENCIES]))
    days = CountField(
        _l("Days to pay"), default=14, validators=[InputRequired(), NumberRange(0, 365)]
    )


class CloseInvoiceForm(ReasonForm):
    """Why an invoice is taken back or given up."""

    how = SelectField(
        _l("What becomes of it"),
        choices=choices(
            (
                ("void", _l("Take it back: it can't be paid any more")),
                ("write_off", _l("Give it up: it may still be paid")),
            )
        ),
    )


class RefundForm(KeyedForm):
    """How much of a payment goes back, and where to."""

    amount = StringField(AMOUNT, validators=[InputRequired(), Length(max=40)])
    target = SelectField(_l("Where to"), choices=choices(tuple(TARGET_LABELS.items())))


class SettleForm(ReasonForm):
    """What was done about a payment that a person had to look into."""

    how = SelectField(_l("What is done"), choices=choices(tuple(SETTLEMENTS.items())))

    def offer(self, ways: Mapping[Settlement, str]) -> None:
        """Offer these ways, the first of them unless another is chosen; a reason stands there."""
        self.how.choices = choices(tuple(ways.items()))
        if not self.is_submitted():
            self.how.data = next(iter(ways)).value
            self.reason.data = gettext("A refund made at the provider was more than came.")


class DecideForm(ReasonForm):
    """How the bank of the demonstration decides about a dispute."""

    won = SelectField(
        _l("Decision"),
        choices=choices((("yes", _l("The money stays with us")), ("no", _l("The payer gets it")))),
    )


class EmergencyForm(ReasonForm):
    """Whose bots are stopped: of one person, or all on an exchange."""

    user_id = CountField(_l("Number of the user"), validators=[Optional(), NumberRange(min=1)])
    exchange = SelectField(_l("Or all bots on this exchange"))
    count = CountField(_l("Type the number of bots to close them"), validators=[Optional()])


class StopForm(ReasonForm):
    """A reason, and what is to become of the coins."""

    how = SelectField(
        _l("Coins"),
        choices=choices(
            (
                ("keep", _l("Cancel the orders and keep the coins")),
                ("sell", _l("Cancel the orders and sell the coins at market")),
            )
        ),
    )
