"""With how many made-up cases a property is tried: other ones in every run.

`make check-properties` tries twenty times as many (EXAMPLES=20).
"""

import os

from hypothesis import settings

_TIMES = int(os.environ.get("EXAMPLES", "1"))
_USUAL = 30


def tried(examples: int = _USUAL) -> settings:
    """Return the settings of a property that is tried with so many cases in a usual run."""
    return settings(max_examples=examples * _TIMES, deadline=None)


def use_examples() -> None:
    """Let properties without settings of their own be tried `_USUAL` times."""
    settings.register_profile("botyard", tried())
    settings.load_profile("botyard")
