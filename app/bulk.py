"""One statement for any number of rows: each column travels as one array.

A fill costs the same few statements whether it comes alone or with a hundred others; an ORM flush
for each row is some twenty times slower.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Table, TextClause, text
from sqlalchemy.dialects import postgresql

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class Bulk:
    """A statement over rows given as tuples in the order of `columns`.

    It is built at its first use: only then the types of foreign keys are known.
    """

    def __init__(self, columns: Sequence[str], build: Callable[[], str]) -> None:
        self.columns = tuple(columns)
        self._build = build

    @cached_property
    def statement(self) -> TextClause:
        """The statement, to be executed with `values`."""
        return text(self._build())

    def values(self, rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
        """Turn rows into the statement's parameters."""
        columns = list(zip(*rows, strict=True)) or [() for _ in self.columns]
        return {name: list(values) for name, values in zip(self.columns, columns, strict=True)}


def bulk_insert(table: Table, columns: Sequence[str], ending: str = "") -> Bulk:
    """Build an INSERT of many rows; `ending` is ON CONFLICT and RETURNING."""
    names = ", ".join(f'"{name}"' for name in columns)

    def build() -> str:
        rows = _rows(table, columns)
        return f"insert into {table.name} ({names}) select {names} from {rows} {ending}"  # noqa: S608 - names of our own tables

    return Bulk(columns, build)


def bulk_update(table: Table, keys: Sequence[str], columns: Sequence[str], also: str = "") -> Bulk:
    """Build an UPDATE of many rows found by `keys`; `also` goes on after the WHERE."""
    changes = ", ".join(f'"{name}" = given."{name}"' for name in columns)
    match = " and ".join(f'{table.name}."{key}" = given."{key}"' for key in keys)
    every = [*keys, *columns]

    def build() -> str:
        rows = _rows(table, every)
        return f"update {table.name} set {changes} from {rows} where {match} {also}"  # noqa: S608 - names of our own tables

    return Bulk(every, build)


def bulk_upsert(table: Table, keys: Sequence[str], columns: Sequence[str]) -> Bulk:
    """Build an INSERT of many rows that overwrites those whose key exists."""
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in columns)
    names = ", ".join(keys)
    return bulk_insert(table, [*keys, *columns], f"on conflict ({names}) do update set {changes}")


def _rows(table: Table, columns: Sequence[str]) -> str:
    arrays = ", ".join(f"cast(:{name} as {_type(table, name)}[])" for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    return f"unnest({arrays}) as given ({names})"


def _type(table: Table, column: str) -> str:
    return str(table.c[column].type.compile(dialect=_DIALECT))
