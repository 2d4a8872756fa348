"""The pages on which customers ask and read, and the desk on which staff answer."""

from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.accounts.models import Role, User
from app.db import db
from app.support import queries, service
from app.support.models import Ticket
from app.transactions import transaction
from tests.client import Client
from tests.factories import make_bot
from tests.long import few
from tests.support.world import QUESTION, answer, make_customer, make_staff, open_ticket

Login = Callable[[User], Client]
KEY = "0123456789abcdef" * 2

pytestmark = pytest.mark.usefixtures("database")


def ask(client: Client, **changes: object) -> TestResponse:
    form = {
        "key": KEY, "subject": "A question", "topic": "bots", "bot": "", "text": QUESTION,
    }  # fmt: skip
    return client.post_form("/support/new", {**form, **changes})


def say(client: Client, path: str, text: str, prefix: str = "") -> TestResponse:
    return client.post_form(path, {f"{prefix}key": KEY, f"{prefix}text": text})


def only_ticket() -> Ticket:
    db.session.expire_all()
    return db.session.query(Ticket).one()


def test_a_customer_asks_reads_the_answer_writes_again_and_closes(login_as: Login) -> None:
    user, staff = make_customer(), make_staff()
    bot = make_bot(user)
    client = login_as(user)
    assert "No tickets" in client.get("/support").text
    assert bot.name in client.get("/support/new").text
    sent = ask(client, bot=str(bot.id))
    page = f"/support/{only_ticket().id}"
    assert (sent.status_code, sent.headers["Location"]) == (303, page)
    shown = client.get(page).text
    assert QUESTION in shown and "Waits for our answer" in shown and bot.name in shown
    answer(staff.id, only_ticket().id, "It waits for its price.")
    part = client.get(page, headers={"HX-Request": "true"}).text
    assert "It waits for its price." in part and "<html" not in part
    assert staff.email not in client.get(page).text, "customers write to the support, not to Eve"
    assert "Answered" in client.get("/support", headers={"HX-Request": "true"}).text
    assert say(client, page, "Thank you").status_code == 303
    assert client.post_form(f"{page}/close").status_code == 303
    assert client.post_form(f"{page}/close").status_code == 303
    closed = client.get(page).text
    assert "The ticket is closed" in closed and "Close the ticket" not in closed
    assert client.get("/faq").text.count("/support/new") >= 1


def test_a_form_sent_twice_is_one_message(login_as: Login) -> None:
    client = login_as(make_customer())
    first, second = ask(client), ask(client)
    assert first.headers["Location"] == second.headers["Location"]
    page = first.headers["Location"]
    other_key = {"key": "f" * 32, "text": "More"}
    for _ in range(2):
        assert client.post_form(page, other_key).status_code == 303
    assert client.get(page).text.count("More</p>") == 1


def test_markup_in_a_message_is_shown_as_it_was_typed(login_as: Login) -> None:
    user, staff = make_customer(), make_staff()
    evil = "<script>alert(1)</script> {{ 7*7 }} %(x)s"
    ticket_id = open_ticket(user.id, subject=evil, text=evil)
    pages = [(login_as(user), "/support"), (login_as(user), f"/support/{ticket_id}")]
    desk = login_as(staff)
    pages += [(desk, "/admin/tickets/"), (desk, f"/admin/tickets/page?id={ticket_id}")]
    for client, path in pages:
        html = client.get(path).text
        assert "<script>alert" not in html and "&lt;script&gt;alert" in html, path
        assert "{{ 7*7 }}" in html, path


@pytest.mark.parametrize(
    "wrong",
    few([
        {"text": ""}, {"text": "a\0b"}, {"text": "x" * 5001}, {"subject": " "},
        {"subject": "x" * 151}, {"topic": "nothing"}, {"bot": "999999"}, {"bot": "x"},
        {"key": "short"}, {"key": KEY + "\n"},
    ], 3),
)  # fmt: skip
def test_what_is_wrong_is_said_and_what_was_typed_stays(
    login_as: Login, wrong: dict[str, str]
) -> None:
    client = login_as(make_customer())
    refused = ask(client, **wrong)
    assert refused.status_code == 422
    assert 'id="form-summary"' in refused.text
    if "text" not in wrong:
        assert QUESTION in refused.text
    assert db.session.query(Ticket).count() == 0


def test_more_than_a_person_may_send_is_refused_with_a_word(login_as: Login) -> None:
    user = make_customer()
    client = login_as(user)
    for number in range(service.NEW_TICKETS.count):
        open_ticket(user.id, str(number))
    refused = ask(client)
    assert refused.status_code == 422
    assert QUESTION in refused.text, "what was typed is not lost"


def test_who_has_not_confirmed_may_ask(login_as: Login) -> None:
    user = make_customer()
    user.confirmed_at = None
    db.session.commit()
    assert ask(login_as(user)).status_code == 303


def test_the_desk_shows_who_has_waited_longest_first(login_as: Login) -> None:
    user, staff = make_customer(), make_staff()
    ids = [open_ticket(user.id, str(n), subject=f"Number {n} of them") for n in range(3)]
    answer(staff.id, ids[0])
    desk = login_as(staff)
    html = desk.get("/admin/tickets/").text
    places = [html.index(f"Number {n} of them") for n in (1, 2, 0)]
    assert places == sorted(places)
    waiting = desk.get("/admin/tickets/?flt0_state_equals=open").text
    assert "Number 1 of them" in waiting and "Number 0 of them" not in waiting
    mine = desk.get(f"/admin/tickets/?flt0_in_the_hands_of_equals={staff.id}").text
    assert "Number 0 of them" in mine and "Number 1 of them" not in mine
    home = desk.get("/admin/").text
    assert "Tickets without an answer" in home


def test_staff_answer_note_take_and_close_at_the_desk(login_as: Login) -> None:
    user, staff = make_customer(), make_staff()
    ticket_id = open_ticket(user.id)
    desk, page = login_as(staff), f"/admin/tickets/page?id={ticket_id}"
    shown = desk.get(page).text
    assert QUESTION in shown and user.email in shown
    at = f"?id={ticket_id}"
    assert say(desk, f"/admin/tickets/note{at}", "Of the inside", "note-").status_code == 303
    for _ in range(2):
        sent = say(desk, f"/admin/tickets/answer{at}", "It waits.", "answer-")
        assert (sent.status_code, sent.headers["Location"]) == (303, page)
    shown = desk.get(page).text
    assert shown.count("It waits.</p>") == 1 and shown.count("Of the inside</p>") == 1
    assert "Let it go" in shown, "who answers has it in hand"
    assert desk.post_form(f"/admin/tickets/assign{at}").status_code == 303
    assert only_ticket().assignee_id is None
    assert desk.post_form(f"/admin/tickets/assign{at}", {"to": "me"}).status_code == 303
    assert only_ticket().assignee_id == staff.id
    for _ in range(2):
        assert desk.post_form(f"/admin/tickets/close{at}").status_code == 303
    assert only_ticket().state == "closed"
    customers = login_as(user).get(f"/support/{ticket_id}").text
    assert "It waits." in customers and "Of the inside" not in customers


def test_a_wrong_answer_is_shown_again_with_its_words(login_as: Login) -> None:
    ticket_id = open_ticket(make_customer().id)
    desk = login_as(make_staff())
    for name in ("answer", "note"):
        path = f"/admin/tickets/{name}?id={ticket_id}"
        refused = say(desk, path, "kept words\0", f"{name}-")
        assert refused.status_code == 422
        assert "kept words" in refused.text
        assert say(desk, path, "", f"{name}-").status_code == 422
    assert len(queries.any_ticket(ticket_id).thread.messages) == 1


@pytest.mark.parametrize("number", few(["0", "-1", "x", "", "999999", str(2**63), "9" * 400], 3))
def test_a_ticket_that_is_not_there_is_not_found(login_as: Login, number: str) -> None:
    desk = login_as(make_staff())
    assert desk.get(f"/admin/tickets/page?id={number}").status_code == 404
    for act in ("answer", "note"):
        path = f"/admin/tickets/{act}?id={number}"
        assert say(desk, path, "x", f"{act}-").status_code in (303, 404)
    for act in ("assign", "close"):
        assert desk.post_form(f"/admin/tickets/{act}?id={number}").status_code == 404


def test_customers_and_visitors_do_not_see_the_desk(
    app: Flask, client: Client, login_as: Login
) -> None:
    ticket_id = open_ticket(make_customer().id)
    stranger = login_as(make_customer())
    for path in ("/admin/tickets/", f"/admin/tickets/page?id={ticket_id}"):
        assert stranger.get(path).status_code == 404
        assert "/login" in client.get(path).headers["Location"]
    for act in ("answer", "note", "assign", "close"):
        assert stranger.post_form(f"/admin/tickets/{act}?id={ticket_id}").status_code == 404


def test_a_person_made_support_sees_it_at_once_answers_tickets_and_gets_403_on_prices(
    login_as: Login,
) -> None:
    """ACC-09: the role is given at the desk; the same pages refuse before and answer after."""
    customer, colleague = make_customer(), make_customer()
    administrator = make_staff(Role.ADMIN)
    ticket_id = open_ticket(customer.id)
    before = login_as(colleague)
    page = f"/admin/tickets/page?id={ticket_id}"
    assert (before.get(page).status_code, before.get("/admin/prices/").status_code) == (404, 404)
    given = login_as(administrator).post_form(
        f"/admin/users/role?id={colleague.id}", {"role": "support", "reason": "joins the support"}
    )
    assert given.status_code == 302
    assert before.get("/dashboard").status_code == 302, "the old session has ended"
    now = login_as(db.session.get_one(User, colleague.id))
    assert "/admin/" in now.get("/dashboard").text
    assert now.get("/admin/tickets/").status_code == 200
    assert now.get(page).status_code == 200
    assert now.get("/admin/prices/").status_code == 403
    assert say(now, f"/admin/tickets/answer?id={ticket_id}", "Hello", "answer-").status_code == 303
    assert "Hello" in login_as(customer).get(f"/support/{ticket_id}").text
    granted = login_as(administrator).post_form(
        f"/admin/users/role?id={colleague.id}", {"role": "customer", "reason": "has left"}
    )
    assert granted.status_code == 302
    gone = login_as(db.session.get_one(User, colleague.id))
    assert gone.get(page).status_code == 404


def test_staff_who_look_at_a_customer_s_pages_do_not_write_for_them(login_as: Login) -> None:
    customer, staff = make_customer(), make_staff()
    desk = login_as(staff)
    begun = desk.post_form(f"/admin/users/act-as?id={customer.id}", {"reason": "a question"})
    assert begun.status_code in (302, 303)
    assert ask(desk).status_code == 403
    assert db.session.query(Ticket).count() == 0


def test_a_ticket_without_its_bot_is_still_a_ticket(login_as: Login) -> None:
    user = make_customer()
    bot = make_bot(user)
    db.session.commit()
    ticket_id = open_ticket(user.id, bot_id=bot.id)
    with transaction():
        bot.deleted_at = bot.created_at
    assert login_as(user).get(f"/support/{ticket_id}").status_code == 200
    assert login_as(make_staff()).get(f"/admin/tickets/page?id={ticket_id}").status_code == 200
