"""Blocks of the profile page that belong to subjects above: they register, accounts only shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ProfileCard:
    """A template and the function that reads what it shows about one person."""

    template: str
    load: Callable[[int], Mapping[str, Any]]


_cards: dict[str, ProfileCard] = {}


def register_profile_card(template: str, load: Callable[[int], Mapping[str, Any]]) -> None:
    """Show `template` on the profile page, with the values of `load(user_id)`."""
    _cards[template] = ProfileCard(template, load)


def profile_cards(user_id: int) -> tuple[list[str], dict[str, Any]]:
    """Return the templates of the registered blocks, and the values that they need."""
    values: dict[str, Any] = {}
    for card in _cards.values():
        values.update(card.load(user_id))
    return [card.template for card in _cards.values()], values
