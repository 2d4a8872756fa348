"""A database that takes no writing for a while, as when another server takes over."""

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

import worker
from app.bots import jobs, wake
from app.db import db
from app.transactions import transaction
from tests.bots.live_world import World

pytestmark = pytest.mark.usefixtures("database")
Switch = Callable[[bool], None]


@pytest.fixture
def read_only(database: None) -> Iterator[Switch]:
    """Return what switches between a server that is read only and one that is not."""

    def refuse(connection: Any, _record: Any) -> None:
        connection.execute("set default_transaction_read_only = on")
        connection.commit()

    def switch(on: bool) -> None:
        if on:
            event.listen(db.engine, "connect", refuse)
            db.session.remove()
            db.engine.dispose()
        elif event.contains(db.engine, "connect", refuse):
            event.remove(db.engine, "connect", refuse)

    yield switch
    switch(False)
    db.session.remove()
    db.engine.dispose()


def test_ticks_and_jobs_say_in_one_line_that_it_is_away_and_go_on_when_it_is_back(
    read_only: Switch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jobs, "PAUSE_WHEN_AWAY_S", 0)
    monkeypatch.setattr(jobs, "LONGEST_RUN_S", 0)
    world = World.make()
    world.play("100")
    bot = world.add_bot()
    wake.request_ticks(world.accounts())
    read_only(True)
    with caplog.at_level(logging.WARNING):
        jobs.tick_due()
    lines = [record for record in caplog.records if record.exc_info or "away" in record.message]
    assert [record.getMessage() for record in lines] == [
        "database_away accounts=1 error=OperationalError"
    ]
    assert lines[0].exc_info is None
    with pytest.raises(OperationalError):
        jobs.mark_stale()
    # Nothing is told to the pool: its connections are let go of with the error.
    read_only(False)
    jobs.tick_due()
    assert len(world.open_orders(bot)) == 10
    world.assert_books_agree()


def test_a_job_that_finds_no_database_is_told_in_one_line_and_others_as_they_are(
    read_only: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    read_only(True)
    rq = SimpleNamespace(handle_exception=lambda *given: None)
    job: Any = SimpleNamespace(func_name="app.bots.jobs.mark_stale")
    with pytest.raises(OperationalError) as error, transaction():
        db.session.execute(text("update markets set last_seq = 0"))
    told = (error.type, error.value, error.tb)
    with caplog.at_level(logging.WARNING):
        worker.TickWorker.handle_exception(rq, job, *told)  # type: ignore[arg-type]
    (line,) = caplog.records
    assert line.getMessage() == "database_away job=app.bots.jobs.mark_stale error=OperationalError"
    assert line.exc_info is None
