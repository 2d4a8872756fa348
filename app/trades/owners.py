"""Whose trades these are: bots stand above their trades, so they register how they are named."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair as pages name it; `blocked` is empty while it may be traded."""

    id: int
    symbol: str
    base: str
    quote: str
    tick: Decimal | None
    lot: Decimal | None
    blocked: str = ""
    kind: str = "spot"


@dataclass(frozen=True, slots=True)
class BotLabel:
    """What a trade shows of its bot."""

    id: int
    name: str
    mode: str
    deleted: bool
    pair: Pair


BotNamer = Callable[[int], dict[int, BotLabel]]
SettingsReader = Callable[[int, int], tuple[Any, ...]]


@dataclass
class _Registry:
    namer: BotNamer | None = None
    reader: SettingsReader | None = None


_registry = _Registry()


def name_bots_with(namer: BotNamer, reader: SettingsReader) -> None:
    """Register how bots are named and how a version of their settings is read.

    `namer` takes a person and gives all their bots by id, deleted ones too; `reader` takes a bot
    and a version.
    """
    _registry.namer, _registry.reader = namer, reader


def settings_at(bot_id: int, version: int) -> tuple[Any, ...]:
    """Return a version of a bot's settings."""
    if _registry.reader is None:
        raise RuntimeError("nobody reads settings: name_bots_with() has not been called")
    return _registry.reader(bot_id, version)


def bots_of(user_id: int) -> dict[int, BotLabel]:
    """Return all bots of a person by id; deleted ones keep their trades."""
    if _registry.namer is None:
        raise RuntimeError("nobody names bots: name_bots_with() has not been called")
    return _registry.namer(user_id)
