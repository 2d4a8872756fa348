"""The outbox: a message is a row of the transaction that causes it, and leaves after the commit."""

import logging
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import delete, or_, select, text

from app.adapters.messages import Delivery, Letter, Verdict
from app.config import Config, current_config
from app.db import db, utc_now
from app.notifications.mails import render_mail, render_text
from app.notifications.models import MessageState, OutboxMessage
from app.notifications.sealing import open_text, recipient_of, seal_text
from app.queues import QueueName, enqueue_once
from app.transactions import after_commit

log = logging.getLogger(__name__)

DELIVER_JOB = "app.notifications.jobs.deliver_message"
# Somebody else may take the message over when its worker has not come back after this.
LEASE = timedelta(minutes=2)
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))
KEPT_FOR = timedelta(days=30)
# What goes to somebody who has no account any more stays no longer than it needs.
KEPT_FOR_LEAVERS = timedelta(days=1)
BATCH = 100
EMAIL, SMS = "email", "sms"
TEXT_LIFE = timedelta(minutes=10)


class Recipient(Protocol):
    """Who gets a message: `accounts` hands its users in. Without a number it is nobody's here."""

    @property
    def id(self) -> int | None: ...

    @property
    def email(self) -> str: ...

    @property
    def language(self) -> str: ...


def send_mail(user: Recipient, template: str, **values: Any) -> int:
    """Put a mail into the outbox, in the person's language; return its id."""
    subject, body = render_mail(template, user.language, values)
    message_id = _next_id()
    message = OutboxMessage(
        id=message_id,
        user_id=user.id,
        channel=EMAIL,
        recipient=user.email,
        template=template,
        language=user.language,
        sealed_subject=seal_text(message_id, "sealed_subject", subject),
        sealed_body=seal_text(message_id, "sealed_body", body),
    )
    return _put(message)


def send_text(user: Recipient, number: str, template: str, **values: Any) -> int:
    """Put a text message to a number (E.164) into the outbox; return its id.

    It leaves within ten minutes or not at all.
    """
    body = render_text(template, user.language, values)
    message_id = _next_id()
    message = OutboxMessage(
        id=message_id,
        user_id=user.id,
        channel=SMS,
        recipient=masked_number(number),
        sealed_recipient=seal_text(message_id, "sealed_recipient", number),
        template=template,
        language=user.language,
        sealed_subject=seal_text(message_id, "sealed_subject", ""),
        sealed_body=seal_text(message_id, "sealed_body", body),
    )
    return _put(message)


def masked_number(number: str) -> str:
    """Return enough of a number to recognise it, not to call it."""
    return f"{number[:3]}…{number[-2:]}"


def texts_can_leave() -> bool:
    """Tell whether text messages are possible here: sent by a gateway, or caught."""
    return _resting_place(current_config(), SMS) != (MessageState.FAILED, "no_sms_gateway")


def _put(message: OutboxMessage) -> int:
    message_id = message.id
    resting = _resting_place(current_config(), message.channel)
    state, error = resting or (MessageState.PENDING, None)
    message.state, message.error, message.next_try_at = state.value, error, utc_now()
    db.session.add(message)
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
    resting = _resting_place(current_config(), message.channel)
    if resting is None and _comes_too_late(message):
        resting = (MessageState.FAILED, "sms_too_late")
    if resting is not None:
        message.state, message.error = resting[0].value, resting[1]
        return None
    message.tries += 1
    message.next_try_at = utc_now() + LEASE
    return Letter(
        channel=message.channel,
        recipient=recipient_of(message),
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
    now = utc_now()
    is_old = OutboxMessage.created_at < now - KEPT_FOR
    is_leavers = OutboxMessage.user_id.is_(None) & (
        OutboxMessage.created_at < now - KEPT_FOR_LEAVERS
    )
    db.session.execute(
        delete(OutboxMessage).where(
            or_(is_old, is_leavers), OutboxMessage.state != MessageState.PENDING.value
        )
    )


def _comes_too_late(message: OutboxMessage) -> bool:
    # A code that arrives after its life only confuses.
    return message.channel == SMS and utc_now() - message.created_at > TEXT_LIFE


def _resting_place(config: Config, channel: str) -> tuple[MessageState, str | None] | None:
    """Return where messages stay when nothing carries them; None when something does."""
    carrier, missing = {
        EMAIL: (config.smtp_url, "no_mail_server"),
        SMS: (config.sms_url, "no_sms_gateway"),
    }[channel]
    if carrier:
        return None
    if config.is_production:
        return MessageState.FAILED, missing
    return MessageState.CAUGHT, None


def _next_id() -> int:
    query = text("select nextval(pg_get_serial_sequence(:table, 'id'))")
    return int(db.session.execute(query, {"table": OutboxMessage.__tablename__}).scalar_one())
