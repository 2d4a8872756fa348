"""Callbacks at the door: kept together when many come, and never answered before they are kept."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError, OperationalError

from app.adapters.payments.port import Incoming, Ref
from app.bulk import Bulk
from app.db import db
from app.payments import door, intake
from tests.at_once import at_once
from tests.payments import world

MOST_WAITING_S = 30
MANY = 8


def incoming(number: int) -> Incoming:
    return Incoming(
        external_id=f"dev_{number}",
        type="payment.succeeded",
        happened_at=datetime(2026, 1, 1, tzinfo=UTC),
        livemode=False,
        api_version="test",
        group="somebody",
        refs=(Ref("payment", f"pay_{number}"),),
    )


def keep(number: int) -> bool:
    return door.keep("demo", incoming(number), b'{"a": "\\" \xf0\x9f\x92\xb3"}')


@pytest.fixture
def statements(database: None, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the ids that each statement keeps, in its order."""
    seen: list[list[str]] = []
    values = Bulk.values

    def note(bulk: Bulk, rows: Sequence[intake.Row]) -> dict[str, str]:
        seen.append([row.external_id for row in rows])
        return values(bulk, rows)

    monkeypatch.setattr(Bulk, "values", note)
    return seen


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the first one wait for its turn until all others wait behind it."""
    real = door._turn

    class Turn:
        def __enter__(self) -> None:
            for _ in range(MOST_WAITING_S * 100):
                if len(door._gathered) >= MANY or done.is_set():
                    break
                done.wait(0.01)
            done.set()
            real.acquire()

        def __exit__(self, *_: object) -> None:
            real.release()

    done = threading.Event()
    monkeypatch.setattr(door, "_turn", Turn())
    yield
    assert not door._gathered


def test_a_callback_is_kept_as_it_came_and_once(statements: list[list[str]]) -> None:
    assert keep(1)
    assert not keep(1)
    assert statements == [["dev_1"], ["dev_1"]]
    (event,) = world.events()
    assert (event.rail, event.external_id, event.group_key) == ("demo", "dev_1", "somebody")
    assert (event.refs, event.livemode, event.state) == ([["payment", "pay_1"]], False, "received")
    assert event.body == '{"a": "\\" 💳"}'
    assert event.happened_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_those_that_come_together_are_kept_by_one_statement(
    app: Flask, statements: list[list[str]], gathered: None
) -> None:
    assert at_once(app, MANY, keep) == [True] * MANY
    assert statements == [sorted(f"dev_{number}" for number in range(MANY))]
    assert len(world.events()) == MANY


def test_the_same_one_many_times_together_is_one_row(
    app: Flask, statements: list[list[str]], gathered: None
) -> None:
    assert any(at_once(app, MANY, lambda _number: keep(1)))
    assert len(statements) == 1
    assert len(world.events()) == 1


def test_nobody_is_told_that_it_is_kept_when_it_is_not(
    app: Flask, database: None, gathered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> set[intake.Key]:
        raise OperationalError("insert", {}, Exception("the disk is full"))

    def ask(number: int) -> str:
        try:
            return str(keep(number))
        except OperationalError:
            return "away"

    monkeypatch.setattr(intake, "insert", fail)
    assert at_once(app, MANY, ask) == ["away"] * MANY
    monkeypatch.undo()
    assert world.events() == []
    assert keep(1)


def test_one_that_the_database_refuses_takes_no_other_with_it(
    app: Flask, database: None, gathered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = intake.insert

    def refuse(connection: Connection, rows: Sequence[intake.Row]) -> set[intake.Key]:
        if any(row.external_id == "dev_3" for row in rows):
            raise DataError("insert", {}, Exception("no such day"))
        return insert(connection, rows)

    def ask(number: int) -> str:
        try:
            return str(keep(number))
        except DataError:
            return "refused"

    monkeypatch.setattr(intake, "insert", refuse)
    answers = at_once(app, MANY, ask)
    assert answers == ["refused" if number == 3 else "True" for number in range(MANY)]
    assert len(world.events()) == MANY - 1


def test_a_server_that_was_started_anew_is_found_again(database: None, database_url: str) -> None:
    assert keep(1)
    number = door._Line.open().scalar(text("select pg_backend_pid()"))
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as owner:
        owner.execute("select pg_terminate_backend(%s, 5000)", (number,))
    assert keep(2)
    assert len(world.events()) == 2


def test_a_line_that_outlives_its_pool_is_hung_up(database: None) -> None:
    """A connection that goes back to a pool which nobody has any more would stay open for good."""
    assert keep(1)
    line = door._Line.open().connection.driver_connection
    assert isinstance(line, psycopg.Connection)
    # Its own connection is out, so this ends the others and leaves the pool behind.
    db.session.remove()
    db.engine.dispose()
    assert not line.closed
    door._Line.close()
    assert line.closed
    assert keep(2)
