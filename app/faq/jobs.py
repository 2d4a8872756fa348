"""Queue entry points."""

from app.faq import service
from app.transactions import transaction


def purge_searches() -> None:
    """Forget old search texts: they may hold what somebody did not mean to leave here."""
    with transaction():
        service.purge_searches()
