"""Ways to bring a message to a person."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Letter:
    """One message, ready to be sent. `reference` stays the same when it is sent again."""

    recipient: str
    subject: str
    body: str
    language: str
    reference: str
    channel: str = "email"


class Verdict(StrEnum):
    """SENT was taken over; LATER may work another time; REFUSED never will."""

    SENT = "sent"
    LATER = "later"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a letter, and why in a word that staff can look up."""

    verdict: Verdict
    reason: str = ""


class Channel(Protocol):
    """Something that carries letters. It never raises for what the other side does."""

    def send(self, letter: Letter) -> Delivery:
        """Try once to deliver; every wait has a time-out."""
        ...

    def check(self) -> Delivery:
        """Tell whether the channel answers, without sending anything."""
        ...
