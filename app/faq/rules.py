"""What the help is made of: languages, categories, and how a search text is read; pure."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum

MAX_QUERY = 200
MAX_SLUG = 100
MAX_WORDS = 8
MIN_TYPO_WORD = 4
TYPO_CUTOFF = 0.75
DEFAULT_LANGUAGE = "en"

# Our language to PostgreSQL's text search configuration.
SEARCH_CONFIGS: Mapping[str, str] = {"en": "english", "ru": "russian", "pt_BR": "portuguese"}

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_WORD = re.compile(r"\w+")
_BLANKS = re.compile(r"\s+")


class Category(StrEnum):
    """The shelves of the help, in the order in which they are shown."""

    START = "start"
    GRID = "grid"
    RISK = "risk"
    SECURITY = "security"
    PLANS = "plans"
    OPERATION = "operation"


def is_slug(text: str) -> bool:
    """Tell whether a text has the form of an article's address."""
    return len(text) <= MAX_SLUG and _SLUG.fullmatch(text) is not None


def tidy_query(text: str) -> str:
    """Return a search text without control characters, doubled blanks and its far end."""
    printable = "".join(char if char.isprintable() else " " for char in text[: MAX_QUERY * 4])
    return _BLANKS.sub(" ", printable).strip()[:MAX_QUERY]


def words_of(query: str) -> list[str]:
    """Return the words of a search text, lower-case, each once, at most MAX_WORDS."""
    return list(dict.fromkeys(all_words(query)))[:MAX_WORDS]


def all_words(text: str) -> Iterator[str]:
    """Yield every word of a text, lower-case."""
    # Russians write е for ё as they please.
    for word in _WORD.findall(text.lower().replace("ё", "е")):
        if stripped := word.strip("_"):
            yield stripped


def correct_words(words: Iterable[str], vocabulary: Collection[str]) -> list[str]:
    """Replace words that nobody uses by the nearest one that somebody does.

    Without a near one the word stays; short words are never touched.
    """
    return [_nearest(word, vocabulary) for word in words]


def _nearest(word: str, vocabulary: Collection[str]) -> str:
    if len(word) < MIN_TYPO_WORD or word in vocabulary:
        return word
    # Most typing mistakes leave the length nearly as it was.
    alike = [known for known in vocabulary if abs(len(known) - len(word)) <= 2]  # noqa: PLR2004
    near = difflib.get_close_matches(word, alike, n=1, cutoff=TYPO_CUTOFF)
    return near[0] if near else word
