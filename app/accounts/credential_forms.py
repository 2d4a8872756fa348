"""Forms for a forgotten or new password and for a new address."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField, StringField
from wtforms.validators import InputRequired, Length

from app.accounts.emails import MAX_LENGTH as MAX_EMAIL_LENGTH
from app.accounts.forms import PASSWORD_ADVICE, not_breached
from app.accounts.passwords import MAX_LENGTH as MAX_PASSWORD_LENGTH
from app.accounts.passwords import MIN_LENGTH as MIN_PASSWORD_LENGTH

_required = InputRequired(_l("Please fill this in."))
_MAX_CODE_LENGTH = 100


def _email(label: str) -> EmailField:
    too_long = _l("This address is too long.")
    return EmailField(
        label,
        [_required, Length(max=MAX_EMAIL_LENGTH, message=too_long)],
        render_kw={"inputmode": "email", "spellcheck": "false"},
    )


def _new_password() -> PasswordField:
    return PasswordField(
        _l("New password"),
        [_required, not_breached],
        description=PASSWORD_ADVICE,
        render_kw={"minlength": MIN_PASSWORD_LENGTH, "maxlength": MAX_PASSWORD_LENGTH},
    )


class AskResetForm(FlaskForm):
    """Whose password was forgotten."""

    email = _email(_l("E-mail"))


class ResetForm(FlaskForm):
    """The code of the mailed link and the new password."""

    code = StringField(
        _l("Code from the mail"),
        [_required, Length(max=_MAX_CODE_LENGTH, message=_l("This code is too long."))],
        description=_l("The link of the mail fills it in; it is the part after #."),
        render_kw={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"},
    )
    password = _new_password()


class PasswordForm(FlaskForm):
    """The old password and the new one."""

    current = PasswordField(_l("Present password"), [_required, Length(max=MAX_PASSWORD_LENGTH)])
    password = _new_password()


class AddressForm(FlaskForm):
    """The new address, and the password once more."""

    email = _email(_l("New e-mail address"))
    password = PasswordField(_l("Your password"), [_required, Length(max=MAX_PASSWORD_LENGTH)])
