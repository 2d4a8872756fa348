"""Small forms of the desk."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectField, StringField
from wtforms.validators import AnyOf, InputRequired, Length

from app.accounts.choices import choices

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
