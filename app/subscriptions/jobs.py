"""Queue entry points."""

from app.subscriptions import service
from app.transactions import transaction


def end_expired() -> None:
    """Close plans whose end has come, in small transactions, until none is left."""
    while True:
        with transaction():
            ended = service.end_expired()
        if not ended:
            return
