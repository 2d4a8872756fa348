"""Forms of passkeys; a script fills in what the browser's passkey answers."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField
from wtforms.validators import InputRequired

from app.accounts.passkeys.service import MAX_NAME

_required = InputRequired(_l("Please fill this in."))


class AnswerForm(FlaskForm):
    """The answer of a passkey."""

    credential = HiddenField()


class NameForm(FlaskForm):
    """What a passkey is called."""

    name = StringField(
        _l("Name of the passkey"),
        [_required],
        description=_l("Where it is, for example “phone” or “blue key”."),
        render_kw={"maxlength": MAX_NAME, "autocomplete": "off"},
    )


class NewPasskeyForm(NameForm):
    """The name, and what the browser has made."""

    credential = HiddenField()
