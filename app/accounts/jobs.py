"""Queue entry points of accounts."""

from app.accounts import audit, credentials, queries
from app.notifications.service import send_mail
from app.transactions import transaction


def mail_reset_link(user_id: int) -> None:
    """Mail a person the link with which a forgotten password is changed."""
    with transaction():
        credentials.mail_reset_link(user_id)


def warn_of_reuse(user_id: int) -> None:
    """Tell a person that a session was ended because somebody may hold a copy of its cookies."""
    with transaction():
        user = queries.find_user(user_id)
        if user is not None:
            audit.record("accounts.session_reused", "user", user_id)
            send_mail(user, "session_reused")
