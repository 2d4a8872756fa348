"""Forms of signing in by a provider."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField
from wtforms.validators import Length, Optional


class WelcomeForm(FlaskForm):
    """What a new account needs besides what the provider says."""

    timezone = HiddenField(render_kw={"data-timezone": True})
    invite = StringField(
        _l("Invitation"),
        [Optional(), Length(max=40, message=_l("This code is too long."))],
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
