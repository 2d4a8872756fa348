"""Names hold only what can be seen; all places where people name something ask one function."""

from collections.abc import Callable

import pytest

from app.accounts.rules import ProfileChange, check_profile
from app.bots.rules import tidy_name
from app.errors import InvalidInput
from app.exchanges.rules import clean_label
from app.names import is_visible

HIDDEN = {
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "right-to-left override": "\u202e",
    "direction isolate": "\u2066",
    "direction mark": "\u200e",
    "soft hyphen": "\u00ad",
    "joiner of graphemes": "\u034f",
    "filler of Hangul": "\u3164",
    "blank of Braille": "\u2800",
    "tag": "\U000e0041",
    "line separator": "\u2028",
    "control": "\x00",
    "half of a pair": "\ud800",
    "private use": "\ue000",
}


def profile_name(text: str) -> str:
    change = ProfileChange(text, "en", "UTC", "", "beginner", "auto", "default", "comfortable")
    return check_profile(change, ("en",)).name


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=list(HIDDEN))
@pytest.mark.parametrize("place", [tidy_name, clean_label, profile_name])
def test_what_cannot_be_seen_stands_in_no_name(hidden: str, place: Callable[[str], str]) -> None:
    assert not is_visible(f"Grid{hidden}1")
    try:
        taken = place(f"Grid{hidden}1")
    except InvalidInput:
        return
    assert taken == "Grid 1", "only what separates lines may become a blank"


@pytest.mark.parametrize(
    "name", ["Grid BTC/USDT", "Сетка №1", "Grade São Paulo", "網格", "شبكة", "Grid 🚀", "a\u0301"]
)
def test_names_of_all_languages_stay(name: str) -> None:
    assert tidy_name(name) == clean_label(name) == profile_name(name) == name


def test_what_is_allowed_besides_is_named() -> None:
    assert not is_visible("two\nlines")
    assert is_visible("two\nlines", keep="\n")
