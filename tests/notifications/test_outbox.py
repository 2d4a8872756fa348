"""The outbox: written with its cause, delivered once, tried again, given up with a reason."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from rq import Queue
from sqlalchemy import select, text

from app.adapters.messages import Delivery, Verdict
from app.config import current_config, use_config
from app.db import db, utc_now
from app.encryption import DecryptionError
from app.extensions import redis_client
from app.notifications import jobs, service
from app.notifications.models import MessageState, OutboxMessage
from app.notifications.queries import caught_mails
from app.notifications.sealing import open_text
from app.queues import QueueName, queue
from app.transactions import transaction
from tests.at_once import at_once
from tests.factories import make_user
from tests.notifications.mail_server import MailServer, mail_server

VALUES = {"code": "482913", "minutes": 10}


@pytest.fixture
def server(app: Flask, database: None) -> Iterator[MailServer]:
    """Run the app with a mail server."""
    with mail_server() as running, changed_config(smtp_url=running.url):
        yield running


class changed_config:
    """Change the configuration of the process for a while."""

    def __init__(self, **changes: Any) -> None:
        self.before = current_config()
        self.changes = changes

    def __enter__(self) -> None:
        use_config(replace(self.before, **self.changes))

    def __exit__(self, *_: object) -> None:
        use_config(self.before)


def send(language: str = "en") -> int:
    user = make_user()
    user.profile.language = language
    db.session.commit()
    with transaction():
        return service.send_mail(user, "confirm_email", **VALUES)


def message(message_id: int) -> OutboxMessage:
    db.session.expire_all()
    return db.session.get_one(OutboxMessage, message_id)


def make_due(message_id: int) -> None:
    message(message_id).next_try_at = utc_now()
    db.session.commit()


def messages_queue() -> Queue:
    return queue(QueueName.MESSAGES)


def test_a_mail_leaves_after_the_commit(server: MailServer) -> None:
    message_id = send()
    assert messages_queue().job_ids == [f"mail-{message_id}"]
    jobs.deliver_message(message_id)
    stored = message(message_id)
    assert (stored.state, stored.tries, stored.error) == (MessageState.SENT.value, 1, None)
    assert stored.sent_at is not None
    (mail,) = server.mails
    assert "482913" in mail["Subject"]
    assert "482913" in mail.get_content()


def test_a_rolled_back_cause_sends_nothing(server: MailServer) -> None:
    user = make_user()
    db.session.commit()
    with pytest.raises(RuntimeError, match="stop"), transaction():
        service.send_mail(user, "confirm_email", **VALUES)
        raise RuntimeError("stop")
    assert messages_queue().job_ids == []
    assert db.session.scalars(select(OutboxMessage)).all() == []


def test_a_job_that_runs_twice_sends_once(server: MailServer) -> None:
    message_id = send()
    jobs.deliver_message(message_id)
    jobs.deliver_message(message_id)
    assert len(server.raw) == 1


def test_parallel_workers_send_once(app: Flask, server: MailServer) -> None:
    message_id = send()
    at_once(app, 5, lambda _: jobs.deliver_message(message_id))
    assert len(server.raw) == 1
    assert message(message_id).tries == 1


def test_job_arguments_hold_only_the_id(server: MailServer) -> None:
    message_id = send()
    (job,) = messages_queue().jobs
    assert list(job.args) == [message_id]
    assert job.func_name == "app.notifications.jobs.deliver_message"


def test_a_failed_try_waits_longer_each_time_and_is_given_up_at_the_end(
    server: MailServer,
) -> None:
    message_id = send()
    server.answers["RCPT"] = "451 greylisted"
    pauses = []
    for _ in service.PAUSES:
        jobs.deliver_message(message_id)
        stored = message(message_id)
        assert (stored.state, stored.error) == ("pending", "mail_recipient_refused")
        pauses.append(stored.next_try_at - utc_now())
        jobs.deliver_message(message_id)
        assert message(message_id).tries == stored.tries
        make_due(message_id)
    assert pauses == sorted(pauses)
    assert pauses[0] > timedelta(seconds=50)
    jobs.deliver_message(message_id)
    assert message(message_id).state == MessageState.FAILED.value
    assert server.raw == []


def test_what_can_never_arrive_is_given_up_at_once(server: MailServer) -> None:
    message_id = send()
    server.answers["RCPT"] = "550 no such user"
    jobs.deliver_message(message_id)
    stored = message(message_id)
    assert (stored.state, stored.error) == ("failed", "mail_recipient_refused")


def test_the_next_try_succeeds_and_clears_the_error(server: MailServer) -> None:
    message_id = send()
    server.answers["MAIL"] = "421 busy"
    jobs.deliver_message(message_id)
    server.answers.clear()
    make_due(message_id)
    jobs.deliver_message(message_id)
    stored = message(message_id)
    assert (stored.state, stored.error, stored.tries) == ("sent", None, 2)


def test_a_worker_that_died_while_sending_is_followed_by_another(server: MailServer) -> None:
    message_id = send()
    with transaction():
        assert service.claim(message_id) is not None
    with transaction():
        assert service.claim(message_id) is None
        assert service.due_messages() == []
    make_due(message_id)
    jobs.deliver_message(message_id)
    assert message(message_id).state == "sent"


def test_a_mail_written_while_redis_was_down_leaves_with_the_sweep(server: MailServer) -> None:
    url = redis_client.url
    redis_client.configure("redis://127.0.0.1:1/0")
    try:
        message_id = send()
    finally:
        redis_client.configure(url)
    assert message(message_id).state == "pending"
    assert messages_queue().job_ids == []
    jobs.deliver_waiting()
    assert messages_queue().job_ids == [f"mail-{message_id}"]
    jobs.deliver_waiting()
    assert messages_queue().job_ids == [f"mail-{message_id}"]


def test_without_mail_server_a_mail_is_caught(database: None) -> None:
    message_id = send()
    assert message(message_id).state == MessageState.CAUGHT.value
    (caught,) = caught_mails()
    assert (caught.id, caught.template) == (message_id, "confirm_email")
    assert "482913" in caught.body
    assert messages_queue().job_ids == []


def test_in_production_without_mail_server_a_mail_fails_with_the_reason(database: None) -> None:
    with changed_config(environment="production"):
        message_id = send()
        assert caught_mails() == []
    stored = message(message_id)
    assert (stored.state, stored.error) == ("failed", "no_mail_server")


def test_a_mail_server_that_was_taken_away_leaves_a_reason(server: MailServer) -> None:
    message_id = send()
    with changed_config(smtp_url=None, environment="production"):
        jobs.deliver_message(message_id)
    stored = message(message_id)
    assert (stored.state, stored.error) == ("failed", "no_mail_server")


def test_production_never_shows_caught_mails(database: None) -> None:
    send()
    with changed_config(environment="production"):
        assert caught_mails() == []
    assert len(caught_mails()) == 1


def test_subject_and_body_are_not_readable_in_the_database(database: None) -> None:
    send()
    dump = str(db.session.execute(text("select * from outbox")).all())
    assert "confirm_email" in dump
    assert "482913" not in dump


def test_a_body_moved_to_another_message_does_not_open(database: None) -> None:
    first, second = message(send()), message(send())
    second.sealed_body = first.sealed_body
    assert "482913" in open_text(first, "sealed_body")
    with pytest.raises(DecryptionError):
        open_text(second, "sealed_body")


def test_old_messages_are_forgotten_but_never_those_that_wait(server: MailServer) -> None:
    old, new, waiting = send(), send(), send()
    for message_id in (old, new):
        jobs.deliver_message(message_id)
    for message_id in (old, waiting):
        message(message_id).created_at = utc_now() - timedelta(days=31)
        db.session.commit()
    jobs.deliver_waiting()
    assert set(db.session.scalars(select(OutboxMessage.id))) == {new, waiting}


def test_settling_an_unknown_or_settled_message_changes_nothing(server: MailServer) -> None:
    message_id = send()
    jobs.deliver_message(message_id)
    with transaction():
        service.settle(message_id, Delivery(Verdict.LATER, "mail_refused"))
        service.settle(2**40, Delivery(Verdict.SENT))
    assert message(message_id).state == "sent"
    jobs.deliver_message(2**40)


def test_redis_holds_no_text_of_a_mail(server: MailServer, redis_db: Redis) -> None:
    send()
    dump = ""
    for name in redis_db.keys("rq:job:*"):
        if redis_db.type(name) == b"hash":
            dump += str(redis_db.hgetall(name))
    assert "deliver_message" in dump
    assert "482913" not in dump
