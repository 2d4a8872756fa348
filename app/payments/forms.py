"""Forms of paying."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import RadioField, SelectField, StringField
from wtforms.validators import AnyOf, InputRequired, Length

from app.accounts.choices import choices
from app.payments.texts import AMOUNT

CURRENCIES = ("USD", "EUR")


class TopUpForm(FlaskForm):
    """How much goes into the wallet, and by which way."""

    amount = StringField(AMOUNT, validators=[InputRequired(), Length(max=40)])
    currency = SelectField(
        _l("Currency"), choices=choices([(one, one) for one in CURRENCIES]), default=CURRENCIES[0]
    )
    rail = RadioField(_l("Way to pay"))

    def offer(self, rails: list[tuple[str, str]]) -> None:
        """Offer these ways to pay."""
        self.rail.choices = choices(rails)
        self.rail.validators = [InputRequired(), AnyOf([name for name, _label in rails])]
        if not self.rail.data and rails:
            self.rail.data = rails[0][0]
