"""Columns that travel as arrays come out of the database as they went in."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from app.bots.models import BotState
from app.bulk import bulk_insert
from app.db import db
from app.trades.models import FillRow
from app.transactions import transaction

TABLE: Any = FillRow.__table__
NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
HOSTILE = [
    "", " ", "NULL", "null", '"', '""', "\\", '\\"', "{", "}", "{a,b}", ",", "'", "a\nb\t", "🦊",
]  # fmt: skip


@pytest.mark.usefixtures("database")
def test_every_kind_of_value_comes_out_as_it_went_in() -> None:
    # A foreign key and a CHECK would stand in the way of these values: ask for the rows alone.
    columns = ("trade_id", "price", "maker", "at", "order_id")
    # A word of a list is a text like any other.
    rows: list[tuple[Any, ...]] = [(BotState.ACTIVE, Decimal(1), True, NOW, 1)]
    rows += [
        (name, Decimal("1E-18") * number, number % 2 == 0, NOW, None if number % 3 else number)
        for number, name in enumerate(HOSTILE)
    ]
    bulk = bulk_insert(TABLE, columns)
    given = bulk.statement.text.partition(" from ")[2]
    names = ", ".join(f'"{name}"' for name in columns)
    with transaction():
        read = db.session.execute(text(f"select {names} from {given}"), bulk.values(rows)).all()  # noqa: S608 - our own columns
    assert [tuple(row) for row in read] == rows


def test_a_kind_of_value_without_a_rule_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        bulk_insert(TABLE, ("price",)).values([(1.5,)])
