"""Small forms of the desk."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, IntegerField, SelectField, StringField
from wtforms.validators import AnyOf, InputRequired, Length, NumberRange, Optional

from app.accounts.choices import choices
from app.admin.words import ROLE_LABELS

MIN_REASON = 3
MAX_REASON = 300


class ReasonForm(FlaskForm):
    """Why somebody does what they are about to do; it ends in the audit log."""

    reason = StringField(
        _l("Reason"), validators=[InputRequired(), Length(min=MIN_REASON, max=MAX_REASON)]
    )


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
    uses = IntegerField(
        _l("How many people"), default=1, validators=[InputRequired(), NumberRange(1, 1000)]
    )
    days = IntegerField(
        _l("How many days it works"), default=14, validators=[InputRequired(), NumberRange(1, 365)]
    )


class ResolveForm(ReasonForm):
    """What became of an order, and how that is known."""

    verdict = SelectField(
        _l("What became of it"),
        choices=choices(
            (
                ("open", _l("It stands on the exchange: watch it")),
                ("cancelled", _l("It is not on the exchange: the level may be used again")),
                ("filled", _l("It was filled: read its fills from the exchange")),
            )
        ),
    )


class EmergencyForm(ReasonForm):
    """Whose bots are stopped: of one person, or all on an exchange."""

    user_id = IntegerField(_l("Number of the user"), validators=[Optional(), NumberRange(min=1)])
    exchange = SelectField(_l("Or all bots on this exchange"))
    count = IntegerField(_l("Type the number of bots to close them"), validators=[Optional()])


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
