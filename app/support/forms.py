"""Forms of tickets. Each has a key of its own: sent twice, it is done once."""

import secrets
from collections.abc import Iterable

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Optional, Regexp

from app.accounts.choices import choices
from app.support.rules import LONGEST_SUBJECT, LONGEST_TEXT
from app.support.texts import TOPIC_LABELS

_required = InputRequired(_l("Please fill this in."))


class MessageForm(FlaskForm):
    """One message."""

    key = HiddenField(validators=[Regexp(r"[0-9a-f]{32}\Z")])
    text = TextAreaField(
        _l("Your message"),
        # Every line end is sent as two characters.
        [_required, Length(max=2 * LONGEST_TEXT)],
        render_kw={"rows": 6, "maxlength": LONGEST_TEXT},
    )

    def take_key(self) -> None:
        """Give a form that is shown for the first time its key."""
        self.key.data = self.key.data or secrets.token_hex(16)


class TicketForm(MessageForm):
    """A new ticket."""

    subject = StringField(_l("Subject"), [_required, Length(max=LONGEST_SUBJECT)])
    topic = SelectField(_l("Topic"), choices=choices(tuple(TOPIC_LABELS.items())))
    bot = SelectField(_l("Bot"), [Optional()])

    def offer_bots(self, bots: Iterable[tuple[int, str]]) -> None:
        """Offer a person's bots, and none."""
        named = [(str(number), name) for number, name in bots]
        self.bot.choices = choices([("", _l("No bot in particular")), *named])
