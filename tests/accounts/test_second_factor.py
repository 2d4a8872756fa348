"""The second factor: enrolment, log-in, recovery, staff, step-up."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from app.accounts import second_factor, service
from app.accounts.access import PROOF_SECONDS
from app.accounts.models import AuditEntry, RecoveryCode, Role, SecondFactor, User
from app.db import db
from app.errors import Conflict, Forbidden, InvalidInput, TooManyTries
from app.transactions import transaction
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    app_code,
    cookie_of,
    is_signed_in,
    log_in,
    mails,
    make_person,
    turn_factor_on,
)
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_exchange
from tests.long import few

PAGE = "/settings/second-factor"
RECOVERY = re.compile(r"\b(?:[A-Z2-9]{6}-){3}[A-Z2-9]{6}\b")
PAST_PROOF = timedelta(seconds=PROOF_SECONDS + 1)


@pytest.fixture
def noon() -> Iterator[time_machine.Traveller]:
    """Hold the clock in the middle of a half minute."""
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False) as clock:
        yield clock


def shown_secret(client: Client) -> str:
    found = re.search(r'value="([A-Z2-7]{32})"', client.get(PAGE).text)
    assert found is not None
    return found.group(1)


def enrol(client: Client) -> tuple[str, list[str]]:
    """Turn the factor on through the pages; return its secret and the recovery codes."""
    client.post_form(f"{PAGE}/begin")
    secret = shown_secret(client)
    answer = client.post_form(PAGE, {"code": app_code(secret)})
    assert answer.status_code == 200
    return secret, RECOVERY.findall(answer.text)[:10]


def second_step(client: Client, code: str) -> int:
    return client.post_form("/login/code", {"code": code}).status_code


# Enrolment --------------------------------------------------------------------------------------


def test_a_person_enrols_and_is_asked_for_the_code_from_then_on(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    make_person()
    log_in(client)
    secret, codes = enrol(client)
    assert len(set(codes)) == 10
    assert [mail.template for mail in mails()] == ["second_factor_on"]
    assert is_signed_in(client)
    other = new_client(app)
    answer = other.post_form("/login?next=/profile", {"email": EMAIL, "password": PASSWORD})
    assert answer.location == "/login/code?next=/profile"
    assert not is_signed_in(other)
    noon.shift(30)
    answer = other.post_form(answer.location, {"code": app_code(secret)})
    assert answer.location == "/profile"
    assert is_signed_in(other)


def test_the_page_shows_a_picture_that_apps_can_read(client: Client) -> None:
    user = make_person()
    log_in(client)
    client.post_form(f"{PAGE}/begin")
    page = client.get(PAGE).text
    assert 'src="data:image/svg+xml' in page
    with transaction():
        waiting = second_factor.waiting(user.id)
    assert waiting is not None
    assert waiting.uri == (
        f"otpauth://totp/Botyard:{EMAIL.replace('@', '%40')}?secret={waiting.secret}&issuer=Botyard"
    )


def test_opening_the_page_changes_nothing(client: Client) -> None:
    make_person()
    log_in(client)
    client.get(PAGE)
    assert db.session.scalar(select(func.count()).select_from(SecondFactor)) == 0


def test_a_secret_left_waiting_is_not_taken_up(client: Client) -> None:
    make_person()
    log_in(client)
    client.post_form(f"{PAGE}/begin")
    first = shown_secret(client)
    client.post_form(f"{PAGE}/begin")
    assert shown_secret(client) != first


def test_a_waiting_factor_is_not_asked_for(app: Flask, client: Client) -> None:
    make_person()
    log_in(client)
    client.post_form(f"{PAGE}/begin")
    assert log_in(new_client(app)) == 303
    other = new_client(app)
    log_in(other)
    assert is_signed_in(other)


@pytest.mark.parametrize(
    "code", few(["", "123", "abcdef", "\0", "😀", "0" * 5000, "１２３４５６"], 3)
)
def test_a_wrong_first_code_turns_nothing_on(client: Client, code: str) -> None:
    user = make_person()
    log_in(client)
    client.post_form(f"{PAGE}/begin")
    assert client.post_form(PAGE, {"code": code}).status_code == 422
    assert not second_factor.is_on(user.id)


def test_confirming_twice_shows_the_page_and_keeps_the_codes(
    client: Client, noon: time_machine.Traveller
) -> None:
    make_person()
    log_in(client)
    secret, _ = enrol(client)
    hashes = db.session.scalars(select(RecoveryCode.code_hash)).all()
    noon.shift(30)
    answer = client.post_form(PAGE, {"code": app_code(secret)})
    assert answer.location == PAGE
    assert db.session.scalars(select(RecoveryCode.code_hash)).all() == hashes


def test_an_unconfirmed_person_confirms_the_address_first(database: None) -> None:
    user = make_person(confirmed=False)
    with pytest.raises(Forbidden), transaction():
        second_factor.begin(user.id)


def test_the_secret_is_sealed_and_recovery_codes_are_hashed(
    client: Client, noon: time_machine.Traveller
) -> None:
    make_person()
    log_in(client)
    secret, codes = enrol(client)
    stored = db.session.scalars(select(SecondFactor)).one().sealed_secret
    hashes = " ".join(db.session.scalars(select(RecoveryCode.code_hash)))
    assert stored.startswith("v1:") and secret not in stored
    assert not any(code in hashes for code in codes)
    assert not any(code in client.get(PAGE).text for code in [*codes, secret])


# Log-in -----------------------------------------------------------------------------------------


def test_a_code_works_once(app: Flask, client: Client, noon: time_machine.Traveller) -> None:
    secret = turn_factor_on(make_person())
    log_in(client)
    assert second_step(client, app_code(secret)) == 303
    other = new_client(app)
    log_in(other)
    assert second_step(other, app_code(secret)) == 422
    # Neither does an older one that nobody used.
    assert second_step(other, app_code(secret, -1)) == 422
    assert second_step(other, app_code(secret, 1)) == 303


@pytest.mark.parametrize(("steps", "status"), [(-2, 422), (-1, 303), (0, 303), (1, 303), (2, 422)])
def test_a_clock_may_be_wrong_by_half_a_minute(
    client: Client, noon: time_machine.Traveller, steps: int, status: int
) -> None:
    secret = turn_factor_on(make_person())
    log_in(client)
    assert second_step(client, app_code(secret, steps)) == status


def test_of_parallel_uses_of_a_code_one_succeeds(
    app: Flask, database: None, noon: time_machine.Traveller
) -> None:
    user = make_person()
    user_id, code = user.id, app_code(turn_factor_on(user))

    def use(_: int) -> bool:
        try:
            with transaction():
                second_factor.check(user_id, code, "10.0.0.1")
        except InvalidInput:
            return False
        return True

    assert sum(at_once(app, 6, use)) == 1


def test_the_password_alone_opens_nothing(client: Client) -> None:
    turn_factor_on(make_person())
    log_in(client)
    for path in ("/dashboard", "/settings", "/profile", PAGE, "/prove"):
        assert client.get(path).location.startswith("/login"), path


def test_the_second_step_needs_the_first(client: Client, noon: time_machine.Traveller) -> None:
    secret = turn_factor_on(make_person())
    answer = client.post_form("/login/code", {"code": app_code(secret)})
    assert answer.location == "/login"
    log_in(client)
    noon.shift(timedelta(minutes=5, seconds=1))
    answer = client.post_form("/login/code", {"code": app_code(secret)})
    assert answer.location == "/login"


def test_a_new_password_ends_a_log_in_that_waits(
    client: Client, noon: time_machine.Traveller
) -> None:
    user = make_person()
    secret = turn_factor_on(user)
    log_in(client)
    noon.shift(1)
    user.sessions_from = user.created_at.fromtimestamp(time.time(), user.created_at.tzinfo)
    db.session.commit()
    assert second_step(client, app_code(secret)) == 422
    assert not is_signed_in(client)


def test_codes_are_not_to_be_guessed(client: Client, noon: time_machine.Traveller) -> None:
    secret = turn_factor_on(make_person())
    log_in(client)
    wrong = "000000" if app_code(secret) != "000000" else "111111"
    assert [second_step(client, wrong) for _ in range(11)] == [422] * 10 + [429]
    assert second_step(client, app_code(secret)) == 429
    noon.shift(timedelta(minutes=1))


def test_the_session_id_is_new_after_each_step(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    secret = turn_factor_on(make_person())
    client.get("/login")
    visitor = cookie_of(client)
    log_in(client)
    waiting = cookie_of(client)
    second_step(client, app_code(secret))
    assert len({visitor, waiting, cookie_of(client)}) == 3
    for old in (visitor, waiting):
        thief = new_client(app)
        thief.set_cookie("session", old or "")
        assert not is_signed_in(thief)


def test_a_log_in_is_written_down_after_the_second_step_only(
    client: Client, noon: time_machine.Traveller
) -> None:
    secret = turn_factor_on(make_person())
    query = select(AuditEntry.action).where(AuditEntry.action == "accounts.logged_in")
    log_in(client)
    assert db.session.scalars(query).all() == []
    second_step(client, app_code(secret))
    assert len(db.session.scalars(query).all()) == 1


# Recovery ---------------------------------------------------------------------------------------


def test_a_recovery_code_replaces_the_app_once_and_a_mail_tells(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    make_person()
    log_in(client)
    _, codes = enrol(client)
    other = new_client(app)
    log_in(other)
    assert second_step(other, codes[3].lower().replace("-", " ")) == 303
    assert mails()[0].template == "recovery_code_used"
    assert "9" in mails()[0].body
    third = new_client(app)
    log_in(third)
    assert second_step(third, codes[3]) == 422
    assert second_step(third, codes[4]) == 303


def test_of_parallel_uses_of_a_recovery_code_one_succeeds(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    user = make_person()
    log_in(client)
    _, codes = enrol(client)
    user_id = user.id

    def use(_: int) -> bool:
        try:
            with transaction():
                second_factor.check(user_id, codes[0], "10.0.0.1")
        except InvalidInput:
            return False
        return True

    assert sum(at_once(app, 6, use)) == 1


def test_new_recovery_codes_end_the_old_ones(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    make_person()
    log_in(client)
    _, old = enrol(client)
    new = RECOVERY.findall(client.post_form(f"{PAGE}/codes").text)[:10]
    assert not set(old) & set(new)
    other = new_client(app)
    log_in(other)
    assert second_step(other, old[0]) == 422
    assert second_step(other, new[0]) == 303


def test_another_persons_recovery_code_does_not_fit(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    make_person()
    log_in(client)
    _, codes = enrol(client)
    turn_factor_on(make_person(email="eve@example.org"))
    eve = new_client(app)
    log_in(eve, "eve@example.org")
    assert second_step(eve, codes[0]) == 422


# Off --------------------------------------------------------------------------------------------


def test_a_customer_turns_it_off_and_is_told(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    make_person()
    log_in(client)
    enrol(client)
    assert client.get(f"{PAGE}/off").status_code == 200
    assert client.post_form(f"{PAGE}/off").location == PAGE
    assert mails()[0].template == "second_factor_off"
    other = new_client(app)
    log_in(other)
    assert is_signed_in(other)


def test_staff_can_not_turn_it_off(client: Client) -> None:
    user = make_person(Role.SUPPORT)
    turn_factor_on(user)
    client.sign_in(user)
    client.post_form(f"{PAGE}/off")
    assert second_factor.is_on(user.id)


def test_an_operator_takes_a_lost_factor_away(app: Flask, client: Client) -> None:
    user = make_person()
    turn_factor_on(user)
    run = app.test_cli_runner().invoke
    db.session.commit()
    assert "gone" in run(args=["forget-second-factor", EMAIL.upper()]).output
    assert "no second factor" in run(args=["forget-second-factor", EMAIL]).output
    assert run(args=["forget-second-factor", "nobody@example.org"]).exit_code == 1
    log_in(client)
    assert is_signed_in(client)


# Staff ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", few([Role.SUPPORT, Role.MANAGER, Role.ADMIN], 3))
def test_staff_without_a_factor_reaches_only_its_page(
    app: Flask, client: Client, noon: time_machine.Traveller, role: Role
) -> None:
    make_person(role)
    log_in(client)
    for path in ("/dashboard", "/admin/", "/admin/users/", "/admin/settings/", "/profile", "/bots"):
        assert client.get(path).location == PAGE, path
    assert client.get("/metrics").status_code == 404
    for path in ("/profile", "/settings/password", "/settings/tokens"):
        assert client.post_form(path).location == PAGE, path
    # Neither does such a page ask again and again for a stream that is closed to it.
    assert client.get("/events").location == PAGE
    for path in (PAGE, "/settings/passkeys"):
        assert "data-events" not in client.get(path).text, path
    enrol(client)
    assert client.get("/admin/").status_code == 200
    assert 'data-events="/events"' in client.get("/profile").text


def test_staff_with_a_factor_logs_in_with_it(client: Client, noon: time_machine.Traveller) -> None:
    secret = turn_factor_on(make_person(Role.ADMIN))
    log_in(client)
    assert client.get("/admin/").location.startswith("/login")
    second_step(client, app_code(secret))
    assert client.get("/admin/").status_code == 200


def test_staff_with_a_new_password_are_asked_for_the_code_and_work_on(
    client: Client, noon: time_machine.Traveller
) -> None:
    secret = turn_factor_on(make_person(Role.ADMIN))
    log_in(client)
    client.post_form("/login/code", {"code": app_code(secret)})
    new = "another long enough password"
    client.post_form("/settings/password", {"current": PASSWORD, "password": new})
    asked = client.get("/admin/users/")
    assert asked.location == "/prove?next=/admin/users/"
    assert client.post_form("/acting/end").location == "/prove?next=/dashboard"
    assert client.post_form(asked.location, {"password": new}).status_code == 422
    assert client.get("/admin/users/").status_code == 303
    noon.shift(30)
    proof = {"password": new, "code": app_code(secret)}
    assert client.post_form(asked.location, proof).location == "/admin/users/"
    assert client.get("/admin/users/").status_code == 200


# Step-up ----------------------------------------------------------------------------------------


def prove(client: Client, password: str = PASSWORD, code: str = "") -> int:
    form = {"password": password, "code": code}
    return client.post_form("/prove?next=/settings", form).status_code


def test_what_lasts_asks_again_after_ten_minutes(
    login_as: Callable[[User], Client], noon: time_machine.Traveller
) -> None:
    make_exchange()
    client = login_as(make_person())
    noon.shift(PAST_PROOF)
    for path in ("/exchanges/new?exchange=bybit", f"{PAGE}/off"):
        answer = client.get(path)
        assert answer.location.startswith("/prove?next="), path
    assert client.post_form(f"{PAGE}/begin").location == "/prove?next=/settings"
    assert client.post_form("/exchanges/1/delete").location.startswith("/prove")
    before = cookie_of(client)
    assert prove(client) == 303
    assert cookie_of(client) != before
    assert client.get("/exchanges/new?exchange=bybit").status_code == 200


def test_the_old_id_is_dead_after_a_step_up(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    make_person()
    log_in(client)
    copied, refresh = cookie_of(client), client.get_cookie("refresh")
    assert copied and refresh
    prove(client)
    thief = new_client(app)
    thief.set_cookie("session", copied)
    thief.set_cookie("refresh", refresh.value)
    assert not is_signed_in(thief)
    assert is_signed_in(client)
    noon.shift(timedelta(minutes=16))
    assert is_signed_in(client)


def test_a_step_up_asks_for_the_factor_where_there_is_one(
    client: Client, noon: time_machine.Traveller
) -> None:
    user = make_person()
    secret = turn_factor_on(user)
    client.sign_in(user)
    noon.shift(PAST_PROOF)
    assert prove(client) == 422
    assert prove(client, "wrong", app_code(secret)) == 422
    assert prove(client, PASSWORD, app_code(secret)) == 303


def test_a_step_up_leads_only_to_our_own_pages(client: Client) -> None:
    make_person()
    log_in(client)
    answer = client.post_form("/prove?next=//evil.example", {"password": PASSWORD})
    assert answer.location == "/settings"


def test_the_step_up_is_not_to_be_guessed(client: Client) -> None:
    make_person()
    log_in(client)
    assert [prove(client, "wrong") for _ in range(10)] == [422] * 10
    assert prove(client) == 422


def test_keys_of_an_exchange_need_a_second_factor(
    app: Flask, client: Client, noon: time_machine.Traveller
) -> None:
    make_exchange()
    make_person()
    log_in(client)
    page = client.get("/exchanges/new?exchange=bybit")
    assert "turn on a second factor first" in page.text
    assert client.post_form("/exchanges/new?exchange=bybit", {"key": "x"}).status_code == 403
    enrol(client)
    assert 'name="secret"' in client.get("/exchanges/new?exchange=bybit").text


def test_an_unexpected_state_is_said_by_its_code(database: None) -> None:
    user = make_person()
    with pytest.raises(Conflict), transaction():
        second_factor.confirm(user.id, "123456", "10.0.0.1")
    with pytest.raises(Conflict), transaction():
        second_factor.renew_recovery_codes(user.id, "10.0.0.1")
    with pytest.raises(InvalidInput), transaction():
        second_factor.check(user.id, "123456", "10.0.0.1")
    assert second_factor.next_code(user.id) is None
    turn_factor_on(user)
    with pytest.raises(Conflict), transaction():
        second_factor.begin(user.id)
    user.blocked_at = user.created_at
    db.session.commit()
    with pytest.raises((Forbidden, TooManyTries)), transaction():
        service.finish_log_in(user.id, time.time(), "123456", "10.0.0.1")
