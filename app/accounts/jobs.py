"""Queue entry points of accounts."""

from app.accounts import credentials
from app.transactions import transaction


def mail_reset_link(user_id: int) -> None:
    """Mail a person the link with which a forgotten password is changed."""
    with transaction():
        credentials.mail_reset_link(user_id)
