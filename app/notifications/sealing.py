"""Subjects and bodies are sealed in the outbox: codes and names stand in them."""

from app.config import current_config
from app.encryption import Binding
from app.notifications.models import OutboxMessage


def seal_text(message_id: int, column: str, plain: str) -> str:
    """Seal a text for one column of one message."""
    return current_config().key_ring.seal(plain.encode(), _binding(message_id, column))


def open_text(message: OutboxMessage, column: str) -> str:
    """Open the subject or the body of a message; raise DecryptionError when it was moved."""
    sealed: str = getattr(message, column)
    return current_config().key_ring.open(sealed, _binding(message.id, column)).decode()


def recipient_of(message: OutboxMessage) -> str:
    """Return to whom a message goes: a number is sealed, a mail's address is not."""
    if message.sealed_recipient is None:
        return message.recipient
    return open_text(message, "sealed_recipient")


def _binding(message_id: int, column: str) -> Binding:
    # One owner for all: a mail may go to somebody who has no account (any more).
    return Binding(OutboxMessage.__tablename__, column, message_id, "outbox")
