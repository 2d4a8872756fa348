"""The outbox: a message is a row of the transaction that causes it, and leaves after the commit."""

import logging
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import delete, select, text

from app.adapters.messages import Delivery, Letter, Verdict
from app.config import Config, current_config
from app.db import db, utc_now
from app.notifications.mails import render_mail
from app.notifications.models import MessageState, OutboxMessage
from app.notifications.sealing import open_text, seal_text
from app.queues import QueueName, enqueue_once
from app.transactions import after_commit

log = logging.getLogger(__name__)

DELIVER_JOB = "app.notifications.jobs.deliver_message"
# Somebody else may take the message over when its worker has not come back after this.
LEASE = timedelta(minutes=2)
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))
KEPT_FOR = timedelta(days=30)
BATCH = 100


class Recipient(Protocol):
    """Who gets a message: `accounts` hands its users in."""

    @property
    def id(self) -> int: ...

    @property
    def email(self) -> str: ...

    @property
    def language(self) -> str: ...


def send_mail(user: Recipient, template: str, **values: Any) -> int:
    """Put a mail into the outbox, in the person's language; return its id."""
    config = current_config()
    subject, body = render_mail(template, user.language, values)
    message_id = _next_id()
    state, error = _resting_place(config) or (MessageState.PENDING, None)
    db.session.add(
        OutboxMessage(
            id=message_id,
            user_id=user.id,
            recipient=user.email,
            template=template,
            language=user.language,
            sealed_subject=seal_text(message_id, "sealed_subject", subject),
            sealed_body=seal_text(message_id, "sealed_body", body),
            state=state.value,
            error=error,
            next_try_at=utc_now(),
        )
    )
    db.session.flush()
    if state is MessageState.PENDING:
        after_commit(lambda: enqueue_delivery(message_id))
    return message_id


def enqueue_delivery(message_id: int) -> bool:
    """Ask a worker to deliver; with Redis down the sweep asks again later."""
    return enqueue_once(QueueName.MESSAGES, DELIVER_JOB, message_id, key=f"mail-{message_id}")


def claim(message_id: int) -> Letter | None:
    """Take a due message for one try; None when it is not due, done, or in other hands."""
    message = db.session.scalar(
        select(OutboxMessage)
        .where(
            OutboxMessage.id == message_id,
            OutboxMessage.state == MessageState.PENDING.value,
            OutboxMessage.next_try_at <= utc_now(),
        )
        .with_for_update(skip_locked=True)
    )
    if message is None:
        return None
    config = current_config()
    resting = _resting_place(config)
    if resting is not None:
        message.state, message.error = resting[0].value, resting[1]
        return None
    message.tries += 1
    message.next_try_at = utc_now() + LEASE
    return Letter(
        recipient=message.recipient,
        subject=open_text(message, "sealed_subject"),
        body=open_text(message, "sealed_body"),
        language=message.language,
        reference=f"botyard-{message.id}-{int(message.created_at.timestamp())}",
    )


def settle(message_id: int, delivery: Delivery) -> None:
    """Write down what became of a try: sent, again after a growing pause, or given up."""
    message = db.session.get(OutboxMessage, message_id, with_for_update=True)
    if message is None or message.state != MessageState.PENDING.value:
        return
    message.error = delivery.reason or None
    if delivery.verdict is Verdict.SENT:
        message.state, message.sent_at = MessageState.SENT.value, utc_now()
    elif delivery.verdict is Verdict.REFUSED or message.tries > len(PAUSES):
        message.state = MessageState.FAILED.value
        log.warning("mail_failed message=%s reason=%s", message_id, delivery.reason)
    else:
        message.next_try_at = utc_now() + PAUSES[message.tries - 1]


def due_messages(limit: int = BATCH) -> list[int]:
    """Return ids of messages whose next try is due, the oldest first."""
    return list(
        db.session.scalars(
            select(OutboxMessage.id)
            .where(
                OutboxMessage.state == MessageState.PENDING.value,
                OutboxMessage.next_try_at <= utc_now(),
            )
            .order_by(OutboxMessage.next_try_at)
            .limit(limit)
        )
    )


def forget_old_messages() -> None:
    """Delete what was settled long ago: texts with codes in them need not stay."""
    db.session.execute(
        delete(OutboxMessage).where(
            OutboxMessage.created_at < utc_now() - KEPT_FOR,
            OutboxMessage.state != MessageState.PENDING.value,
        )
    )


def _resting_place(config: Config) -> tuple[MessageState, str | None] | None:
    """Return where messages stay when there is no mail server; None when there is one."""
    if config.smtp_url:
        return None
    if config.is_production:
        return MessageState.FAILED, "no_mail_server"
    return MessageState.CAUGHT, None


def _next_id() -> int:
    query = text("select nextval(pg_get_serial_sequence(:table, 'id'))")
    return int(db.session.execute(query, {"table": OutboxMessage.__tablename__}).scalar_one())
