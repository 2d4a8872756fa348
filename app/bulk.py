"""One statement for any number of rows: each column travels as one array.

A fill costs the same few statements whether it comes alone or with a hundred others; an ORM flush
for each row is some twenty times slower.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from sqlalchemy import Numeric, Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class Bulk:
    """A statement over rows given as tuples in the order of `columns`; JSON is given as text.

    It is built at its first use: only then the types of foreign keys are known.
    """

    def __init__(self, table: Table, columns: Sequence[str], build: Callable[[], str]) -> None:
        self.columns = tuple(columns)
        self._build = build
        self._documents = {name for name in columns if isinstance(table.c[name].type, JSONB)}

    @cached_property
    def statement(self) -> TextClause:
        """The statement, to be executed with `values`."""
        return text(self._build())

    def values(self, rows: Iterable[Sequence[Any]]) -> dict[str, str]:
        """Turn rows into the statement's parameters: arrays as PostgreSQL writes them."""
        columns = list(zip(*rows, strict=True)) or [() for _ in self.columns]
        named = zip(self.columns, columns, strict=True)
        return {
            name: f"[{','.join(values)}]" if name in self._documents else _array(values)
            for name, values in named
        }


def bulk_insert(table: Table, columns: Sequence[str], ending: str = "") -> Bulk:
    """Build an INSERT of many rows; `ending` is ON CONFLICT and RETURNING."""
    names = ", ".join(f'"{name}"' for name in columns)

    def build() -> str:
        rows = _rows(table, columns)
        return f"insert into {table.name} ({names}) select {names} from {rows} {ending}"  # noqa: S608 - names of our own tables

    return Bulk(table, columns, build)


def bulk_update(table: Table, keys: Sequence[str], columns: Sequence[str], also: str = "") -> Bulk:
    """Build an UPDATE of many rows found by `keys`; `also` goes on after the WHERE."""
    changes = ", ".join(f'"{name}" = given."{name}"' for name in columns)
    match = " and ".join(f'{table.name}."{key}" = given."{key}"' for key in keys)
    every = [*keys, *columns]

    def build() -> str:
        rows = _rows(table, every)
        return f"update {table.name} set {changes} from {rows} where {match} {also}"  # noqa: S608 - names of our own tables

    return Bulk(table, every, build)


def bulk_upsert(table: Table, keys: Sequence[str], columns: Sequence[str]) -> Bulk:
    """Build an INSERT of many rows that overwrites those whose key exists."""
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in columns)
    names = ", ".join(keys)
    return bulk_insert(table, [*keys, *columns], f"on conflict ({names}) do update set {changes}")


def plain_columns(table: Table, names: Sequence[str], alias: str = "") -> str:
    """Name columns for a SELECT in plain SQL, for reads of very many rows.

    Decimals lose the column's padding in the database instead of value by value here.
    """
    place = alias or table.name
    return ", ".join(
        f'trim_scale({place}."{name}") as "{name}"'
        if isinstance(getattr(table.c[name].type, "impl", None), Numeric)
        else f'{place}."{name}"'
        for name in names
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Writers(dict[type, Callable[[Any], str]]):
    def __missing__(self, kind: type) -> Callable[[Any], str]:
        for base in kind.__mro__[1:]:
            if base in self:
                return self[base]
        raise KeyError(kind)


# The driver looks at each value three times to find out what this knows.
_WRITERS = _Writers({int: str, Decimal: str, bool: str, datetime: datetime.isoformat, str: _quoted})


def _array(values: Iterable[Any]) -> str:
    """Write an array; a kind of value that has no rule raises KeyError."""
    written = ["NULL" if each is None else _WRITERS[type(each)](each) for each in values]
    return f"{{{','.join(written)}}}"


def _rows(table: Table, columns: Sequence[str]) -> str:
    # A document travels as it is; inside an array of text each quote would have to be escaped.
    plain = [name for name in columns if not isinstance(table.c[name].type, JSONB)]
    documents = [name for name in columns if name not in plain]
    arrays = ", ".join(f"cast(:{name} as {_type(table, name)}[])" for name in plain)
    parts = [f"unnest({arrays})"]
    parts += [f"jsonb_array_elements(cast(:{name} as jsonb))" for name in documents]
    names = ", ".join(f'"{name}"' for name in (*plain, *documents))
    return f"rows from ({', '.join(parts)}) as given ({names})"


def _type(table: Table, column: str) -> str:
    return str(table.c[column].type.compile(dialect=_DIALECT))
