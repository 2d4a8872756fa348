"""Opening, answering and closing tickets; everything that is sent twice is done once."""

from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert

from app.accounts import audit, limits, queries
from app.accounts.limits import Limit
from app.bots.queries.names import named_bots
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.notifications.service import send_mail
from app.notifications.stream import hint
from app.support.models import Ticket, TicketMessage, TicketNote
from app.support.queries import LARGEST_ID
from app.support.rules import Act, State, following, known_topic, tidy_subject, tidy_text
from app.transactions import after_commit

NEW_TICKETS = Limit("support-tickets", 10, 3600)
MESSAGES = Limit("support-messages", 60, 3600)


@dataclass(frozen=True, slots=True)
class Draft:
    """A ticket as its form sends it."""

    key: str
    subject: str
    topic: str
    text: str
    bot_id: int | None = None


def open_ticket(user_id: int, draft: Draft) -> int:
    """Open a ticket and return its number; the same form again is the same ticket."""
    subject, text = tidy_subject(draft.subject), tidy_text(draft.text)
    topic = known_topic(draft.topic)
    if draft.bot_id is not None and draft.bot_id not in {bot.id for bot in named_bots(user_id)}:
        raise InvalidInput("ticket_bot", field="bot")
    made = db.session.scalar(_with_key(user_id, draft.key))
    if made is not None:
        return made
    limits.spend(NEW_TICKETS, str(user_id))
    now = utc_now()
    row = insert(Ticket).values(
        user_id=user_id,
        key=draft.key,
        subject=subject,
        topic=topic.value,
        state=State.OPEN.value,
        bot_id=draft.bot_id,
        waiting_since=now,
        updated_at=now,
    )
    # The same form sent at the same moment: the later one waits here for the earlier one.
    row = row.on_conflict_do_nothing(index_elements=[Ticket.user_id, Ticket.key])
    ticket_id: int | None = db.session.scalar(row.returning(Ticket.id))
    if ticket_id is None:
        return db.session.execute(_with_key(user_id, draft.key)).scalar_one()
    _add_message(ticket_id, user_id, draft.key, text)
    after_commit(lambda: hint(user_id, "tickets"))
    return ticket_id


def write(user_id: int, ticket_id: int, key: str, text: str) -> None:
    """Add a message of the customer; a closed ticket is open again."""
    text = tidy_text(text)
    ticket = _own(user_id, ticket_id)
    if _is_told(TicketMessage, ticket_id, key):
        return
    limits.spend(MESSAGES, str(user_id))
    _add_message(ticket_id, user_id, key, text)
    _move(ticket, Act.WRITE)


def close(user_id: int, ticket_id: int) -> None:
    """Close an own ticket; one that is closed stays so."""
    _close(_own(user_id, ticket_id))


def answer(actor_id: int, ticket_id: int, key: str, text: str) -> None:
    """Answer a customer, who gets a mail; the ticket becomes that of who answers first."""
    text = tidy_text(text)
    ticket = _locked(ticket_id)
    if _is_told(TicketMessage, ticket_id, key):
        return
    person = queries.user_by_id(ticket.user_id)
    if person.erased_at is not None:
        raise Conflict("ticket_person_left")
    before = ticket.state
    _add_message(ticket_id, actor_id, key, text, from_staff=True)
    ticket.assignee_id = ticket.assignee_id or actor_id
    _move(ticket, Act.ANSWER)
    send_mail(person, "ticket_answered", ticket_id=ticket_id)
    _note_down("support.answered", actor_id, ticket, before)


def note(actor_id: int, ticket_id: int, key: str, text: str) -> None:
    """Keep a note that only staff see."""
    text = tidy_text(text)
    ticket = _locked(ticket_id)
    if _is_told(TicketNote, ticket_id, key):
        return
    db.session.add(TicketNote(ticket_id=ticket_id, author_id=actor_id, key=key, text=text))
    audit.record("support.noted", "ticket", ticket.id, actor_id=actor_id)


def assign(actor_id: int, ticket_id: int, assignee_id: int | None) -> None:
    """Let somebody of the staff, or nobody, look after a ticket."""
    ticket = _locked(ticket_id)
    if ticket.assignee_id == assignee_id:
        return
    before, ticket.assignee_id = ticket.assignee_id, assignee_id
    audit.record(
        "support.assigned",
        "ticket",
        ticket.id,
        actor_id=actor_id,
        before={"assignee": before},
        after={"assignee": assignee_id},
    )


def close_as_staff(actor_id: int, ticket_id: int) -> None:
    """Close anybody's ticket; one that is closed stays so."""
    ticket = _locked(ticket_id)
    before = ticket.state
    if _close(ticket):
        _note_down("support.closed", actor_id, ticket, before)


def _close(ticket: Ticket) -> bool:
    if ticket.state == State.CLOSED.value:
        return False
    _move(ticket, Act.CLOSE)
    return True


def _move(ticket: Ticket, act: Act) -> None:
    """Set the state and the times that follow from it, and tell the customer's open pages."""
    state, now = following(State(ticket.state), act), utc_now()
    if state is State.OPEN:
        ticket.waiting_since = ticket.waiting_since or now
    else:
        ticket.waiting_since = None
    ticket.closed_at = now if state is State.CLOSED else None
    if act is not Act.CLOSE:
        ticket.updated_at = now
    ticket.state = state.value
    user_id, topic = ticket.user_id, f"ticket:{ticket.id}"
    after_commit(lambda: hint(user_id, topic, "tickets"))


def _note_down(action: str, actor_id: int, ticket: Ticket, before: str) -> None:
    audit.record(
        action,
        "ticket",
        ticket.id,
        actor_id=actor_id,
        before={"state": before},
        after={"state": ticket.state},
    )


def _own(user_id: int, ticket_id: int) -> Ticket:
    ticket = _locked(ticket_id)
    if ticket.user_id != user_id:
        raise NotFound("unknown_ticket")
    return ticket


def _locked(ticket_id: int) -> Ticket:
    query = select(Ticket).where(Ticket.id == ticket_id).with_for_update()
    # What was read of it before the lock may be old.
    query = query.execution_options(populate_existing=True)
    ticket = db.session.scalar(query) if 0 < ticket_id <= LARGEST_ID else None
    if ticket is None:
        raise NotFound("unknown_ticket")
    return ticket


def _with_key(user_id: int, key: str) -> Select[int]:
    return select(Ticket.id).where(Ticket.user_id == user_id, Ticket.key == key)


def _is_told(kind: type[TicketMessage | TicketNote], ticket_id: int, key: str) -> bool:
    """Tell whether this form has been taken already; ask under the lock of its ticket."""
    query = select(kind.id).where(kind.ticket_id == ticket_id, kind.key == key)
    return db.session.scalar(query) is not None


def _add_message(
    ticket_id: int, author_id: int, key: str, text: str, *, from_staff: bool = False
) -> None:
    db.session.add(
        TicketMessage(
            ticket_id=ticket_id, author_id=author_id, from_staff=from_staff, key=key, text=text
        )
    )
