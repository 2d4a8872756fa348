"""Values of the core to JSON-able data and back: exact, typed, and without floats."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json(value: object) -> Any:  # noqa: PLR0911 - one line for each kind of value
    """Write dataclasses, enums, decimals (as text), times (ISO, UTC), tuples and mappings.

    Raise TypeError for a float or anything else that would not come back exactly.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return _decimal_text(value)
    if isinstance(value, datetime):
        return _time_text(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {member.name: to_json(getattr(value, member.name)) for member in fields(value)}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {_key(name): to_json(item) for name, item in value.items()}
    raise TypeError(f"can't be stored exactly: {type(value).__name__}")


def from_json(kind: type[T] | UnionType, data: Any) -> Any:
    """Read what `to_json` wrote for a value of this type; raise TypeError or ValueError."""
    if isinstance(data, float):
        raise TypeError("a float is never exact")
    origin = get_origin(kind)
    if origin in {Union, UnionType}:
        return _read_union(get_args(kind), data)
    if origin is tuple:
        (item, *_rest) = get_args(kind)
        return tuple(from_json(item, each) for each in _expect(list, data))
    if origin is not None and issubclass(origin, Mapping):
        item = get_args(kind)[1]
        return {name: from_json(item, each) for name, each in _expect(dict, data).items()}
    if isinstance(kind, type):
        return _read_plain(kind, data)
    raise TypeError(f"no rule to read a {kind}")


def decimal_of(text: object) -> Decimal:
    """Read a finite Decimal from the text that `to_json` wrote."""
    if not isinstance(text, str):
        raise TypeError(f"a decimal is stored as text, not {type(text).__name__}")
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"not a number: {text!r}") from error
    if not value.is_finite():
        raise ValueError(f"not a finite number: {text!r}")
    return value


def _read_union(kinds: tuple[Any, ...], data: Any) -> Any:
    if data is None and NoneType in kinds:
        return None
    wrong: Exception | None = None
    for kind in kinds:
        if kind is NoneType:
            continue
        try:
            return from_json(kind, data)
        except (TypeError, ValueError) as error:
            wrong = error
    raise TypeError(f"fits none of {kinds}") from wrong


def _read_plain(kind: type[Any], data: Any) -> Any:
    if kind is Decimal:
        return decimal_of(data)
    if kind is datetime:
        return datetime.fromisoformat(_expect(str, data))
    if issubclass(kind, StrEnum):
        return kind(data)
    if is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: from_json(hints[name], each) for name, each in data.items()})
    return _expect(kind, data)


def _expect(kind: type[T], data: Any) -> T:
    if type(data) is not kind:
        raise TypeError(f"expected {kind.__name__}, not {type(data).__name__}")
    return data


@lru_cache(maxsize=256)
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _decimal_text(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("only finite decimals are stored")
    return str(value)


def _time_text(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a time without zone is a mistake")
    return value.astimezone(UTC).isoformat()


def _key(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError("names of values are text")
    return name
