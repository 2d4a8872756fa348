"""Ten more lines of OWASP ASVS 5.0, after the forty of `test_asvs.py` and `test_asvs_web.py`."""

import logging
import re
import time
from collections.abc import Callable
from inspect import getattr_static
from pathlib import Path

import pytest
from flask import Flask
from flask_admin.contrib.sqla import ModelView

from app import create_app
from app.accounts import session_store
from app.accounts.models import Role, User
from app.adapters.payments import rails, use_rails
from app.config import current_config, load_config, use_config
from app.db import db
from app.encryption import Binding, DecryptionError, KeyRing, new_key
from app.errors import ConfigError
from app.pages import routes as pages
from tests.accounts.people import EMAIL, PASSWORD, log_in, make_person, turn_factor_on
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user

pytestmark = pytest.mark.usefixtures("database")

Login = Callable[[User], Client]
ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "app").rglob("*.py"))


def test_v5_2_2_nobody_uploads_a_file() -> None:
    """With the first upload this becomes a test of what is in the file."""
    wanted = re.compile(r"FileField|request\.files|multipart/form-data")
    places = [*SOURCES, *(ROOT / "app" / "templates").rglob("*.html")]
    found = [path.name for path in places if wanted.search(path.read_text())]
    # Macros of Flask-Admin for whatever a form may hold; none of ours holds a file.
    assert found == ["lib.html"]


def test_v7_4_3_a_new_password_ends_all_other_sessions(app: Flask) -> None:
    user = make_person()
    here, there = new_client(app), new_client(app)
    for client in (here, there):
        assert log_in(client) == 303
    form = {"current": PASSWORD, "password": "some other words of mine"}
    assert here.post_form("/settings/password", form).status_code == 303
    assert here.get("/settings").status_code == 200
    assert there.get("/settings").status_code == 302
    assert len(session_store.list_sessions(user.id)) == 1


def test_v7_5_2_ending_sessions_asks_again_who_one_is(
    app: Flask, login_as: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_person()
    other = new_client(app)
    assert log_in(other) == 303
    client = login_as(user)
    assert "Sign out" in client.get("/profile/sessions").text
    later = time.time() + 11 * 60
    monkeypatch.setattr("app.accounts.access.time.time", lambda: later)
    asked = client.post_form("/profile/sessions/end", {"next": "/profile/sessions"})
    assert asked.location.startswith("/prove?next=")
    assert other.get("/settings").status_code == 200
    monkeypatch.undo()
    assert client.post_form("/profile/sessions/end", {}).location == "/profile/sessions"
    assert other.get("/settings").status_code == 302


def test_v8_2_1_every_function_names_who_may_use_it(app: Flask) -> None:
    from app.accounts.access import GUARD
    from tests.security.tenants import rules

    for desk in (False, True):
        for rule in rules(app, desk=desk):
            view = app.view_functions[rule.endpoint]
            own = getattr(view, GUARD, None) is not None
            # Views of the desk carry theirs as a class: test_tenants.py asks each as nobody.
            assert own or desk or rule.rule.startswith("/api/") or rule.endpoint == "static", rule


def test_v11_3_2_secrets_are_sealed_with_authenticated_encryption_only() -> None:
    weak = re.compile(r"\b(ECB|CBC|Fernet|ARC4|TripleDES|Blowfish|md5)\b")
    assert [path.name for path in SOURCES if weak.search(path.read_text())] == []
    ring = KeyRing({"k": new_key()}, "k")
    place = Binding("t", "c", 1, 1)
    sealed = ring.seal(b"a secret", place)
    version, kid, nonce, text = sealed.split(":")
    changed = "A" if text[0] != "A" else "B"
    for wrong in (f"{version}:{kid}:{nonce}:{changed}{text[1:]}", sealed[:-8]):
        with pytest.raises(DecryptionError):
            ring.open(wrong, place)
    assert ring.seal(b"a secret", place) != sealed


def test_v13_4_2_nothing_is_switched_to_debugging(environment: dict[str, str]) -> None:
    before, rails_before = current_config(), dict(rails())
    strict = {**environment, "BOTYARD_ENV": "production", "BASE_URL": "https://x.example"}
    try:
        made = create_app(load_config(strict))
        assert not made.debug and not made.testing
        assert "/dev/mail" not in {rule.rule for rule in made.url_map.iter_rules()} or (
            made.test_client().get("/dev/mail", base_url="https://x.example").status_code == 404
        )
    finally:
        use_config(before)
        # There is no demonstration in production: the tests after this one want it back.
        use_rails(rails_before)


def test_v15_3_3_forms_of_the_desk_list_their_fields(app: Flask) -> None:
    (desk,) = app.extensions["admin"]
    writable = [
        view
        for view in desk._views
        if isinstance(view, ModelView)
        # A switch by right is a property: it may be on.
        and any(getattr_static(view, name) is not False for name in ("can_create", "can_edit"))
    ]
    assert writable
    for view in writable:
        assert view.form_columns, view.endpoint


def test_v16_3_1_log_ins_and_refusals_are_logged_with_their_kind(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    user = make_person()
    with caplog.at_level(logging.INFO):
        log_in(client, EMAIL, "wrong words of mine")
        log_in(client)
        client.post_form("/logout")
        turn_factor_on(user)
        log_in(client)
    lines = caplog.text
    assert "log_in_refused address=127.0.0.1" in lines
    assert f"logged_in user={user.id} address=127.0.0.1 second_factor=0" in lines
    # The password alone is not yet a log-in.
    assert lines.count("logged_in user=") == 1
    assert EMAIL not in lines and PASSWORD not in lines


def test_v16_5_1_an_unexpected_error_shows_nothing_of_the_inside(
    app: Flask, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret-of-the-inside at /srv/app/pages.py")

    monkeypatch.setattr(pages, "render_template", fail)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    answer = client.get("/pricing")
    assert answer.status_code == 500
    for hidden in ("secret-of-the-inside", "RuntimeError", "Traceback", "/srv/app"):
        assert hidden not in answer.text
    assert answer.headers["X-Request-Id"]


def test_sec_02_a_dump_holds_no_secret_that_somebody_gave_us(
    login_as: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import select

    from app.accounts import invites
    from app.exchanges.models import ExchangeAccount
    from app.exchanges.service import seed_exchanges
    from app.subscriptions.service import seed_plans
    from app.transactions import transaction
    from tests.accounts.people import mails, work_off
    from tests.api.programs import give_token
    from tests.exchanges.test_service import SECRETS, connected, dump

    user = make_person()
    with transaction():
        seed_exchanges()
        seed_plans()
    secret = turn_factor_on(user)
    connected(user)
    token = give_token(user.id)
    client = login_as(user)
    planted = "t.me/planted-4711-lamps"
    profile = {"name": "Ada", "language": "en", "timezone": "UTC", "contacts": planted}
    client.post_form("/profile", {**profile, "experience": "expert"})
    assert planted in client.get("/profile").text
    with transaction():
        invitation = invites.make(make_user(Role.ADMIN).id, 1, 7, "")
    client.post_form("/logout")
    client.post_form("/reset", {"email": EMAIL})
    work_off()
    link = mails()[0].body.split("#")[1].split()[0]
    found = dump()
    known = [*SECRETS, secret, token, planted, invitation, link, PASSWORD]
    assert [one for one in known if one in found] == []
    # Ciphertext with the key's version instead.
    account = db.session.scalars(select(ExchangeAccount)).one()
    assert (account.sealed_key or "").startswith(f"v1:owner-{user.id}:")
    sealed = [line for line in found.splitlines() if '"sealed_secret":"v1:owner-' in line]
    assert len(sealed) == 2


def test_sec_06_a_token_may_live_for_24_hours_and_then_is_expired(app: Flask) -> None:
    from datetime import timedelta

    from app.accounts import tokens
    from app.db import utc_now
    from tests.api.programs import Program, code_of, give_token

    assert min(tokens.LIVES) == 1
    user = make_person()
    token = give_token(user.id, expires_at=utc_now() + timedelta(hours=24))
    program = Program(app, token)
    assert program.get("/bots").status_code == 200
    old = give_token(user.id, label="old", expires_at=utc_now() - timedelta(seconds=1))
    answer = Program(app, old).get("/bots")
    assert (answer.status_code, code_of(answer)) == (401, "token_expired")
    assert current_config().session_absolute <= timedelta(hours=24)
    with pytest.raises(ConfigError, match="SESSION_HOURS"):
        load_config({"BOTYARD_ENV": "testing", "SESSION_HOURS": "25"})


def test_sec_04_page_and_api_show_the_last_four_characters_of_a_key(
    app: Flask, login_as: Login
) -> None:
    from app.exchanges.service import seed_exchanges
    from app.subscriptions.service import seed_plans
    from app.transactions import transaction
    from tests.api.programs import Program, give_token
    from tests.exchanges.test_service import SECRETS, connected

    user = make_person()
    with transaction():
        seed_exchanges()
        seed_plans()
    account_id = connected(user).id
    client, program = login_as(user), Program(app, give_token(user.id))
    paths = ("/exchanges", f"/exchanges/{account_id}", f"/exchanges/{account_id}/balances")
    pages = [client.get(path).text for path in paths]
    told = program.get("/accounts").text
    assert SECRETS[0][-4:] in pages[1] and "Main" in told
    for text in (*pages, told):
        assert [one for one in SECRETS if one in text] == []
        assert "v1:owner-" not in text
