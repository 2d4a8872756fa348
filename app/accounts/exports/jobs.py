"""Queue entry points of the files in which people take their data away."""

import logging

from app.accounts.exports import orders
from app.accounts.exports.writing import write_file
from app.errors import LimitReached
from app.transactions import transaction

log = logging.getLogger(__name__)


def build_export(export_id: int) -> None:
    """Build one file; killed in the middle it is built again, under the same name."""
    with transaction():
        work = orders.claim(export_id)
    if work is None:
        return
    try:
        with transaction():
            size = write_file(work.path, work.user_id)
    except LimitReached as error:
        with transaction():
            orders.fail(export_id, error.code)
        return
    except OSError as error:
        log.warning("export_not_written export=%s error=%s", export_id, type(error).__name__)
        with transaction():
            orders.put_back(export_id)
        return
    with transaction():
        orders.finish(export_id, size)


def tidy_exports() -> None:
    """Remove files whose time is over, and let those be built that no worker has in hands."""
    with transaction():
        orders.expire()
        waiting = orders.unfinished()
    for export_id in waiting:
        orders.enqueue(export_id)
