"""Queue entry points."""

import logging

from app.subscriptions import rights
from app.transactions import transaction

log = logging.getLogger(__name__)


def end_expired() -> None:
    """Close plans whose end has come, each by itself; what fails stops no other.

    Raises the last failure, once all have had their turn.
    """
    failed: Exception | None = None
    with transaction():
        people = rights.with_expired()
    for user_id in people:
        try:
            with transaction():
                rights.end_expired(user_id)
        except Exception as error:
            log.exception("plan_not_ended user=%s error=%s", user_id, type(error).__name__)
            failed = error
    if failed is not None:
        raise failed
