"""Values as JSON has them."""

import json
from typing import Any, TypeVar

Json = dict[str, Any]
Plain = TypeVar("Plain", Json, list[Json], list[Any])


def clone(thing: Plain) -> Plain:
    """Return a copy that shares nothing; several times faster than `copy.deepcopy`."""
    told: Plain = json.loads(json.dumps(thing))
    return told
