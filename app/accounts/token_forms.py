"""The form of a new access token."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, SelectField, StringField
from wtforms.validators import InputRequired

from app.accounts.choices import BoxesField, choices
from app.accounts.tokens import LIVES, MAX_LABEL, USUAL_LIFE, Scope

SCOPE_LABELS = {
    Scope.BOTS_READ: _l("See bots and accounts"),
    Scope.BOTS_WRITE: _l("Create, change and delete bots"),
    Scope.BOTS_RUN: _l("Start and stop bots"),
    Scope.TRADES_READ: _l("See orders, fills and trades"),
}
_LIFE_LABELS = {1: _l("24 hours"), 30: _l("30 days"), 90: _l("90 days"), 365: _l("One year")}
_required = InputRequired(_l("Please fill this in."))


class TokenForm(FlaskForm):
    """Name, rights, life, and the password once more."""

    form_key = HiddenField()
    label = StringField(
        _l("Name of the token"),
        [_required],
        description=_l("Which program will use it, for example “home server”."),
        render_kw={"maxlength": MAX_LABEL},
    )
    scopes = BoxesField(
        _l("What the program may do"),
        choices=choices((scope.value, SCOPE_LABELS[scope]) for scope in Scope),
        default=[Scope.BOTS_READ.value, Scope.TRADES_READ.value],
        description=_l("Tick as little as the program needs."),
        validate_choice=False,
    )
    days = SelectField(
        _l("Works for"),
        choices=choices((str(days), _LIFE_LABELS[days]) for days in LIVES),
        default=str(USUAL_LIFE),
        validate_choice=False,
    )
    password = PasswordField(_l("Your password"), [_required])
