"""Callbacks over HTTP like a stranger's, and a worker that dies in the middle of applying one."""

import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from werkzeug.serving import make_server

from app import config as configuration
from app.accounts.models import User
from app.db import db
from app.payments import drain, jobs
from app.payments.demo import jobs as demo_jobs
from app.payments.demo import provider
from tests.client import Client
from tests.factories import make_user
from tests.payments import world
from tests.payments.world import deliver, issue, open_page, pay, state_of

Login = Callable[[User], Client]
ALIVE = 9


@pytest.fixture
def user(database: None) -> User:
    return make_user()


@pytest.fixture
def client(user: User, login_as: Login) -> Client:
    return login_as(user)


@pytest.fixture
def site(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the app on a port and tell everybody that this is its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    present = dataclasses.replace(configuration.current_config(), base_url=address)
    monkeypatch.setattr(configuration._Current, "config", present)
    yield address
    server.shutdown()
    thread.join(30)
    server.server_close()


def test_the_provider_delivers_over_http_until_it_is_heard(
    user: User, client: Client, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice_id = issue(user.id)
    pay(client, open_page(client, invoice_id))
    with monkeypatch.context() as patch:
        nowhere = dataclasses.replace(configuration.current_config(), base_url="http://127.0.0.1:9")
        patch.setattr(configuration._Current, "config", nowhere)
        assert demo_jobs.deliver_events() == 0
    assert provider.due_events() == [], "each waits a while for its next try"
    with db.engine.begin() as connection:
        connection.exec_driver_sql("update demo_events set due_at = now()")
    assert demo_jobs.deliver_events() == 2
    assert demo_jobs.deliver_events() == 0
    assert jobs.drain_events() == 2
    assert state_of(invoice_id) == "paid"


@pytest.mark.chaos
def test_a_worker_that_dies_in_the_middle_applies_a_callback_once(
    user: User, client: Client
) -> None:
    invoice_id = issue(user.id)
    pay(client, open_page(client, invoice_id))
    sent = world.outbox()
    deliver(client, sent)
    for _ in range(2):
        assert _end_of_a_dying_worker() == -signal.SIGKILL
        assert state_of(invoice_id) == "open"
        assert world.postings() == [] and world.payments() == []
        assert {event.state for event in world.events()} == {"received"}
    assert jobs.drain_events() == len(sent)
    assert state_of(invoice_id) == "paid"
    (payment,) = world.payments()
    assert world.postings() == [f"payment:{payment.id}:settled"]


def _end_of_a_dying_worker() -> int:
    """Let a process of its own apply callbacks; return how it ended.

    It dies after the ledger has its lines and the invoice its state, just before the commit.
    """
    db.session.remove()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        # The connections of the parent stay as they are.
        db.engine.dispose(close=False)
        drain._mark = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        jobs.drain_events()
    finally:
        os._exit(ALIVE)


def test_a_lost_callback_is_made_up_for_by_asking(user: User, client: Client) -> None:
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    jobs.look_at_checkouts()
    assert state_of(invoice_id) == "open"
    back = pay(client, page)
    world.outbox()
    assert client.post_form(f"{back}/check").status_code == 303
    assert state_of(invoice_id) == "paid"
    assert "The money has come" in client.get(back).text
    jobs.look_at_checkouts()
    assert len(world.postings()) == 1
