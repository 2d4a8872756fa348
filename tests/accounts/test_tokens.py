"""Access tokens: made with the password, shown once, kept as a hash, ended by time or by hand."""

import hashlib
import logging
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts import limits, service, tokens
from app.accounts.models import AccessToken, AuditEntry, Role, User
from app.accounts.tokens import Audience, Caller, TokenRefused, Wish
from app.db import db, utc_now
from app.errors import Conflict, DomainError, Forbidden, InvalidInput, NotFound, TooManyTries
from app.logs import mask_secrets
from app.transactions import transaction
from tests.accounts.people import PASSWORD, log_in, mails, make_person
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.long import few

PAGE = "/settings/tokens"
SHOWN = re.compile(r"botyard_[A-Za-z0-9_-]{43}")
KEY = re.compile(r'name="form_key" type="hidden" value="([^"]+)"')


def wish(label: str = "home server", **changes: object) -> Wish:
    values: dict[str, object] = {
        "label": label,
        "scopes": ("bots:read",),
        "days": 90,
        "form_key": tokens.new_form_key(),
    }
    return Wish(**(values | changes))  # type: ignore[arg-type]


def make(user_id: int, asked: Wish | None = None, password: str = PASSWORD) -> str:
    with transaction():
        return tokens.create_token(user_id, asked or wish(), password)


def caller_of(secret: str) -> Caller:
    with transaction():
        return tokens.authenticate(secret, Audience.API)


def refusal(secret: str, kind: type[DomainError] = TokenRefused) -> str:
    with pytest.raises(kind) as error, transaction():
        tokens.authenticate(secret, Audience.API)
    return error.value.code


def only_row() -> AccessToken:
    db.session.expire_all()
    return db.session.scalars(select(AccessToken)).one()


@pytest.fixture
def person(client: Client) -> User:
    return make_person()


def test_the_database_holds_a_hash_and_four_letters(person: User) -> None:
    secret = make(person.id)
    assert SHOWN.fullmatch(secret)
    row = only_row()
    assert row.token_hash == hashlib.sha256(secret.encode()).hexdigest()
    assert row.last_four == secret[-4:]
    stored = [getattr(row, column.name) for column in AccessToken.__table__.columns]
    assert not any(isinstance(value, str) and secret[8:40] in value for value in stored)


def test_a_token_speaks_for_its_owner_within_its_scopes(person: User) -> None:
    caller = caller_of(make(person.id, wish(scopes=("bots:run", "bots:read"))))
    assert (caller.user_id, caller.role) == (person.id, "customer")
    assert caller.scopes == {"bots:read", "bots:run"}


@pytest.mark.parametrize("days", [30, 90, 365])
def test_a_token_lives_as_long_as_was_chosen(person: User, days: int) -> None:
    make(person.id, wish(days=days))
    row = only_row()
    assert row.expires_at - row.created_at == timedelta(days=days)


@pytest.mark.parametrize("days", [0, -1, 366, 10**9])
def test_no_other_life_is_possible(person: User, days: int) -> None:
    with pytest.raises(InvalidInput) as error:
        make(person.id, wish(days=days))
    assert error.value.field == "days"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"label": ""}, "label"),
        ({"label": "x" * 61}, "label"),
        ({"label": "a\0b"}, "label"),
        ({"label": "a\u200bb"}, "label"),
        ({"label": "a\u202eb"}, "label"),
        ({"scopes": ()}, "scopes"),
        ({"scopes": ("bots:read", "admin")}, "scopes"),
        ({"form_key": ""}, None),
        ({"form_key": "x" * 65}, None),
    ],
)
def test_odd_wishes_are_refused_and_make_nothing(
    person: User, changes: dict[str, object], field: str | None
) -> None:
    with pytest.raises(InvalidInput) as error:
        make(person.id, wish(**changes))  # type: ignore[arg-type]
    assert error.value.field == field
    assert db.session.scalars(select(AccessToken)).all() == []


def test_the_password_is_asked_again_and_guessing_it_ends(person: User) -> None:
    for _ in range(limits.PASSWORD_AGAIN.count):
        with pytest.raises(InvalidInput) as error:
            make(person.id, password="wrong")
        assert error.value.code == "wrong_password"
    with pytest.raises(TooManyTries):
        make(person.id)
    assert db.session.scalars(select(AccessToken)).all() == []


def test_a_right_password_begins_the_count_anew(person: User) -> None:
    for _ in range(2):
        for _ in range(limits.PASSWORD_AGAIN.count - 1):
            with pytest.raises(InvalidInput):
                make(person.id, password="wrong")
        make(person.id)


def test_an_expired_token_is_refused(person: User) -> None:
    secret = make(person.id)
    with transaction():
        only_row().expires_at = utc_now()
    assert refusal(secret) == "token_expired"


def test_a_revoked_token_is_refused_and_revoking_twice_changes_nothing(person: User) -> None:
    secret = make(person.id)
    for _ in range(2):
        with transaction():
            tokens.revoke_token(person.id, only_row().id)
    assert refusal(secret) == "token_revoked"
    actions = db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert actions == ["accounts.token_created", "accounts.token_revoked"]


def test_a_token_of_another_audience_is_refused(person: User) -> None:
    secret = make(person.id)
    with transaction():
        only_row().audience = "mcp"
    assert refusal(secret) == "token_invalid"


@pytest.mark.parametrize(
    "secret",
    ["", "x", "botyard_", "botyard_" + "A" * 43, "botyard_" + "я" * 43, "A" * 10**6, "\0" * 51],
)
def test_what_is_no_token_of_ours_is_refused(person: User, secret: str) -> None:
    make(person.id)
    assert refusal(secret) == "token_invalid"


def test_blocking_through_the_desk_stops_tokens_and_unblocking_lets_them_go_on(
    person: User,
) -> None:
    secret = make(person.id)
    admin_id = make_person(Role.ADMIN, email="root@example.org").id
    with transaction():
        service.block_user(admin_id, person.id, "spam")
    assert refusal(secret, Forbidden) == "account_blocked"
    with transaction():
        service.unblock_user(admin_id, person.id, "a mistake")
    assert caller_of(secret).user_id == person.id


def test_an_unconfirmed_person_makes_and_uses_no_token(person: User) -> None:
    secret = make(person.id)
    with transaction():
        db.session.get_one(User, person.id).confirmed_at = None
    assert refusal(secret, Forbidden) == "token_owner_unconfirmed"
    with pytest.raises(Forbidden) as error:
        make(person.id)
    assert error.value.code == "token_for_unconfirmed"


def test_the_last_use_is_written_once_a_minute(person: User) -> None:
    secret = make(person.id)
    assert only_row().last_used_at is None
    caller_of(secret)
    first = only_row().last_used_at
    caller_of(secret)
    assert first is not None and only_row().last_used_at == first
    with transaction():
        only_row().last_used_at = first - timedelta(seconds=61)
    caller_of(secret)
    assert (only_row().last_used_at or first) > first


def test_twenty_tokens_work_at_a_time(person: User) -> None:
    for number in range(tokens.MOST_LIVE):
        make(person.id, wish(f"program {number}"))
    with pytest.raises(Conflict) as error:
        make(person.id)
    assert error.value.code == "too_many_tokens"
    oldest = db.session.scalars(select(AccessToken).order_by(AccessToken.id)).first()
    assert oldest is not None
    with transaction():
        tokens.revoke_token(person.id, oldest.id)
    make(person.id)


def test_forms_sent_at_once_do_not_pass_the_limit(app: Flask, person: User) -> None:
    user_id = person.id
    for number in range(tokens.MOST_LIVE - 1):
        make(user_id, wish(f"program {number}"))

    def press(_: int) -> bool:
        try:
            make(user_id)
        except Conflict:
            return False
        return True

    assert sorted(at_once(app, 4, press)) == [False, False, False, True]


def test_a_form_sent_twice_makes_one_token_and_the_last_answer_works(person: User) -> None:
    asked = wish()
    first, second = make(person.id, asked), make(person.id, asked)
    assert refusal(first) == "token_invalid"
    assert caller_of(second).token_id == only_row().id
    with pytest.raises(Conflict) as error:
        make(person.id, asked)
    assert error.value.code == "token_form_used"
    assert caller_of(second)


@pytest.mark.parametrize(
    "changes", [{"label": "another"}, {"scopes": ("bots:run",)}, {"days": 365}]
)
def test_another_wish_on_the_same_form_ends_no_token_and_makes_none(
    person: User, changes: dict[str, object]
) -> None:
    asked = wish()
    first = make(person.id, asked)
    with pytest.raises(Conflict) as error:
        make(person.id, replace(asked, **changes))  # type: ignore[arg-type]
    assert error.value.code == "token_form_used"
    assert caller_of(first).scopes == {"bots:read"}
    assert only_row().label == "home server"


def test_the_same_form_sent_at_once_makes_one_token(app: Flask, person: User) -> None:
    user_id, asked = person.id, wish()
    secrets = at_once(app, 3, lambda _: make(user_id, asked))
    row = only_row()
    hashes = [hashlib.sha256(secret.encode()).hexdigest() for secret in secrets]
    assert hashes.count(row.token_hash) == 1


def test_nobody_revokes_another_persons_token(person: User) -> None:
    make(person.id)
    eve = make_person(email="eve@example.org")
    for number in (only_row().id, 987_654, 0, -1, 10**30):
        with pytest.raises(NotFound), transaction():
            tokens.revoke_token(eve.id, number)
    assert only_row().revoked_at is None
    assert tokens.own_tokens(eve.id) == []


def test_the_owner_gets_a_mail_without_the_token(person: User) -> None:
    secret = make(person.id)
    (mail,) = mails()
    assert "access token" in mail.subject
    assert "home server" in mail.body and PAGE in mail.body
    assert secret not in mail.body and secret[8:] not in mail.body


def test_ended_tokens_stand_below_and_disappear_after_90_days(person: User) -> None:
    make(person.id, wish("old"))
    row = only_row()
    make(person.id, wish("new"))
    with transaction():
        tokens.revoke_token(person.id, row.id)
    assert [view.label for view in tokens.own_tokens(person.id)] == ["new", "old"]
    with transaction():
        stale = db.session.get_one(AccessToken, row.id)
        stale.revoked_at = utc_now() - timedelta(days=91)
    assert [view.label for view in tokens.own_tokens(person.id)] == ["new"]


# --- the page -------------------------------------------------------------------------------------


def form(client: Client, **changes: object) -> dict[str, object]:
    found = KEY.search(client.get(PAGE).text)
    assert found is not None
    values: dict[str, object] = {
        "form_key": found.group(1),
        "label": "home server",
        "scopes": ["bots:read", "trades:read"],
        "days": "30",
        "password": PASSWORD,
    }
    return values | changes


def test_the_page_shows_a_new_token_once(client: Client, person: User) -> None:
    log_in(client)
    answer = client.post_form(PAGE, form(client))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    (secret,) = set(SHOWN.findall(answer.text))
    assert caller_of(secret).scopes == {"bots:read", "trades:read"}
    again = client.get(PAGE).text
    assert SHOWN.findall(again) == []
    assert f"botyard_…{secret[-4:]}" in again and "home server" in again


@pytest.mark.parametrize(
    "changes",
    few(
        [
            {"password": "wrong"},
            {"password": ""},
            {"label": ""},
            {"label": "\0"},
            {"label": "😀" * 400},
            {"scopes": []},
            {"scopes": ["staff"]},
            {"days": "9999"},
            {"days": "x"},
            {"form_key": "'"},
        ],
        3,
    ),
)
def test_a_refused_form_says_why_and_makes_nothing(
    client: Client, person: User, changes: dict[str, object]
) -> None:
    log_in(client)
    answer = client.post_form(PAGE, form(client, **changes))
    assert answer.status_code == 422
    assert "form-summary" in answer.text
    assert db.session.scalars(select(AccessToken)).all() == []


def test_a_reload_of_the_answer_does_not_make_a_second_token(client: Client, person: User) -> None:
    log_in(client)
    sent = form(client)
    client.post_form(PAGE, sent)
    with transaction():
        only_row().created_at = utc_now() - timedelta(minutes=2)
    assert client.post_form(PAGE, sent).status_code == 422
    assert only_row()


def test_the_page_needs_a_log_in_and_its_forms_a_token(app: Flask, client: Client) -> None:
    make_person()
    assert client.get(PAGE).status_code == 302
    log_in(client)
    sent = form(client)
    assert client.post(PAGE, data=sent).status_code == 400
    assert client.post(f"{PAGE}/1/revoke").status_code == 400
    assert db.session.scalars(select(AccessToken)).all() == []


def test_revoking_by_page_is_for_the_owner_alone(app: Flask, client: Client, person: User) -> None:
    secret = make(person.id)
    make_person(email="eve@example.org")
    eve = new_client(app)
    log_in(eve, "eve@example.org")
    path = f"{PAGE}/{only_row().id}/revoke"
    assert eve.post_form(path).status_code == 404
    assert eve.get(path).status_code == 404
    assert caller_of(secret)
    log_in(client)
    assert "home server" in client.get(path).text
    assert caller_of(secret)
    for _ in range(2):
        assert client.post_form(path).status_code == 303
    assert refusal(secret) == "token_revoked"
    assert "revoked" in client.get(PAGE).text


def test_the_settings_lead_to_the_page(client: Client, person: User) -> None:
    log_in(client)
    assert f'href="{PAGE}"' in client.get("/settings").text


def test_no_log_line_holds_a_token(
    client: Client, person: User, caplog: pytest.LogCaptureFixture
) -> None:
    log_in(client)
    with caplog.at_level(logging.DEBUG):
        secret = SHOWN.findall(client.post_form(PAGE, form(client)).text)[0]
    assert secret not in caplog.text
    for line in (f"Authorization: Bearer {secret}", f"got {secret}", f'{{"t": "{secret}"}}'):
        assert secret[8:] not in mask_secrets(line)
