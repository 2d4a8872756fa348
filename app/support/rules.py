"""Tickets: their states, who moves them, and what may be written."""

import unicodedata
from collections.abc import Mapping
from enum import StrEnum

from app.errors import Conflict, InvalidInput

LONGEST_SUBJECT = 150
LONGEST_TEXT = 5_000
# Control marks and halves of characters; emoji and every direction of writing are welcome.
_UNWRITABLE = frozenset({"Cc", "Cs"})
# What leaves no mark on a page: spaces, and signs that only tell how others are set.
_INVISIBLE = frozenset({"Cf", "Zs", "Zl", "Zp"})


class State(StrEnum):
    """OPEN waits for staff, ANSWERED for the customer, CLOSED for nobody."""

    OPEN = "open"
    ANSWERED = "answered"
    CLOSED = "closed"


class Act(StrEnum):
    """What is done to a ticket: the customer writes, staff answer, either side closes it."""

    WRITE = "write"
    ANSWER = "answer"
    CLOSE = "close"


class Topic(StrEnum):
    """What a ticket is about."""

    BOTS = "bots"
    EXCHANGES = "exchanges"
    MONEY = "money"
    ACCOUNT = "account"
    OTHER = "other"


# Whoever writes opens a closed ticket again.
STATE_TABLE: Mapping[State, Mapping[Act, State]] = {
    State.OPEN: {Act.WRITE: State.OPEN, Act.ANSWER: State.ANSWERED, Act.CLOSE: State.CLOSED},
    State.ANSWERED: {Act.WRITE: State.OPEN, Act.ANSWER: State.ANSWERED, Act.CLOSE: State.CLOSED},
    State.CLOSED: {Act.WRITE: State.OPEN, Act.ANSWER: State.ANSWERED},
}


def following(state: State, act: Act) -> State:
    """Return the state after an act; raise Conflict when it can't be done now."""
    after = STATE_TABLE[state].get(act)
    if after is None:
        raise Conflict("ticket_closed")
    return after


def tidy_subject(text: str) -> str:
    """Return a subject on one line; raise InvalidInput when it is empty, too long or unreadable."""
    return _checked(" ".join(text.split()), "subject", LONGEST_SUBJECT)


def tidy_text(text: str) -> str:
    """Return a message with plain line ends; raise InvalidInput like `tidy_subject`."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return _checked(plain, "text", LONGEST_TEXT, keep="\n\t")


def known_topic(text: str) -> Topic:
    """Return the topic of this name; raise InvalidInput for any other."""
    try:
        return Topic(text)
    except ValueError:
        raise InvalidInput("ticket_topic", field="topic") from None


def _checked(text: str, field: str, longest: int, keep: str = "") -> str:
    if all(unicodedata.category(mark) in _INVISIBLE for mark in text):
        raise InvalidInput("ticket_empty", field=field)
    if len(text) > longest:
        raise InvalidInput("ticket_too_long", field=field, maximum=longest)
    if any(unicodedata.category(mark) in _UNWRITABLE for mark in text if mark not in keep):
        raise InvalidInput("ticket_unreadable", field=field)
    return text
