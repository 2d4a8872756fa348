import pytest
from flask import Flask

from app.subscriptions import queries, service
from app.transactions import transaction
from tests.clock import Clock
from tests.subscriptions.kept.world import Person


@pytest.fixture
def clock(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def person(database: None, clock: Clock) -> Person:
    """A customer of a house that sells its plans."""
    with transaction():
        service.seed_plans()
    clock.pass_(days=1)
    return Person(clock)


@pytest.fixture
def trial(person: Person) -> Person:
    """Pro may be tried for two weeks."""
    with transaction():
        pro = queries.plans_on_offer()[1]
        service.change_plan(None, "pro", pro, visible=True, trial_days=14)
    return person
