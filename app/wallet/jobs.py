"""Queue entry points."""

from app.transactions import transaction
from app.wallet import holds


def expire_holds() -> None:
    """Free what was held too long, in small transactions, until nothing is left."""
    while True:
        with transaction():
            ended = holds.expire_due()
        if not ended:
            return
