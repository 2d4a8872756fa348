"""The test cards: which number leads where; pure."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a card does when it is charged."""

    PAYS = "pays"
    DECLINED = "card_declined"
    NO_FUNDS = "insufficient_funds"
    CONFIRMS = "confirms"
    DISPUTED = "disputed"
    REFUND_FAILS = "refund_fails"


@dataclass(frozen=True, slots=True)
class Card:
    """A number that anybody may use, and what it does."""

    number: str
    outcome: Outcome

    @property
    def label(self) -> str:
        """Return how a receipt names the card."""
        return f"Visa {self.number[-4:]}"

    @property
    def spaced(self) -> str:
        """Return the number in groups of four."""
        return " ".join(self.number[i : i + 4] for i in range(0, len(self.number), 4))


REFUND_FAILS = "4000000000005126"
CARDS = (
    Card("4242424242424242", Outcome.PAYS),
    Card("4000000000000002", Outcome.DECLINED),
    Card("4000000000009995", Outcome.NO_FUNDS),
    Card("4000002500003155", Outcome.CONFIRMS),
    Card("4000000000000259", Outcome.DISPUTED),
    Card(REFUND_FAILS, Outcome.REFUND_FAILS),
)


def card_numbered(text: str) -> Card | None:
    """Return the test card that somebody typed; None for any other number."""
    digits = "".join(text.split()).replace("-", "")
    return next((card for card in CARDS if card.number == digits), None)
