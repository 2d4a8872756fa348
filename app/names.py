"""Names and labels that people give to things: what can't be seen can't be told apart."""

import unicodedata

# Control, format (zero width, direction), surrogates, private use, not assigned, line and paragraph
# separators.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Counted as letters or marks, yet drawn as nothing.
BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def is_visible(text: str, keep: str = "") -> bool:
    """Say whether every character can be seen or is a plain blank; `keep` is allowed besides."""
    return not any(_is_hidden(mark) for mark in text if mark not in keep)


def _is_hidden(mark: str) -> bool:
    return mark in BLANK_LETTERS or unicodedata.category(mark) in HIDDEN_CATEGORIES
