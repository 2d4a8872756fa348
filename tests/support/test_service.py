"""Tickets move as the table says, each form counts once, and nobody reaches those of others."""

import json
import logging
from collections.abc import Callable

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.accounts.models import AuditEntry
from app.db import db
from app.errors import Conflict, InvalidInput, NotFound, TooManyTries
from app.listing.waiting import Waiting
from app.notifications.queries import caught_mails
from app.notifications.stream import channel
from app.support import queries, service
from app.support.models import Ticket, TicketMessage
from app.transactions import transaction
from tests.at_once import at_once
from tests.factories import make_bot
from tests.support.world import QUESTION, answer, make_customer, make_staff, open_ticket

pytestmark = pytest.mark.usefixtures("database")


def ticket(ticket_id: int) -> Ticket:
    db.session.expire_all()
    return db.session.get_one(Ticket, ticket_id)


def texts(user_id: int, ticket_id: int) -> list[str]:
    db.session.expire_all()
    return [message.text for message in queries.own_ticket(user_id, ticket_id).messages]


def write(user_id: int, ticket_id: int, said: str, key: str = "") -> None:
    with transaction():
        service.write(user_id, ticket_id, key or said, said)


def close(user_id: int, ticket_id: int) -> None:
    with transaction():
        service.close(user_id, ticket_id)


def test_a_new_ticket_waits_and_holds_what_was_asked() -> None:
    user = make_customer()
    bot = make_bot(user)
    db.session.commit()
    ticket_id = open_ticket(user.id, bot_id=bot.id)
    made = ticket(ticket_id)
    assert (made.state, made.topic, made.assignee_id) == ("open", "bots", None)
    assert made.waiting_since is not None
    thread = queries.own_ticket(user.id, ticket_id)
    assert [message.text for message in thread.messages] == [QUESTION]
    assert thread.bot == (bot.id, bot.name)


def test_the_turns_of_a_ticket() -> None:
    user, staff = make_customer(), make_staff()
    ticket_id = open_ticket(user.id)
    asked_at = ticket(ticket_id).waiting_since
    write(user.id, ticket_id, "And another thing")
    assert ticket(ticket_id).waiting_since == asked_at, "it waits since the first question"
    answer(staff.id, ticket_id)
    assert (ticket(ticket_id).state, ticket(ticket_id).waiting_since) == ("answered", None)
    close(user.id, ticket_id)
    closed_at = ticket(ticket_id).closed_at
    assert ticket(ticket_id).state == "closed" and closed_at is not None
    close(user.id, ticket_id)
    assert ticket(ticket_id).closed_at == closed_at
    write(user.id, ticket_id, "It waits again")
    again = ticket(ticket_id)
    assert (again.state, again.closed_at) == ("open", None)
    assert asked_at is not None and again.waiting_since is not None
    assert again.waiting_since > asked_at


def test_what_is_sent_twice_is_there_once(app: Flask) -> None:
    user, staff = make_customer(), make_staff()
    ticket_id = open_ticket(user.id, "k")
    assert open_ticket(user.id, "k", text="other words") == ticket_id
    user_id, staff_id = user.id, staff.id
    db.session.commit()

    def all_at_once(_: int) -> None:
        assert open_ticket(user_id, "parallel") > ticket_id
        write(user_id, ticket_id, "Once", "one key")
        with transaction():
            service.answer(staff_id, ticket_id, "answer key", "Answered once")

    at_once(app, 4, all_at_once)
    assert len(db.session.scalars(select(Ticket)).all()) == 2
    assert sorted(texts(user_id, ticket_id)) == ["Answered once", "Once", QUESTION]
    assert len(caught_mails()) == 1


def test_the_same_key_of_two_people_are_two_tickets() -> None:
    assert open_ticket(make_customer().id, "same") != open_ticket(make_customer().id, "same")


def test_tickets_of_others_do_not_exist() -> None:
    owner, stranger = make_customer(), make_customer()
    ticket_id = open_ticket(owner.id)
    acts: list[Callable[[], object]] = [
        lambda: queries.own_ticket(stranger.id, ticket_id),
        lambda: write(stranger.id, ticket_id, "mine now"),
        lambda: close(stranger.id, ticket_id),
    ]
    for number in (0, -1, ticket_id + 1, 2**63, 10**40):
        acts.append(lambda number=number: queries.own_ticket(owner.id, number))  # type: ignore[misc]
        acts.append(lambda number=number: close(owner.id, number))  # type: ignore[misc]
    for act in acts:
        with pytest.raises(NotFound, match="unknown_ticket"):
            act()
    assert texts(owner.id, ticket_id) == [QUESTION]
    assert queries.own_tickets(stranger.id, 1).total == 0


def test_only_an_own_bot_can_be_named() -> None:
    user, other = make_customer(), make_customer()
    foreign = make_bot(other)
    db.session.commit()
    for bot_id in (foreign.id, 0, -5, 2**62):
        with pytest.raises(InvalidInput, match="ticket_bot"):
            open_ticket(user.id, bot_id=bot_id)
    assert queries.own_tickets(user.id, 1).total == 0


def test_an_answer_is_mailed_in_the_customer_s_language_without_its_words() -> None:
    user, staff = make_customer("pt_BR"), make_staff()
    ticket_id = open_ticket(user.id, text="my dog is called Rex")
    answer(staff.id, ticket_id, "The code of your safe is 4711")
    (mail,) = caught_mails()
    assert (mail.recipient, mail.language, mail.template) == (
        user.email,
        "pt_BR",
        "ticket_answered",
    )
    assert f"/support/{ticket_id}" in mail.body
    assert not any(word in mail.subject + mail.body for word in ("4711", "Rex", "A question"))


def test_open_pages_are_told_of_an_answer(redis_db: Redis) -> None:
    user, staff = make_customer(), make_staff()
    ticket_id = open_ticket(user.id)
    listener = redis_db.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    listener.subscribe(channel(redis_db))
    listener.get_message(timeout=1)
    answer(staff.id, ticket_id)
    told = [listener.get_message(timeout=1) for _ in range(2)]
    hints = [json.loads(message["data"]) for message in told if message]
    assert hints == [
        {"user": user.id, "topic": f"ticket:{ticket_id}"}, {"user": user.id, "topic": "tickets"},
    ]  # fmt: skip
    listener.close()


def test_what_is_said_stands_in_no_log_and_no_audit(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    user, staff = make_customer(), make_staff()
    ticket_id = open_ticket(user.id, subject="Quokka", text="Quokka")
    answer(staff.id, ticket_id, "Quokka too")
    with transaction():
        service.note(staff.id, ticket_id, "n", "Quokka of the inside")
        service.assign(staff.id, ticket_id, None)
        service.close_as_staff(staff.id, ticket_id)
    entries = db.session.scalars(select(AuditEntry).where(AuditEntry.object_type == "ticket")).all()
    assert [(one.action, one.actor_id) for one in entries] == [
        ("support.answered", staff.id), ("support.noted", staff.id),
        ("support.assigned", staff.id), ("support.closed", staff.id),
    ]  # fmt: skip
    assert entries[0].after == {"state": "answered"}
    rows = db.session.scalars(text("select row_to_json(a)::text from audit_log a"))
    assert "Quokka" not in caplog.text + "".join(rows)


def test_who_answers_first_has_it_in_hand_and_may_let_it_go() -> None:
    user, first, second = make_customer(), make_staff(), make_staff()
    ticket_id = open_ticket(user.id)
    answer(first.id, ticket_id)
    answer(second.id, ticket_id, "And I add")
    assert ticket(ticket_id).assignee_id == first.id
    with transaction():
        service.assign(second.id, ticket_id, second.id)
    assert queries.any_ticket(ticket_id).assignee == second.email


def test_notes_are_of_the_inside() -> None:
    user, staff = make_customer(), make_staff()
    ticket_id = open_ticket(user.id)
    for _ in range(2):
        with transaction():
            service.note(staff.id, ticket_id, "n", "Calls three times a day")
    assert [one.text for one in queries.any_ticket(ticket_id).notes] == ["Calls three times a day"]
    assert texts(user.id, ticket_id) == [QUESTION]
    assert ticket(ticket_id).state == "open", "a note answers nobody"
    assert caught_mails() == []


def test_the_queue_counts_what_waits() -> None:
    user, staff = make_customer(), make_staff()
    assert queries.waiting() == Waiting(0, None)
    first, second = open_ticket(user.id, "a"), open_ticket(user.id, "b")
    assert queries.waiting() == Waiting(2, ticket(first).waiting_since)
    answer(staff.id, first)
    assert queries.waiting() == Waiting(1, ticket(second).waiting_since)


def test_nobody_floods_the_support() -> None:
    user = make_customer()
    ticket_id = open_ticket(user.id, "0")
    for number in range(1, service.NEW_TICKETS.count):
        open_ticket(user.id, str(number))
    with pytest.raises(TooManyTries):
        open_ticket(user.id, "one more")
    assert open_ticket(user.id, "0") == ticket_id, "what was taken is found, not counted"
    for number in range(service.MESSAGES.count):
        write(user.id, ticket_id, f"message {number}")
    with pytest.raises(TooManyTries):
        write(user.id, ticket_id, "one more")
    assert open_ticket(make_customer().id) > ticket_id


def test_who_has_left_is_not_written_to() -> None:
    user, staff = make_customer(), make_staff()
    ticket_id = open_ticket(user.id)
    db.session.execute(text("update users set erased_at = now() where id = :id"), {"id": user.id})
    db.session.commit()
    with pytest.raises(Conflict, match="ticket_person_left"):
        answer(staff.id, ticket_id)
    assert caught_mails() == []


def test_the_database_holds_the_states_to_their_times() -> None:
    ticket_id = open_ticket(make_customer().id)
    for change in ("state = 'closed'", "state = 'gone'", "waiting_since = null", "topic = 'x'"):
        with pytest.raises(IntegrityError), transaction():
            statement = f"update support_tickets set {change} where id = :id"  # noqa: S608 - ours
            db.session.execute(text(statement), {"id": ticket_id})
    assert len(db.session.scalars(select(TicketMessage)).all()) == 1
