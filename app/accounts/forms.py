"""Forms of the accounts pages. The rules stand in the service; a form only parses."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    EmailField,
    HiddenField,
    PasswordField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, Length, Optional, ValidationError

from app.accounts import passwords
from app.accounts.choices import choices
from app.accounts.passwords import MAX_LENGTH as MAX_PASSWORD_LENGTH
from app.accounts.passwords import MIN_LENGTH as MIN_PASSWORD_LENGTH
from app.accounts.rules import MAX_CONTACTS_LENGTH, MAX_NAME_LENGTH, timezones
from app.errors import InvalidInput
from app.i18n import LANGUAGES, describe

_required = InputRequired(_l("Please fill this in."))
_MAX_EMAIL_LENGTH = 254
_MAX_CODE_LENGTH = 40
PASSWORD_ADVICE = _l(
    "At least 8 characters; 15 or more are better, for example four words with spaces."
)


def not_breached(_form: FlaskForm, field: PasswordField) -> None:
    """Refuse a password known from a breach, before any transaction is open; staff switch it on."""
    try:
        passwords.check_breaches(field.data or "")
    except InvalidInput as error:
        raise ValidationError(describe(error)) from None


class NewPasswordMixin:
    """Address and new password, as registration and set-up ask for them."""

    email = EmailField(
        _l("E-mail"),
        [_required, Length(max=_MAX_EMAIL_LENGTH, message=_l("This address is too long."))],
        render_kw={"inputmode": "email", "spellcheck": "false"},
    )
    password = PasswordField(
        _l("Password"),
        [_required, not_breached],
        description=PASSWORD_ADVICE,
        render_kw={"minlength": MIN_PASSWORD_LENGTH, "maxlength": MAX_PASSWORD_LENGTH},
    )
    # Filled in by the browser; anything unknown becomes UTC.
    timezone = HiddenField(render_kw={"data-timezone": True})


class RegisterForm(NewPasswordMixin, FlaskForm):
    """Make an account; the invitation is asked for only while the product is closed."""

    invite = StringField(
        _l("Invitation"),
        # Asked for only where it is needed, so that its label says nothing of an option.
        [Length(max=_MAX_CODE_LENGTH, message=_l("This code is too long."))],
        render_kw={"autocomplete": "off", "spellcheck": "false", "data-link-code": True},
    )


class SetupForm(NewPasswordMixin, FlaskForm):
    """Make the first administrator."""

    code = StringField(
        _l("Set-up code"),
        [_required, Length(max=_MAX_CODE_LENGTH, message=_l("This code is too long."))],
        render_kw={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "characters"},
    )


class LoginForm(FlaskForm):
    """Sign in."""

    email = EmailField(
        _l("E-mail"),
        [_required, Length(max=_MAX_EMAIL_LENGTH, message=_l("This address is too long."))],
        render_kw={"inputmode": "email", "spellcheck": "false"},
    )
    password = PasswordField(_l("Password"), [_required, Length(max=MAX_PASSWORD_LENGTH)])


class ConfirmForm(FlaskForm):
    """The six digits from the mail."""

    code = StringField(
        _l("Code from the mail"),
        [_required, Length(max=_MAX_CODE_LENGTH, message=_l("This code is too long."))],
        render_kw={"inputmode": "numeric", "autocomplete": "one-time-code"},
    )


class ProfileForm(FlaskForm):
    """How somebody wants to be called, reached and shown things."""

    name = StringField(_l("Name"), [Optional(), Length(max=MAX_NAME_LENGTH)])
    contacts = TextAreaField(
        _l("Other contacts"),
        [Optional(), Length(max=MAX_CONTACTS_LENGTH)],
        description=_l("Where else we may reach you, for example Telegram. Stored encrypted."),
        render_kw={"rows": 3},
    )
    language = SelectField(_l("Language"), choices=choices(LANGUAGES.items()))
    timezone = SelectField(
        _l("Time zone"),
        choices=lambda: choices((name, name.replace("_", " ")) for name in timezones()),
        description=_l("All times are shown in this zone."),
    )
    experience = RadioField(
        _l("How do you trade?"),
        choices=choices(
            (
                ("beginner", _l("Beginner: presets and plain words")),
                ("expert", _l("Expert: every parameter")),
            )
        ),
    )
    theme = SelectField(
        _l("Brightness"),
        choices=choices(
            (("auto", _l("As the device")), ("light", _l("Light")), ("dark", _l("Dark")))
        ),
    )
    palette = SelectField(
        _l("Colours of profit and loss"),
        choices=choices(
            (
                ("default", _l("Teal and vermilion")),
                ("blue_orange", _l("Blue and orange")),
                ("red_up", _l("Red is up, green is down")),
            )
        ),
    )
    density = SelectField(
        _l("Rows of tables"),
        choices=choices((("comfortable", _l("Comfortable")), ("compact", _l("Compact")))),
    )
