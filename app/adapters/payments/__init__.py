"""Ways to pay behind one interface; the app says at its start which ones there are."""

from collections.abc import Mapping

from app.adapters.payments.port import Rail
from app.errors import NotFound

_rails: dict[str, Rail] = {}


def use_rails(rails: Mapping[str, Rail]) -> None:
    """Make these the rails of the process."""
    _rails.clear()
    _rails.update(rails)


def rails() -> Mapping[str, Rail]:
    """Return the rails that are set up, by name."""
    return _rails


def rail_named(name: str) -> Rail:
    """Return a rail; raise NotFound for one that is not set up."""
    found = _rails.get(name)
    if found is None:
        raise NotFound("unknown_rail")
    return found
