"""Forms of the exchange pages. The rules stand in the service; a form only parses."""

from collections.abc import Iterable

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, PasswordField, SelectField, StringField
from wtforms.validators import InputRequired, Length

from app.accounts.seen import asks_for_tick
from app.exchanges.catalogue import Venue
from app.exchanges.rules import MAX_KEY_LENGTH, MAX_LABEL_LENGTH

_required = InputRequired(_l("Please fill this in."))
_OFF = {"autocomplete": "off", "spellcheck": "false", "translate": "no"}
MAX_NUMBER_LENGTH = 40


class PaperForm(FlaskForm):
    """Open a paper account."""

    label = StringField(
        _l("Name of the account"),
        [_required, Length(max=MAX_LABEL_LENGTH, message=_l("This name is too long."))],
        default=_l("Paper"),
        render_kw={"autocomplete": "off"},
    )
    exchange = SelectField(
        _l("Prices, rules and fees of"),
        description=_l("The account trades with paper money on the prices of this exchange."),
    )
    balance = StringField(
        _l("Paper money to begin with"),
        [_required, Length(max=MAX_NUMBER_LENGTH, message=_l("This number is too long."))],
    )

    def offer(self, venues: Iterable[Venue]) -> None:
        """Fill in which exchanges can be chosen."""
        self.exchange.choices = [(venue.code, venue.name) for venue in venues]


class KeysForm(FlaskForm):
    """Connect a real account; what was typed as a secret is never sent back to the page."""

    label = StringField(
        _l("Name of the account"),
        [_required, Length(max=MAX_LABEL_LENGTH, message=_l("This name is too long."))],
        render_kw={"autocomplete": "off"},
    )
    key = StringField(
        _l("API key"),
        [_required, Length(max=MAX_KEY_LENGTH, message=_l("This key is too long."))],
        render_kw=_OFF,
    )
    secret = PasswordField(
        _l("API secret"),
        [_required, Length(max=MAX_KEY_LENGTH, message=_l("This secret is too long."))],
        render_kw={**_OFF, "autocomplete": "new-password"},
    )
    passphrase = PasswordField(
        _l("Passphrase of the key"),
        [_required, Length(max=MAX_KEY_LENGTH, message=_l("This passphrase is too long."))],
        render_kw={**_OFF, "autocomplete": "new-password"},
    )
    testnet = BooleanField(
        _l("This key is for the test site"),
        description=_l("Orders then trade test money. The account is marked TESTNET."),
    )

    def fit(self, venue: Venue) -> None:
        """Leave out the fields that this exchange does not know."""
        if not venue.needs_passphrase:
            del self.passphrase
        if not venue.has_testnet:
            del self.testnet


class RenameForm(FlaskForm):
    """Give an account another name."""

    label = StringField(
        _l("Name of the account"),
        [_required, Length(max=MAX_LABEL_LENGTH, message=_l("This name is too long."))],
        render_kw={"autocomplete": "off"},
    )


class LettingGoForm(FlaskForm):
    """Delete what may leave something at an exchange: its reader has seen what, and means it."""

    understood = BooleanField(
        _l("I understand that this stays at the exchange, and that nobody here watches it any more")
    )
    seen = HiddenField()

    def agrees_with(self, seen: str) -> bool:
        """Say whether it was sent for what stays now; name what is missing, and ask anew."""
        read = self.seen.data or ""
        self.seen.data = seen
        if not self.validate_on_submit():
            return False
        changed = _("What stays at the exchange is not the same any more. Please read it again.")
        return not asks_for_tick(self.understood, read, seen, changed)
