"""Queue entry points of the outbox."""

from app.adapters.messages import Channel
from app.adapters.messages.email import EmailChannel
from app.adapters.messages.sms import SmsGateway
from app.config import Config, current_config
from app.notifications import service
from app.transactions import transaction


def deliver_message(message_id: int) -> None:
    """Try once to deliver a message; server or gateway is asked outside any transaction."""
    with transaction():
        letter = service.claim(message_id)
    channel = _channel(current_config(), letter.channel) if letter is not None else None
    if letter is None or channel is None:
        return
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


def _channel(config: Config, name: str) -> Channel | None:
    """Return what carries a message; None when nothing is set for it (any more)."""
    if name == service.EMAIL and config.smtp_url:
        return EmailChannel(config.smtp_url, config.mail_from)
    if name == service.SMS and config.sms_url:
        return SmsGateway(config.sms_url, config.sms_token, config.sms_sender, config.sms_timeout_s)
    return None
