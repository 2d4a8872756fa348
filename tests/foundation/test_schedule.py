"""Periodic jobs: one scheduler leads, a second does no harm, and nothing piles up."""

import time

import pytest
from flask import Flask
from redis import Redis

from app.queues import QueueName, queue
from app.schedule import LOCK, PERIODIC, LockedScheduler


@pytest.fixture
def scheduler(app: Flask, redis_db: Redis) -> LockedScheduler:
    """Return a scheduler on an empty Redis."""
    return LockedScheduler(redis_db)


def waiting() -> list[str]:
    """Return the functions of all waiting jobs."""
    names = []
    for name in QueueName:
        names += [str(job.func_name) for job in queue(name).jobs]
    return sorted(names)


def everything() -> list[str]:
    """Return the functions of the table."""
    return sorted(f"{entry.job.__module__}.{entry.job.__name__}" for entry in PERIODIC)


def test_every_job_of_the_table_is_enqueued_at_the_start(scheduler: LockedScheduler) -> None:
    scheduler.enqueue_jobs()
    assert waiting() == everything()


def test_names_are_unique_and_jobs_take_no_arguments() -> None:
    names = [entry.name for entry in PERIODIC]
    assert len(names) == len(set(names))
    assert all(entry.job.__code__.co_argcount == 0 for entry in PERIODIC)
    assert all(entry.seconds >= 1 for entry in PERIODIC)


def test_two_schedulers_enqueue_each_run_once(scheduler: LockedScheduler, redis_db: Redis) -> None:
    second = LockedScheduler(redis_db)
    scheduler.enqueue_jobs()
    assert second.enqueue_jobs() == []
    assert waiting() == everything()


def test_a_second_one_takes_over_when_the_first_resigns_or_dies(
    scheduler: LockedScheduler, redis_db: Redis
) -> None:
    second = LockedScheduler(redis_db)
    assert scheduler.lead()
    assert not second.lead()
    scheduler.resign()
    assert second.lead()
    assert not scheduler.lead()
    # A dead leader's lock ends by itself.
    assert 0 < redis_db.ttl(LOCK) <= 15
    redis_db.delete(LOCK)
    assert scheduler.lead()


def test_within_one_slot_a_job_is_taken_once_whoever_asks(
    scheduler: LockedScheduler, redis_db: Redis
) -> None:
    scheduler.enqueue_jobs()
    scheduler.resign()
    again = LockedScheduler(redis_db)
    again.enqueue_jobs()
    often = [name for name in waiting() if waiting().count(name) > 1]
    # Only the shortest slot may have passed meanwhile.
    assert set(often) <= {"app.bots.jobs.enqueue_due"}


def test_it_sleeps_less_than_its_lock_lasts(scheduler: LockedScheduler) -> None:
    scheduler.enqueue_jobs()
    assert 0 <= scheduler.calculate_sleep_interval() <= 5


def test_runs_that_nobody_came_for_fall_away(scheduler: LockedScheduler) -> None:
    scheduler.enqueue_jobs()
    for name in QueueName:
        for job in queue(name).jobs:
            assert job.ttl is not None
            assert job.result_ttl == 0


def test_the_sleep_is_over_when_the_next_job_is_due(scheduler: LockedScheduler) -> None:
    scheduler.enqueue_jobs()
    time.sleep(scheduler.calculate_sleep_interval())
    assert [job.name for job in scheduler.get_jobs() if job.should_run()] == ["enqueue-due"]
