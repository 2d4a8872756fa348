"""Reads of tickets: a customer's own, and the queue of the staff."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from app.accounts.models import User
from app.bots.models import Bot
from app.db import db
from app.errors import NotFound
from app.listing.paging import PAGE_SIZE, Slice, offset_of
from app.listing.waiting import Waiting
from app.support.models import Ticket, TicketMessage, TicketNote
from app.support.rules import State

LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TicketCard:
    """A ticket as a list shows it."""

    id: int
    subject: str
    topic: str
    state: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """What one side wrote; `author` is an address for the eyes of staff."""

    from_staff: bool
    text: str
    at: datetime
    author: str


@dataclass(frozen=True, slots=True)
class Thread:
    """A ticket with all messages, the oldest first."""

    card: TicketCard
    bot: tuple[int, str] | None
    messages: tuple[Message, ...]

    @property
    def is_closed(self) -> bool:
        return self.card.state == State.CLOSED.value


@dataclass(frozen=True, slots=True)
class Note:
    """What staff wrote for staff."""

    text: str
    at: datetime
    author: str


@dataclass(frozen=True, slots=True)
class DeskTicket:
    """A ticket as staff see it."""

    thread: Thread
    user_id: int
    email: str
    language: str
    assignee_id: int | None
    assignee: str | None
    waiting_since: datetime | None
    notes: tuple[Note, ...]


def own_tickets(user_id: int, number: int) -> Slice[TicketCard]:
    """Return a page of a person's own tickets, what moved last first."""
    own = Ticket.user_id == user_id
    total = db.session.scalar(select(func.count()).select_from(Ticket).where(own)) or 0
    rows = db.session.scalars(
        select(Ticket)
        .where(own)
        .order_by(Ticket.updated_at.desc(), Ticket.id.desc())
        .limit(PAGE_SIZE)
        .offset(offset_of(number))
    )
    return Slice(tuple(map(_card, rows)), number, total)


def own_ticket(user_id: int, ticket_id: int) -> Thread:
    """Return a person's own ticket; raise NotFound for any other."""
    ticket = _ticket(ticket_id)
    if ticket.user_id != user_id:
        raise NotFound("unknown_ticket")
    return _thread(ticket)


def any_ticket(ticket_id: int) -> DeskTicket:
    """Return a ticket with the notes of staff; raise NotFound."""
    ticket = _ticket(ticket_id)
    person = db.session.get_one(User, ticket.user_id)
    assignee = db.session.get(User, ticket.assignee_id) if ticket.assignee_id else None
    notes = db.session.execute(
        select(TicketNote.text, TicketNote.at, User.email)
        .join(User, User.id == TicketNote.author_id)
        .where(TicketNote.ticket_id == ticket.id)
        .order_by(TicketNote.id)
    )
    return DeskTicket(
        thread=_thread(ticket),
        user_id=person.id,
        email=person.email,
        language=person.language,
        assignee_id=ticket.assignee_id,
        assignee=assignee.email if assignee else None,
        waiting_since=ticket.waiting_since,
        notes=tuple(Note(*row) for row in notes),
    )


def waiting() -> Waiting:
    """Return how many tickets wait for staff, and since when."""
    query = select(func.count(), func.min(Ticket.waiting_since))
    count, oldest = db.session.execute(query.where(Ticket.state == State.OPEN.value)).one()
    return Waiting(count, oldest)


def _ticket(ticket_id: int) -> Ticket:
    ticket = db.session.get(Ticket, ticket_id) if 0 < ticket_id <= LARGEST_ID else None
    if ticket is None:
        raise NotFound("unknown_ticket")
    return ticket


def _thread(ticket: Ticket) -> Thread:
    messages = db.session.execute(
        select(TicketMessage.from_staff, TicketMessage.text, TicketMessage.at, User.email)
        .join(User, User.id == TicketMessage.author_id)
        .where(TicketMessage.ticket_id == ticket.id)
        .order_by(TicketMessage.id)
    )
    return Thread(_card(ticket), _bot(ticket), tuple(Message(*row) for row in messages))


def _bot(ticket: Ticket) -> tuple[int, str] | None:
    bot = db.session.get(Bot, ticket.bot_id) if ticket.bot_id else None
    return (bot.id, bot.name) if bot is not None and bot.deleted_at is None else None


def _card(ticket: Ticket) -> TicketCard:
    return TicketCard(
        id=ticket.id,
        subject=ticket.subject,
        topic=ticket.topic,
        state=ticket.state,
        created_at=ticket.created_at,
        updated_at=ticket.updated_at,
    )
