"""What is announced when somebody leaves; a handler that objects raises and undoes all."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PersonLeaving:
    """Somebody is about to leave: what runs for them stops in an orderly way."""

    user_id: int
    # Whether coins are sold at market; else they are kept.
    sells: bool = False


@dataclass(frozen=True, slots=True)
class PersonErasing:
    """All about somebody is erased now, for good: end what ends by rules of its own."""

    user_id: int
