"""Callbacks that were missed are fetched, and end as if they had come."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Connection, select, update

from app.adapters.payments import rails, use_rails
from app.adapters.payments.stripe import event_log
from app.adapters.payments.stripe.callbacks import refs_of
from app.db import db, utc_now
from app.errors import Conflict, Unavailable
from app.payments import intake
from app.payments.books import backfill, jobs, pace
from app.payments.books.models import RailBackfill
from app.payments.models import RailEvent
from app.subscriptions import service
from app.transactions import transaction
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.doubles.stripe import FakeStripe, Fault
from tests.doubles.stripe.scenarios import own_sequences
from tests.payments.stripe_world import SECRET, post_all, rail_over
from tests.payments.world import work
from tests.subscriptions.stripe_replay import Stage, check_expected, lose, stage_lately

LOST = 5


@pytest.fixture
def client(app: Flask, database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    before = dict(rails())
    monkeypatch.setattr(pace, "CALLS_A_SECOND", 10_000)
    monkeypatch.setattr(pace, "PAUSES_S", (0, 0))
    with transaction():
        service.seed_plans()
    yield new_client(app)
    use_rails(before)


def lately(name: str, seed: int) -> Stage:
    return stage_lately(next(one for one in own_sequences() if one.name.startswith(name)), seed)


def with_lost(client: Client, seed: int) -> Stage:
    """Deliver the second sequence but for five of its events."""
    ready = lately("02-", seed)
    lost = set(random.Random(seed).sample(range(len(ready.sequence.events)), LOST))
    post_all(client, ready.sequence.deliveries([SECRET], drop=lost))
    lose(ready, lost)
    return ready


def known_events() -> int:
    db.session.rollback()
    return len(db.session.scalars(select(RailEvent.id)).all())


def last_id() -> str | None:
    db.session.rollback()
    return db.session.scalar(select(RailBackfill.last_id))


def test_c13_five_lost_events_are_fetched_and_end_as_if_they_had_come(
    app: Flask, client: Client
) -> None:
    ready = with_lost(client, 1)
    answer = app.test_cli_runner().invoke(args=["stripe", "backfill"])
    assert answer.exit_code == 0, answer.output
    assert f"not delivered: {LOST}" in answer.output and f"New here: {LOST}" in answer.output
    work()
    check_expected(ready)
    assert known_events() == len(ready.sequence.events)
    again = app.test_cli_runner().invoke(args=["stripe", "backfill"])
    assert "New here: 0" in again.output
    assert work() == 0


@pytest.mark.long
def test_c13_pages_come_the_oldest_first_and_a_stopped_run_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = lately("03-", 2)
    ready.face.delivered([])
    monkeypatch.setattr(event_log, "PAGE", 4)
    pages: list[list[str]] = []
    insert = intake.insert

    def crash_at_the_second(connection: Connection, rows: list[intake.Row]) -> set[intake.Key]:
        if pages:
            raise KeyboardInterrupt
        pages.append([row.external_id for row in rows])
        return insert(connection, rows)

    monkeypatch.setattr(intake, "insert", crash_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        backfill.run("stripe")
    events = [note.event for note in ready.face.account.notes]
    made = [event["id"] for event in events]
    kept = [event["id"] for event in events if refs_of(event)]
    whole = made[:4]
    assert len(made) % 4 == 0 and pages == [[name for name in whole if name in kept]]
    assert known_events() == len(pages[0])
    assert last_id() == whole[-1]
    monkeypatch.setattr(intake, "insert", insert)
    found = backfill.run("stripe")
    assert found.listed == len(made) - len(whole)
    assert known_events() == len(kept)
    work()
    check_expected(ready)


def test_c13_only_some_types_are_fetched_if_asked_and_the_place_stays(
    app: Flask, client: Client
) -> None:
    ready = lately("02-", 3)
    ready.face.delivered([])
    told = app.test_cli_runner().invoke(
        args=["stripe", "backfill", "--types", "invoice.paid,invoice.created"]
    )
    wanted = [
        one for one in ready.sequence.events if one["type"] in {"invoice.paid", "invoice.created"}
    ]
    assert f"not delivered: {len(wanted)}." in told.output
    assert last_id() is None
    many = ",".join(f"a.b{number}" for number in range(21))
    assert app.test_cli_runner().invoke(args=["stripe", "backfill", "--types", many]).exit_code == 1


def test_c13_two_runs_late_callbacks_and_the_worker_at_once_end_the_same(
    app: Flask, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = lately("03-", 5)
    ready.face.delivered([])
    monkeypatch.setattr(event_log, "PAGE", 10)
    late = ready.sequence.deliveries([SECRET])
    db.session.remove()

    def act(number: int) -> int:
        if number < 2:
            return backfill.run("stripe").stored
        if number == 2:
            return work()
        # Callbacks that come together are stored together: so many threads at the door.
        post_all(new_client(app), late[number - 3 :: 4])
        return 0

    at_once(app, 7, act)
    work()
    check_expected(ready)
    assert known_events() == len(late)
    assert (backfill.run("stripe").stored, work()) == (0, 0)


@pytest.mark.long
def test_a_place_that_stripe_has_forgotten_begins_anew(client: Client) -> None:
    ready = with_lost(client, 4)
    with transaction():
        db.session.add(RailBackfill(rail="stripe", last_id="evt_gone", looked_at=utc_now()))
    assert backfill.run("stripe").stored == LOST
    work()
    check_expected(ready)


def test_a_busy_stripe_is_asked_again_and_a_dead_one_later(client: Client) -> None:
    fake = FakeStripe()
    use_rails({**rails(), "stripe": rail_over(fake)})
    fake.faults.add(Fault(path="/v1/events", status=429, times=2))
    assert backfill.run("stripe").listed == 0
    fake.faults.add(Fault(path="/v1/events", status=503, times=9))
    with pytest.raises(Unavailable):
        backfill.run("stripe")


def test_the_job_asks_after_silence_and_now_and_then_only(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = with_lost(client, 5)
    asked: list[str] = []
    run = backfill.run

    def watched(rail: str) -> backfill.Found:
        asked.append(rail)
        return run(rail)

    monkeypatch.setattr(backfill, "run", watched)
    jobs.look_after()
    jobs.look_after()
    assert asked == ["stripe"], "the demonstration keeps no callbacks; twice at once is needless"
    work()
    check_expected(ready)
    for looked, heard, expected in ((20, 20, 2), (20, 1, 2), (61, 1, 3)):
        now = utc_now()
        with transaction():
            db.session.execute(
                update(RailBackfill).values(looked_at=now - timedelta(minutes=looked))
            )
            db.session.execute(update(RailEvent).values(received_at=now - timedelta(minutes=heard)))
        jobs.look_after()
        assert len(asked) == expected, (looked, heard)


def test_a_rail_without_callbacks_of_its_own_is_refused(client: Client) -> None:
    with pytest.raises(Conflict, match="rail_keeps_no_callbacks"):
        backfill.run("demo")
