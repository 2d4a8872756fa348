"""Sentences for the codes of this subject, and the names of states and topics."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.support.rules import State, Topic

TEXTS: Mapping[str, LazyString] = {
    "unknown_ticket": _l("There is no such ticket."),
    "ticket_closed": _l("The ticket is closed. Write in it to open it again."),
    "ticket_empty": _l("Please fill this in."),
    "ticket_too_long": _l("This is too long: at most %(maximum)s characters."),
    "ticket_unreadable": _l("This text has characters that can't be shown."),
    "ticket_topic": _l("Please choose one of the topics."),
    "ticket_bot": _l("Please choose one of your bots, or none."),
    "ticket_person_left": _l("This person has left: nobody would read an answer."),
}
# As the customer reads them.
STATE_LABELS: Mapping[str, LazyString] = {
    State.OPEN.value: _l("Waits for our answer"),
    State.ANSWERED.value: _l("Answered"),
    State.CLOSED.value: _l("Is closed"),
}
STATE_TONES: Mapping[str, str] = {
    State.OPEN.value: "neutral",
    State.ANSWERED.value: "good",
    State.CLOSED.value: "neutral",
}
TOPIC_LABELS: Mapping[str, LazyString] = {
    Topic.BOTS.value: _l("Bots and trades"),
    Topic.EXCHANGES.value: _l("Exchanges and keys"),
    Topic.MONEY.value: _l("Plan, invoices and wallet"),
    Topic.ACCOUNT.value: _l("Account and log-in"),
    Topic.OTHER.value: _l("Something else"),
}
