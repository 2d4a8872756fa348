"""Forms of the second factor and of the step-up."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length, Optional

from app.accounts.passwords import MAX_LENGTH as MAX_PASSWORD_LENGTH

_MAX_CODE_LENGTH = 60
_required = InputRequired(_l("Please fill this in."))
_length = Length(max=_MAX_CODE_LENGTH, message=_l("This code is too long."))


class FactorForm(FlaskForm):
    """The six digits of the app, or a recovery code."""

    code = StringField(
        _l("Code from the app"),
        [_required, _length],
        render_kw={"autocomplete": "one-time-code", "spellcheck": "false", "autofocus": True},
    )


class ProveForm(FlaskForm):
    """The password once more, and a code where a second factor is on; or a passkey."""

    # The answer of a passkey; a script fills it in.
    credential = HiddenField()
    password = PasswordField(
        _l("Your password"), [Length(max=MAX_PASSWORD_LENGTH)], render_kw={"required": False}
    )
    code = StringField(
        _l("Code from the app"),
        [Optional(), _length],
        render_kw={"autocomplete": "one-time-code", "spellcheck": "false"},
    )


class PasswordForm(FlaskForm):
    """The password beside a passkey that checked nobody."""

    password = PasswordField(
        _l("Your password"),
        [_required, Length(max=MAX_PASSWORD_LENGTH)],
        render_kw={"autofocus": True},
    )


class EmptyForm(FlaskForm):
    """A button with its token."""
