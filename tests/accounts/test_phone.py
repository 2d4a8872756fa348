"""A phone number: given, confirmed by a code, sealed, and as good as the address for an account."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, text

from app.accounts import codes, queries, second_factor, service, tokens
from app.accounts.models import AuditEntry, User
from app.accounts.phone import rules
from app.accounts.phone import service as phone
from app.accounts.phone.service import PhoneAttempt
from app.adapters.messages import Letter, Verdict
from app.adapters.messages.sms import SmsGateway
from app.config import current_config, load_config, use_config
from app.db import Base, db, utc_now
from app.errors import ConfigError, Conflict, Forbidden, InvalidInput, TooManyTries
from app.notifications import jobs as notifications
from app.notifications.models import OutboxMessage
from app.notifications.queries import CaughtMail, caught_mails
from app.transactions import transaction
from tests.accounts.people import PASSWORD, log_in, mails, make_person, work_off
from tests.at_once import at_once
from tests.client import Client
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")

Login = Callable[[User], Client]
NUMBER = "+5511999990000"
TYPED = "+55 (11) 99999-0000"
HERE = "192.0.2.1"


@pytest.fixture
def configure() -> Iterator[Callable[..., None]]:
    before = current_config()

    def change(**values: Any) -> None:
        use_config(replace(before, **values))

    yield change
    use_config(before)


def messages() -> list[CaughtMail]:
    return [one for one in caught_mails() if one.channel == "sms"]


def digits() -> str:
    found = re.match(r"\d{6}\b", messages()[0].body)
    assert found is not None
    return found.group()


def ask(user_id: int, number: str = NUMBER, address: str = HERE) -> PhoneAttempt:
    with transaction():
        return phone.ask(user_id, number, address)


def confirm(user_id: int, attempt: PhoneAttempt, code: str) -> bool:
    with transaction():
        return phone.confirm(user_id, attempt, code, HERE)


def own(user_id: int) -> tuple[str, bool]:
    db.session.expire_all()
    found = queries.own_profile(user_id)
    return found.phone, found.phone_confirmed_at is not None


# --- the pages ------------------------------------------------------------------------------------


def test_an_account_is_confirmed_by_phone_instead_of_by_mail(client: Client) -> None:
    user = make_person(confirmed=False)
    log_in(client)
    assert "Confirm by phone" in client.get("/profile").text
    assert "not confirmed yet" in client.get("/dashboard").text
    assert client.post_form("/settings/phone", {"phone": TYPED}).location == (
        "/settings/phone/confirm"
    )
    assert messages()[0].recipient == NUMBER
    page = client.get("/settings/phone/confirm").text
    assert "+55…\u206000" in page
    assert NUMBER not in page
    assert client.post_form("/settings/phone/confirm", {"code": digits()}).location == "/profile"
    page = client.get("/profile").text
    assert "confirmed by phone" in page
    assert "confirmed by e-mail" not in page
    assert "not confirmed yet" not in client.get("/dashboard").text
    db.session.expire_all()
    assert db.session.get_one(User, user.id).is_confirmed
    assert mails()[0].template == "phone_changed"


def test_a_confirmed_person_shows_both(client: Client) -> None:
    user = make_person()
    confirm(user.id, ask(user.id), digits())
    log_in(client)
    page = client.get("/profile").text
    assert "confirmed by phone" in page
    assert "confirmed by e-mail" in page


def test_changing_the_number_needs_a_fresh_proof(login_as: Login) -> None:
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False) as clock:
        user = make_person()
        client = login_as(user)
        clock.shift(timedelta(minutes=10, seconds=1))
        for answer in (
            client.get("/settings/phone"),
            client.post_form("/settings/phone", {"phone": NUMBER}),
            client.post_form("/settings/phone/remove"),
        ):
            assert answer.location.startswith("/prove?next=")
        assert messages() == []
        client.post_form("/prove", {"password": PASSWORD})
        client.post_form("/settings/phone", {"phone": NUMBER})
        assert len(messages()) == 1


def test_a_number_is_removed(login_as: Login) -> None:
    user = make_person()
    confirm(user.id, ask(user.id), digits())
    client = login_as(user)
    for _ in range(2):
        assert client.post_form("/settings/phone/remove").location == "/profile"
    assert own(user.id) == ("", False)


def test_without_a_gateway_in_production_only_mail_is_possible(
    login_as: Login, configure: Callable[..., None]
) -> None:
    user = make_person()
    client = login_as(user)
    configure(environment="production")
    assert not phone.own_phone(user.id).is_offered
    configure(environment="testing", sms_url=None)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("app.accounts.phone.service", "app.accounts.routes"):
            patch.setattr(f"{module}.texts_can_leave", lambda: False)
        assert "confirmed by e-mail only" in client.get("/profile").text
        assert "confirmed by e-mail only" in client.get("/settings/phone").text
        assert client.post_form("/settings/phone", {"phone": TYPED}).location == "/profile"
    assert own(user.id) == (NUMBER, False)
    assert messages() == []


@pytest.mark.parametrize(
    "typed",
    few(["", "12345", "call me", "+", "+1", "+" + "1" * 30, "+999123456789", "5511999990000",
     "a\0b", "+55 11 99999-0000\0", "😀", "\u202e+5511999990000", "+" * 10_000,
     "+442071838750", "+19005550123", "+5511999990000;ext=1" + "9" * 30], 4),
)  # fmt: skip
def test_what_is_no_mobile_number_is_refused_at_its_field(login_as: Login, typed: str) -> None:
    user = make_person()
    client = login_as(user)
    answer = client.post_form("/settings/phone", {"phone": typed})
    assert answer.status_code in (400, 422)
    assert messages() == []
    assert own(user.id) == ("", False)


def test_numbers_are_stored_in_one_way() -> None:
    for typed in (NUMBER, TYPED, " +55 11 999990000 ", "+55-11-99999-0000"):
        assert rules.checked_for_texts(typed) == NUMBER
    with pytest.raises(InvalidInput, match="phone_takes_no_texts"):
        rules.checked_for_texts("+442071838750")
    assert rules.checked("+442071838750") == "+442071838750"


# --- codes ----------------------------------------------------------------------------------------


def test_a_code_works_once_for_ten_minutes_and_five_tries() -> None:
    user = make_person()
    attempt = ask(user.id)
    good = digits()
    wrong = "000000" if good != "000000" else "111111"
    for _ in range(codes.MAX_TRIES):
        assert not confirm(user.id, attempt, wrong)
    assert not confirm(user.id, attempt, good)
    assert own(user.id) == ("", False)
    later = utc_now() + timedelta(minutes=2)
    with time_machine.travel(later, tick=False) as clock:
        attempt = _after_the_pause(user.id)
        good = digits()
        clock.shift(codes.LIFE)
        assert not confirm(user.id, attempt, good)
        attempt = _after_the_pause(user.id)
        assert confirm(user.id, attempt, digits())
        assert not confirm(user.id, attempt, digits())
    assert own(user.id) == (NUMBER, True)


def _after_the_pause(user_id: int) -> PhoneAttempt:
    from app.accounts import limits

    limits.forget(limits.PHONE_RESEND, str(user_id))
    return ask(user_id)


def test_a_code_of_somebody_else_or_for_something_else_does_not_fit() -> None:
    ada, eve = make_person(), make_person(email="eve@example.org")
    attempt = ask(ada.id)
    assert not confirm(eve.id, attempt, digits())
    with transaction():
        mail_code, mail_digits = codes.issue(eve.id, codes.CONFIRM_EMAIL)
    assert not confirm(eve.id, PhoneAttempt(mail_code, ""), mail_digits)
    assert own(eve.id) == ("", False)


def test_a_new_code_ends_the_one_before() -> None:
    user = make_person()
    first, good = ask(user.id), digits()
    second = _after_the_pause(user.id)
    assert not confirm(user.id, first, good)
    assert confirm(user.id, second, digits())


def test_of_parallel_uses_one_succeeds(app: Flask) -> None:
    user_id = make_person().id
    attempt, good = ask(user_id), digits()
    assert sorted(at_once(app, 5, lambda _: confirm(user_id, attempt, good)))[-2:] == [False, True]


def test_messages_are_capped_per_minute_person_number_and_address() -> None:
    from app.accounts import limits

    people = [make_person(email=f"p{number}@example.org").id for number in range(30)]
    ask(people[0])
    with pytest.raises(TooManyTries):
        ask(people[0])
    for _ in range(4):
        _after_the_pause(people[0])
    limits.forget(limits.PHONE_RESEND, str(people[0]))
    # Five a day to a number, whoever asks; five a day for a person, to whichever number.
    with pytest.raises(TooManyTries):
        ask(people[1])
    with pytest.raises(TooManyTries):
        ask(people[0], "+5511999990001")
    sent = 0
    with pytest.raises(TooManyTries):
        for number, person in enumerate(people[2:]):
            ask(person, f"+55119999901{number:02}", "198.51.100.9")
            sent += 1
    assert sent == limits.PHONE_FROM_ADDRESS.count


# --- what is stored -------------------------------------------------------------------------------


def test_no_dump_log_line_or_job_holds_the_number_or_the_code(
    caplog: pytest.LogCaptureFixture, configure: Callable[..., None]
) -> None:
    user = make_person()
    with caplog.at_level(logging.DEBUG):
        attempt = ask(user.id)
        code = digits()
        confirm(user.id, attempt, code)
    db.session.rollback()
    dump = "\n".join(
        row
        for table in Base.metadata.sorted_tables
        for row in db.session.scalars(
            text(f"select row_to_json(t)::text from {table.name} t")  # noqa: S608 - our own names
        )
    )
    lines = "\n".join(record.getMessage() for record in caplog.records if "sql" not in record.name)
    for hidden in (NUMBER, NUMBER[1:], "99999", code):
        assert hidden not in dump, hidden
        assert hidden not in lines, hidden
    assert "+55…00" in dump


def test_asking_and_confirming_stand_in_the_trail_without_the_number() -> None:
    user = make_person()
    confirm(user.id, ask(user.id), digits())
    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [one.action for one in entries] == ["accounts.phone_asked", "accounts.phone_confirmed"]
    assert all(one.before is None and one.after is None for one in entries)


# --- whose account it is --------------------------------------------------------------------------


def test_who_proves_the_address_takes_an_account_that_another_confirmed_by_phone() -> None:
    """Nobody keeps somebody else's address by a phone of their own."""
    squatter = service.NewPerson("ada@example.org", "squatters own words")
    with transaction():
        service.register(squatter)
    user = queries.user_by_email("ada@example.org")
    assert user is not None
    confirm(user.id, ask(user.id), digits())
    user_id = user.id
    # No second factor and no token could lock the owner of the mailbox out.
    with pytest.raises(Forbidden), transaction():
        second_factor.begin(user_id)
    wish = tokens.Wish("x", ("bots:read",), 30, tokens.new_form_key())
    with pytest.raises(Forbidden), transaction():
        tokens.create_token(user_id, wish, "squatters own words")
    with transaction():
        code = codes.issue_for_link(user_id, codes.RESET_PASSWORD)
    from app.accounts import credentials

    with transaction():
        credentials.reset_password(code, PASSWORD, HERE)
    db.session.expire_all()
    assert db.session.get_one(User, user_id).has_proved_mail


def test_a_mailed_code_of_before_ends_what_the_squatter_has_set() -> None:
    with transaction():
        service.register(service.NewPerson("ada@example.org", "squatters own words"))
    with transaction():
        waiting = service.register(service.NewPerson("ada@example.org", PASSWORD))
    code = re.search(r"\b\d{6}\b", mails()[0].body)
    assert code is not None
    user = queries.user_by_email("ada@example.org")
    assert user is not None
    confirm(user.id, ask(user.id), digits())
    with transaction():
        assert service.confirm(waiting, code.group()) is not None
    assert own(user.id) == ("", False)
    with pytest.raises(InvalidInput), transaction():
        service.authenticate("ada@example.org", "squatters own words", HERE)


def test_the_number_that_alone_confirms_an_account_stays(login_as: Login) -> None:
    user = make_person(confirmed=False)
    confirm(user.id, ask(user.id), digits())
    with pytest.raises(Conflict, match="phone_confirms_account"), transaction():
        phone.remove(user.id, HERE)
    client = login_as(user)
    assert client.get("/confirm").status_code == 200
    client.post_form("/confirm/resend")
    code = re.search(r"\b\d{6}\b", mails()[0].body)
    assert code is not None
    client.post_form("/confirm", {"code": code.group()})
    with transaction():
        phone.remove(user.id, HERE)
    assert own(user.id) == ("", False)


# --- the gateway ----------------------------------------------------------------------------------


class _Gateway(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200
    seen: ClassVar[list[tuple[dict[str, Any], dict[str, str]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((body, dict(self.headers)))
        self.send_response(self.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.send_response(405)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def gateway() -> Iterator[str]:
    _Gateway.seen.clear()
    _Gateway.status = 200
    with HTTPServer(("127.0.0.1", 0), _Gateway) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/send"
        server.shutdown()
        thread.join(5)


def test_a_worker_hands_the_message_to_the_gateway(
    gateway: str, configure: Callable[..., None]
) -> None:
    user = make_person()
    configure(sms_url=gateway, sms_token="planted-token")
    ask(user.id)
    assert work_off() == ["app.notifications.jobs.deliver_message"]
    ((body, headers),) = _Gateway.seen
    assert body["to"] == NUMBER
    assert re.match(r"\d{6} ", body["text"])
    assert headers["Authorization"] == "Bearer planted-token"
    assert headers["Idempotency-Key"] == body["reference"]
    (row,) = db.session.scalars(select(OutboxMessage).where(OutboxMessage.channel == "sms"))
    assert row.state == "sent"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, Verdict.SENT), (202, Verdict.SENT), (302, Verdict.REFUSED), (401, Verdict.REFUSED),
     (422, Verdict.REFUSED), (429, Verdict.LATER), (500, Verdict.LATER), (503, Verdict.LATER)],
)  # fmt: skip
def test_the_answer_of_the_gateway_is_judged(gateway: str, status: int, verdict: Verdict) -> None:
    _Gateway.status = status
    channel = SmsGateway(gateway, None, "Botyard", 2)
    letter = Letter(NUMBER, "", "text", "en", "botyard-1-1", "sms")
    assert channel.send(letter).verdict is verdict
    assert len(_Gateway.seen) == 1
    assert channel.check().verdict is Verdict.SENT


def test_a_gateway_that_is_away_is_asked_again_but_not_after_the_code_has_died(
    configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    user = make_person()
    configure(sms_url="http://127.0.0.1:1/send", sms_token="planted-token", sms_timeout_s=1)
    ask(user.id)
    work_off()
    (row,) = db.session.scalars(select(OutboxMessage).where(OutboxMessage.channel == "sms"))
    assert (row.state, row.error) == ("pending", "sms_unreachable")
    row_id = row.id
    with time_machine.travel(utc_now() + timedelta(minutes=11)):
        notifications.deliver_message(row_id)
    db.session.expire_all()
    row = db.session.get_one(OutboxMessage, row_id)
    assert (row.state, row.error) == ("failed", "sms_too_late")
    assert "planted-token" not in caplog.text
    assert NUMBER not in caplog.text


def test_the_address_of_the_gateway_has_to_be_safe(environment: dict[str, str]) -> None:
    strict = {**environment, "BOTYARD_ENV": "production", "BASE_URL": "https://x.example"}
    assert load_config({**strict, "SMS_URL": "https://sms.example/send"}).sms_url
    for environ, url in (
        (strict, "http://sms.example/send"),
        (strict, "http://127.0.0.1:1/send"),
        (environment, "http://sms.example/send"),
        (environment, "file:///etc/passwd"),
    ):
        with pytest.raises(ConfigError, match="not_https"):
            load_config({**environ, "SMS_URL": url})


def test_the_catcher_shows_text_messages_beside_mails(
    client: Client, configure: Callable[..., None]
) -> None:
    user = make_person()
    ask(user.id)
    configure(environment="development")
    page = client.get("/dev/mail").text
    assert "Text message" in page
    assert NUMBER in page
