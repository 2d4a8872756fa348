"""The form with which people leave."""

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, RadioField
from wtforms.validators import InputRequired, Optional

from app.accounts.choices import choices
from app.accounts.deletion.service import KEEP, SELL
from app.accounts.seen import asks_for_tick


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
    left = BooleanField(
        _l("I understand that what is listed stays at the exchanges, and that nobody watches it")
    )
    seen = HiddenField()
    sure = BooleanField(
        _l("I understand that after the waiting time nothing can be brought back"),
        [InputRequired(_l("Please tick this: after the waiting time there is no way back."))],
    )

    def leaves(self, seen: str) -> bool:
        """Say whether it was sent for what stays at exchanges now; else name what is missing."""
        read, self.seen.data = self.seen.data or "", seen
        changed = _("What stays at the exchanges is not the same any more. Please read it again.")
        return not asks_for_tick(self.left, read, seen, changed)
