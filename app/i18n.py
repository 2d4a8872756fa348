"""Which language and zone: user, cookie, browser; and sentences for domain errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

from flask import g, has_request_context, request
from flask_babel import force_locale, gettext
from flask_babel.speaklater import LazyString
from flask_login import current_user

from app.errors import DomainError
from app.formatting.filters import duration, number, sum_of_money
from app.money import MINOR_DIGITS

LANGUAGES: Mapping[str, str] = {"en": "English", "ru": "Русский", "pt_BR": "Português (Brasil)"}
DEFAULT_LANGUAGE = "en"
DEFAULT_TIMEZONE = "UTC"
LANGUAGE_COOKIE = "language"

_texts: dict[str, LazyString] = {}


def register_texts(texts: Mapping[str, LazyString]) -> None:
    """Add sentences by error code; a code has one sentence in the whole product."""
    _texts.update(texts)


def has_text(code: str) -> bool:
    """Tell whether a code has a sentence."""
    return code in _texts


def describe(error: DomainError) -> str:
    """Return the sentence for an error in the reader's language."""
    return describe_code(error.code, error.values)


def describe_code(code: str, values: Mapping[str, Any]) -> str:
    """Return the sentence for a code and its values in the reader's language."""
    if code not in _texts:
        return str(gettext("This could not be done (%(code)s).", code=code))
    text = str(_texts[code])
    return text % _readable(values) if values else text


def _readable(values: Mapping[str, Any]) -> dict[str, Any]:
    # A coin has as many decimals as its amount has; money those of its currency.
    currency = str(values.get("currency", ""))
    is_money = currency in MINOR_DIGITS
    written = {
        k: (sum_of_money(v, currency) if is_money else number(v)) if isinstance(v, Decimal) else v
        for k, v in values.items()
    }
    if "retry_after" in values:
        written["wait"] = duration(timedelta(seconds=int(values["retry_after"])))
    return written


def use_header_language(own: str | None = None) -> None:
    """Let this request be answered as its headers ask, else in somebody's own language.

    For programs: neither cookies nor a signed-in person are looked at.
    """
    g.header_language = _asked_language() or own or DEFAULT_LANGUAGE


def select_locale() -> str:
    """Choose the language of this request: the user's own, the cookie, the browser."""
    if not has_request_context():
        return str(getattr(g, "language", DEFAULT_LANGUAGE))
    if "header_language" in g:
        return str(g.header_language)
    own = current_user.language if current_user.is_authenticated else None
    chosen = own or request.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return str(chosen)
    return _asked_language() or DEFAULT_LANGUAGE


def _asked_language() -> str | None:
    tags = {"en": "en", "ru": "ru", "pt": "pt_BR", "pt-br": "pt_BR"}
    best = request.accept_languages.best_match(list(tags))
    return tags.get(best.lower(), DEFAULT_LANGUAGE) if best else None


def select_timezone() -> str:
    """Choose the zone in which times are shown."""
    if "timezone" in g:
        return str(g.timezone)
    if has_request_context() and current_user.is_authenticated:
        return str(current_user.timezone)
    return DEFAULT_TIMEZONE


@contextmanager
def use_locale(language: str) -> Iterator[None]:
    """Render in one language, for mail and workers."""
    with force_locale(language if language in LANGUAGES else DEFAULT_LANGUAGE):
        yield


class Reader(Protocol):
    """Somebody who reads what is written."""

    @property
    def language(self) -> str:
        """Return the language that they read."""

    @property
    def timezone(self) -> str:
        """Return the zone whose days they count by."""


@contextmanager
def written_for(reader: Reader) -> Iterator[None]:
    """Write in the language of somebody, and with the days of their zone, whoever causes it."""
    before = g.get("timezone")
    g.timezone = reader.timezone
    _ask_for_zone_again()
    try:
        with use_locale(reader.language):
            yield
    finally:
        g.pop("timezone")
        if before is not None:
            g.timezone = before
        _ask_for_zone_again()


def _ask_for_zone_again() -> None:
    # The library keeps the zone once it has asked; its own refresh() would forget the language too.
    kept = g.get("_flask_babel")
    if hasattr(kept, "babel_tzinfo"):
        del kept.babel_tzinfo
