"""What waits for a person."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many things wait for a person, and since when (UTC) the oldest does."""

    count: int
    oldest: datetime | None
