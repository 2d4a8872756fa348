"""The form of a phone number."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import TelField
from wtforms.validators import InputRequired, Length

from app.accounts.phone.rules import LONGEST


class PhoneForm(FlaskForm):
    """A number with its country code."""

    phone = TelField(
        _l("Phone number"),
        [
            InputRequired(_l("Please fill this in.")),
            Length(max=LONGEST, message=_l("This number is too long.")),
        ],
        description=_l("With + and the country code, for example +5511999990000. Kept encrypted."),
        render_kw={"inputmode": "tel"},
    )
