"""People with tickets."""

from app.accounts.models import Role, User
from app.db import db
from app.support import service
from app.transactions import transaction
from tests.factories import make_user

QUESTION = "Why does my bot wait?"


def make_customer(language: str = "en") -> User:
    """Add a customer who reads this language."""
    user = make_user()
    user.profile.language = language
    db.session.commit()
    return user


def make_staff(role: Role = Role.SUPPORT) -> User:
    """Add somebody of the staff."""
    user = make_user(role)
    db.session.commit()
    return user


def open_ticket(user_id: int, key: str = "first", **changes: object) -> int:
    """Open a ticket as its form would."""
    values: dict[str, object] = {
        "key": key, "subject": "A question", "topic": "bots", "text": QUESTION,
    }  # fmt: skip
    draft = service.Draft(**{**values, **changes})  # type: ignore[arg-type]
    with transaction():
        return service.open_ticket(user_id, draft)


def answer(staff_id: int, ticket_id: int, text: str = "It waits for its price.") -> None:
    """Answer a ticket; each text once."""
    with transaction():
        service.answer(staff_id, ticket_id, text, text)
