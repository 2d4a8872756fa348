"""The profile: what is shown, changed, refused and sealed."""

import re

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, text

from app.accounts import keys, queries, service
from app.accounts.models import OwnerKey, Profile, User
from app.accounts.rules import ProfileChange
from app.db import db
from app.encryption import DecryptionError
from app.errors import InvalidInput
from app.subscriptions.service import seed_plans
from app.transactions import transaction
from tests.accounts.people import data_key, log_in, make_person
from tests.at_once import at_once
from tests.client import Client
from tests.factories import make_user
from tests.long import few

FORM = {
    "name": "Ada Lovelace",
    "contacts": "Telegram @ada\nafter nine",
    "language": "pt_BR",
    "timezone": "America/Sao_Paulo",
    "experience": "expert",
    "theme": "dark",
    "palette": "blue_orange",
    "density": "compact",
}


def test_a_change_is_shown_again_everywhere(client: Client) -> None:
    user = make_person()
    log_in(client)
    answer = client.post_form("/profile", FORM)
    assert (answer.status_code, answer.location) == (303, "/profile")
    own = queries.own_profile(user.id)
    assert (own.name, own.contacts) == ("Ada Lovelace", "Telegram @ada\nafter nine")
    page = client.get("/settings").text
    for mark in ('lang="pt-BR"', 'data-bs-theme="dark"', 'data-palette="blue_orange"'):
        assert mark in page
    assert "Ada Lovelace" in client.get("/profile").text


def test_times_are_shown_in_the_chosen_zone_and_language(client: Client) -> None:
    def shown() -> str:
        return " ".join(re.sub(r"<[^>]+>", "", client.get("/profile/sessions").text).split())

    with time_machine.travel("2026-03-09T23:30:00Z", tick=False):
        make_person()
        log_in(client)
        assert "Mar 9, 2026, 23:30" in shown()
        client.post_form("/profile", FORM | {"timezone": "Europe/Moscow", "language": "en"})
        assert "Mar 10, 2026, 02:30" in shown()
        client.post_form("/profile", FORM)
        assert "9 de mar. de 2026, 20:30" in shown()


def test_beginner_or_expert_is_remembered_over_log_ins(client: Client) -> None:
    user = make_person()
    log_in(client)
    assert not queries.is_expert(user.id)
    client.post_form("/profile", FORM | {"experience": "expert"})
    client.post_form("/logout")
    log_in(client)
    assert queries.is_expert(user.id)
    page = client.get("/profile").text
    assert re.search(r'<input checked[^>]*value="expert"', page)


def test_the_name_stands_in_the_menu_of_every_page(client: Client) -> None:
    make_person()
    log_in(client)
    client.post_form("/profile", FORM)
    for path in ("/dashboard", "/bots", "/trades", "/exchanges"):
        assert "Ada Lovelace" in client.get(path).text, path


def test_saving_the_form_twice_changes_nothing_more(client: Client) -> None:
    user = make_person()
    log_in(client)
    client.post_form("/profile", FORM)
    first = queries.own_profile(user.id)
    client.post_form("/profile", FORM)
    assert queries.own_profile(user.id) == first


def test_contacts_are_not_readable_in_the_database(client: Client) -> None:
    make_person()
    log_in(client)
    client.post_form("/profile", FORM)
    dump = str(db.session.execute(text("select * from profiles")).all())
    assert "Ada Lovelace" in dump
    assert "@ada" not in dump


@pytest.mark.parametrize(
    ("field", "value"),
    few(
        [
            ("name", "x" * 81),
            ("name", "a\0b"),
            ("name", "a\x1bb"),
            ("contacts", "x" * 501),
            ("contacts", "a\0b"),
            ("language", "xx"),
            ("timezone", "Mars/Olympus"),
            ("timezone", "../../etc/passwd"),
            ("experience", "god"),
            ("theme", "' OR 1=1--"),
            ("palette", ""),
            ("density", "dense"),
        ],
        4,
    ),
)
def test_each_wrong_field_is_named_and_nothing_is_saved(
    client: Client, field: str, value: str
) -> None:
    user = make_person()
    before = queries.own_profile(user.id)
    log_in(client)
    answer = client.post_form("/profile", FORM | {field: value})
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text or f'href="#{field}"' in answer.text
    assert queries.own_profile(user.id) == before


def test_the_rules_hold_without_the_form(database: None) -> None:
    user = make_person()
    with pytest.raises(InvalidInput) as refused, transaction():
        service.change_profile(user.id, ProfileChange(**FORM | {"language": "xx"}))
    assert (refused.value.code, refused.value.field) == ("unknown_choice", "language")


def test_emoji_and_other_scripts_are_welcome(client: Client) -> None:
    user = make_person()
    log_in(client)
    assert client.post_form("/profile", FORM | {"name": "Ада 🚀 <b>"}).status_code == 303
    assert queries.own_profile(user.id).name == "Ада 🚀 <b>"
    page = client.get("/profile").text
    assert "Ада 🚀 &lt;b&gt;" in page
    assert "<b>" not in page


def test_absent_fields_stay_as_they_are(client: Client) -> None:
    user = make_person()
    log_in(client)
    client.post_form("/profile", FORM)
    before = queries.own_profile(user.id)
    assert client.post_form("/profile", {}).status_code == 303
    assert queries.own_profile(user.id) == before


def test_fields_that_a_person_may_not_set_are_ignored(client: Client) -> None:
    make_person()
    log_in(client)
    client.post_form("/profile", FORM | {"role": "admin", "email": "x@x.org", "user_id": "1"})
    user = db.session.scalars(select(User)).one()
    assert (user.role, user.email) == ("customer", "ada@example.org")


def test_the_profile_shows_the_plan_and_what_it_allows(client: Client) -> None:
    make_person()
    with transaction():
        seed_plans()
    log_in(client)
    page = client.get("/profile").text
    card = page[page.index('id="plan-card"') :]
    for text_of_the_free_plan in ("Free", "Running bots", "of these live", "60 s"):
        assert text_of_the_free_plan in card


def test_the_profile_is_closed_to_visitors(client: Client) -> None:
    assert client.get("/profile").location == "/login?next=/profile"
    assert client.post_form("/profile", FORM).location == "/login"


# Data keys --------------------------------------------------------------------------------------


def test_what_is_sealed_opens_in_the_same_place_only(database: None) -> None:
    ada, bob = make_user(), make_user()
    with transaction():
        sealed = keys.seal_for(ada.id, b"secret", table="t", column="c", row=1)
    assert keys.open_for(ada.id, sealed, table="t", column="c", row=1) == b"secret"
    for owner, table, column, row in (
        (bob, "t", "c", 1),
        (ada, "u", "c", 1),
        (ada, "t", "d", 1),
        (ada, "t", "c", 2),
    ):
        with pytest.raises(DecryptionError):
            keys.open_for(owner.id, sealed, table=table, column=column, row=row)


def test_each_owner_has_one_key_of_their_own(database: None) -> None:
    ada, bob = make_user(), make_user()
    with transaction():
        first, second = data_key(ada.id), data_key(bob.id)
    assert first != second
    assert data_key(ada.id) == first
    stored = db.session.scalars(select(OwnerKey.sealed_key)).all()
    assert len(stored) == 2
    assert all(sealed.startswith("v1:test:") for sealed in stored)


def test_a_key_moved_to_another_owner_does_not_open(database: None) -> None:
    ada, bob = make_user(), make_user()
    with transaction():
        data_key(ada.id)
        data_key(bob.id)
    ada_row, bob_row = db.session.get_one(OwnerKey, ada.id), db.session.get_one(OwnerKey, bob.id)
    bob_row.sealed_key = ada_row.sealed_key
    db.session.flush()
    with pytest.raises(DecryptionError):
        data_key(bob.id)


def test_parallel_first_uses_agree_on_one_key(app: Flask, database: None) -> None:
    user_id = make_user().id
    db.session.commit()

    def first_use(_: int) -> bytes:
        with transaction():
            return data_key(user_id)

    assert len(set(at_once(app, 6, first_use))) == 1


def test_the_switches_change_language_and_theme(database: None) -> None:
    user = make_person()
    with transaction():
        service.set_language(user.id, "ru")
        service.set_language(user.id, "xx")
        service.set_theme(user.id, "dark")
        service.set_theme(user.id, "pink")
    profile = db.session.get_one(Profile, user.id)
    assert (profile.language, profile.theme) == ("ru", "dark")
