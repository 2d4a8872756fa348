"""A code with its values, as it is stored; texts are found where it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """A code with its values; put into words where it is read."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    level: str = "info"


def line_of(reason: Mapping[str, Any] | None) -> Line | None:
    """Return a stored reason as a line, or None if there is none."""
    if not reason or not reason.get("code"):
        return None
    return Line(reason["code"], reason.get("values") or {})
