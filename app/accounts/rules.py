"""What a profile may hold; pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from zoneinfo import available_timezones

from app.errors import InvalidInput
from app.names import is_visible

EXPERIENCES = ("beginner", "expert")
THEMES = ("auto", "light", "dark")
PALETTES = ("default", "blue_orange", "red_up")
DENSITIES = ("comfortable", "compact")
MAX_NAME_LENGTH = 80
MAX_CONTACTS_LENGTH = 500


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """All that a person may set in the own profile."""

    name: str
    language: str
    timezone: str
    contacts: str
    experience: str
    theme: str
    palette: str
    density: str


def check_profile(change: ProfileChange, languages: Collection[str]) -> ProfileChange:
    """Return the change as it is stored; raise InvalidInput that names the field."""
    choices = {
        "language": languages,
        "experience": EXPERIENCES,
        "theme": THEMES,
        "palette": PALETTES,
        "density": DENSITIES,
    }
    for field, allowed in choices.items():
        if getattr(change, field) not in allowed:
            raise InvalidInput("unknown_choice", field=field)
    if known_timezone(change.timezone) is None:
        raise InvalidInput("unknown_timezone", field="timezone")
    return replace(
        change,
        name=_plain(change.name, "name", MAX_NAME_LENGTH),
        contacts=_plain(change.contacts, "contacts", MAX_CONTACTS_LENGTH, keep="\n"),
    )


def known_timezone(name: str) -> str | None:
    """Return the name of a zone if there is one so called."""
    return name if name in timezones() else None


@cache
def timezones() -> tuple[str, ...]:
    """Return the zones that people choose from, by region and city."""
    old_styles = ("Etc/", "SystemV/", "US/", "posix/", "right/")
    cities = (name for name in available_timezones() if "/" in name)
    return ("UTC", *sorted(name for name in cities if not name.startswith(old_styles)))


def _plain(text: str, field: str, maximum: int, keep: str = "") -> str:
    """Return text without outer blanks; refuse what can't be seen."""
    text = text.replace("\r\n", "\n").strip()
    if len(text) > maximum:
        raise InvalidInput("text_too_long", field=field, maximum=maximum)
    if not is_visible(text, keep):
        raise InvalidInput("control_characters", field=field)
    return text
