"""The form with which people leave."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, RadioField
from wtforms.validators import InputRequired, Optional

from app.accounts.choices import choices
from app.accounts.deletion.service import KEEP, SELL


class LeaveForm(FlaskForm):
    """What becomes of the coins of running bots, and that it is meant."""

    coins = RadioField(
        _l("Your running bots are stopped now. Their coins:"),
        [Optional()],
        choices=choices(
            (
                (KEEP, _l("Cancel the orders and keep the coins")),
                (SELL, _l("Cancel the orders and sell the coins at market")),
            )
        ),
    )
    sure = BooleanField(
        _l("I understand that after the waiting time nothing can be brought back"),
        [InputRequired(_l("Please tick this: after the waiting time there is no way back."))],
    )
