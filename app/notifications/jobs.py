"""Queue entry points of the outbox."""

from app.adapters.messages import Channel
from app.adapters.messages.email import EmailChannel
from app.config import current_config
from app.notifications import service
from app.transactions import transaction


def deliver_message(message_id: int) -> None:
    """Try once to deliver a message; the mail server is asked outside any transaction."""
    config = current_config()
    with transaction():
        letter = service.claim(message_id)
    if letter is None or not config.smtp_url:
        return
    channel: Channel = EmailChannel(config.smtp_url, config.mail_from)
    delivery = channel.send(letter)
    with transaction():
        service.settle(message_id, delivery)


def deliver_waiting() -> None:
    """Enqueue every message that is due: those that waited for Redis, a worker or a pause."""
    with transaction():
        service.forget_old_messages()
        due = service.due_messages()
    for message_id in due:
        service.enqueue_delivery(message_id)
