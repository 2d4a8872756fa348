"""Where the exchanges' servers stand, if not where the library says: for tests and rehearsals only.

The configuration refuses any such address in production.
"""

from collections.abc import Mapping
from typing import Any

_bases: dict[str, str] = {}


def use_bases(bases: Mapping[str, str]) -> None:
    """Send the calls to these exchanges elsewhere; the others are asked where they always are."""
    _bases.clear()
    _bases.update(bases)


def redirect(client: Any, name: str) -> None:
    """Point a client of the library at the address that was set for its exchange."""
    base = _bases.get(name)
    if base is not None:
        client.urls["api"] = dict.fromkeys(client.urls["api"], base)
