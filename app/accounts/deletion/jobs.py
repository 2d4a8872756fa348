"""Queue entry points of leaving."""

import logging

from app.accounts.deletion import erasing
from app.queues import QueueName, enqueue_once
from app.transactions import transaction

log = logging.getLogger(__name__)

ERASE_SECONDS = 30 * 60


def erase_due() -> None:
    """Let everybody be erased whose wait is over; who can't be yet is asked about again later."""
    with transaction():
        due = erasing.due_people()
    for user_id in due:
        key = f"erase-{user_id}"
        enqueue_once(QueueName.REPORTS, erase_person, user_id, key=key, timeout=ERASE_SECONDS)


def erase_person(user_id: int) -> None:
    """Go as far with a person's end as is possible now; any number of times."""
    outcome = erasing.erase(user_id)
    log.info("erase user=%s outcome=%s", user_id, outcome.value)
