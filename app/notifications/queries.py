"""Reads of the outbox."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from app.config import current_config
from app.db import db
from app.notifications.models import MessageState, OutboxMessage
from app.notifications.sealing import open_text, recipient_of


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """A mail or text message that stayed here because nothing is set that carries it."""

    id: int
    channel: str
    recipient: str
    subject: str
    body: str
    template: str
    language: str
    created_at: datetime


def caught_mails(limit: int = 50) -> list[CaughtMail]:
    """Return the newest caught mails with their texts; in production always none."""
    if current_config().is_production:
        return []
    messages = db.session.scalars(
        select(OutboxMessage)
        .where(OutboxMessage.state == MessageState.CAUGHT.value)
        .order_by(OutboxMessage.id.desc())
        .limit(limit)
    )
    return [_open(message) for message in messages]


def _open(message: OutboxMessage) -> CaughtMail:
    return CaughtMail(
        id=message.id,
        channel=message.channel,
        recipient=recipient_of(message),
        subject=open_text(message, "sealed_subject"),
        body=open_text(message, "sealed_body"),
        template=message.template,
        language=message.language,
        created_at=message.created_at,
    )
