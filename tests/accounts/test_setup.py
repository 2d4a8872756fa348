"""The first-run set-up, administrators, and the demo people."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import func, select

from app import config as configuration
from app.accounts import checks, demo, queries, service, setup
from app.accounts.models import AuditEntry, Installation, Role, User
from app.accounts.routes import SETUP_CLOSED
from app.accounts.service import NewPerson
from app.config import Config, current_config, use_config
from app.db import db
from app.encryption import KeyRing, new_key
from app.errors import DomainError, Forbidden
from app.transactions import transaction
from tests.accounts.people import EMAIL, PASSWORD, log_in
from tests.at_once import at_once
from tests.client import Client
from tests.factories import make_user


@pytest.fixture(autouse=True)
def _nothing_remembered(app: Flask) -> Iterator[None]:
    app.extensions.pop(SETUP_CLOSED, None)
    yield
    app.extensions.pop(SETUP_CLOSED, None)


def form(**values: str) -> dict[str, str]:
    return {"email": EMAIL, "password": PASSWORD, "code": setup.setup_code(), **values}


def administrators() -> int:
    query = select(func.count()).select_from(User).where(User.role == Role.ADMIN.value)
    return db.session.scalar(query) or 0


def flask(app: Flask, *words: str, answers: str = "") -> Result:
    db.session.commit()
    return app.test_cli_runner().invoke(args=list(words), input=answers)


def test_a_fresh_installation_leads_to_the_set_up(client: Client) -> None:
    assert client.get("/").location == "/setup"
    page = client.get("/setup").text
    assert 'name="code"' in page
    assert setup.setup_code() not in page


def test_the_code_makes_the_administrator_and_signs_in(client: Client) -> None:
    answer = client.post_form("/setup", form(code=setup.setup_code().lower().replace("-", " ")))
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    # Staff begins with the second factor.
    assert client.get("/dashboard").location == "/settings/second-factor"
    assert client.get("/settings/second-factor").status_code == 200
    user = db.session.scalars(select(User)).one()
    assert (user.role, user.email, user.is_confirmed) == ("admin", EMAIL, True)
    assert db.session.get_one(Installation, 1).administrator_id == user.id
    actions = set(db.session.scalars(select(AuditEntry.action)))
    assert {"accounts.set_up", "accounts.administrator_created"} <= actions


def test_the_set_up_never_opens_again(client: Client) -> None:
    code = setup.setup_code()
    client.post_form("/setup", form())
    client.post_form("/logout")
    for user in db.session.scalars(select(User)):
        user.role = Role.CUSTOMER.value
    db.session.commit()
    assert client.get("/setup").status_code == 404
    assert client.get("/setup/checks").status_code == 404
    assert client.post_form("/setup", form(code=code, email="b@example.org")).status_code == 404
    assert administrators() == 0
    assert client.get("/").status_code == 200


def test_an_administrator_made_otherwise_closes_the_set_up(client: Client) -> None:
    with transaction():
        service.create_admin(NewPerson(email=EMAIL, password=PASSWORD))
    assert client.get("/setup").status_code == 404


def test_an_existing_administrator_closes_it_even_without_the_mark(client: Client) -> None:
    make_user(Role.ADMIN)
    assert client.get("/setup").status_code == 404


def test_customers_alone_do_not_close_it(client: Client) -> None:
    make_user()
    assert client.get("/setup").status_code == 200
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("code", ["", "AAAA-AAAA-AAAA-AAAA", "😀", "\0", "x" * 40])
def test_a_wrong_code_makes_nobody(client: Client, code: str) -> None:
    assert client.post_form("/setup", form(code=code)).status_code == 422
    assert administrators() == 0
    assert queries.setup_is_open()


@pytest.mark.parametrize("field", ["email", "password"])
def test_a_wrong_field_leaves_the_set_up_open(client: Client, field: str) -> None:
    answer = client.post_form("/setup", form(**{field: "x"}))
    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert queries.setup_is_open()


def test_parallel_set_ups_make_one_administrator(app: Flask, database: None) -> None:
    code = setup.setup_code()

    def complete(number: int) -> str:
        person = NewPerson(email=f"admin{number}@example.org", password=PASSWORD)
        try:
            with transaction():
                setup.complete(code, person, "127.0.0.1")
        except DomainError as error:
            return error.code
        return "made"

    outcomes = at_once(app, 5, complete)
    assert sorted(outcomes) == ["made"] + ["setup_done"] * 4
    assert administrators() == 1


def test_guessing_the_code_is_limited(database: None) -> None:
    outcomes = []
    for number in range(21):
        person = NewPerson(email=f"a{number}@example.org", password=PASSWORD)
        with pytest.raises(DomainError) as refused, transaction():
            setup.complete("wrong", person, "127.0.0.1")
        outcomes.append(refused.value.code)
    assert outcomes == ["wrong_setup_code"] * 20 + ["too_many_tries"]


def test_the_code_is_logged_in_words_that_the_log_does_not_mask(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    from app.logs import mask_secrets

    client.get("/setup")
    client.get("/setup")
    lines = [record.getMessage() for record in caplog.records if "set-up" in record.getMessage()]
    assert len(lines) == 1
    assert setup.setup_code() in mask_secrets(lines[0])


def test_the_command_shows_the_code_while_the_set_up_is_open(app: Flask, database: None) -> None:
    shown = flask(app, "setup", "code")
    assert (shown.exit_code, shown.output.strip()) == (0, setup.setup_code())
    make_user(Role.ADMIN)
    closed = flask(app, "setup", "code")
    assert closed.exit_code == 1
    assert "was done" in closed.output


def test_the_command_makes_an_administrator(app: Flask, client: Client) -> None:
    made = flask(app, "create-admin", "--email", EMAIL, "--password", PASSWORD)
    assert (made.exit_code, made.output) == (
        0,
        f"Administrator {EMAIL} is ready: log in at /login.\n",
    )
    assert log_in(client) == 303


def test_the_command_asks_for_the_password_without_showing_it(app: Flask, database: None) -> None:
    answers = f"{EMAIL}\n{PASSWORD}\n{PASSWORD}\n"
    made = flask(app, "create-admin", answers=answers)
    assert made.exit_code == 0
    assert PASSWORD not in made.output


@pytest.mark.parametrize(
    ("email", "password", "sentence"),
    [
        ("no address", PASSWORD, "does not look like an e-mail"),
        (EMAIL, "short", "at least 8"),
        ("taken@example.org", PASSWORD, "already"),
    ],
)
def test_the_command_says_what_is_wrong(
    app: Flask, database: None, email: str, password: str, sentence: str
) -> None:
    make_user().email = "taken@example.org"
    refused = flask(app, "create-admin", "--email", email, "--password", password)
    assert refused.exit_code == 1
    assert sentence in refused.output
    assert administrators() == 0


# Checks -----------------------------------------------------------------------------------------


def test_the_checks_name_all_four_subjects(client: Client) -> None:
    page = client.get("/setup/checks").text
    for word in ("Secrets", "Mail", "Address", "Exchanges"):
        assert word in page


def graded(config: Config, host: str = "localhost") -> dict[str, str]:
    findings = (
        checks.check_secrets(config),
        checks.check_mail(config),
        checks.check_address(config, host),
    )
    return {finding.code: finding.grade.value for finding in findings}


def test_the_checks_tell_good_from_bad(app: Flask) -> None:
    good = replace(current_config(), base_url="https://bots.example.org")
    assert graded(good, "bots.example.org") == {
        "secrets_kept": "ok",
        "mail_caught": "warning",
        "address_fits": "ok",
    }
    bad = replace(
        good,
        environment="production",
        key_ring=KeyRing({"ephemeral": new_key()}, "ephemeral"),
        base_url="http://bots.example.org",
    )
    assert graded(bad, "other.example.org") == {
        "secrets_ephemeral": "problem",
        "mail_missing": "problem",
        "address_differs": "warning",
    }
    unreachable = replace(good, smtp_url="smtp://127.0.0.1:1")
    assert graded(unreachable)["mail_server_unreachable"] == "problem"


# Demo people ------------------------------------------------------------------------------------


def test_demo_people_are_made_once_and_can_log_in(app: Flask, client: Client) -> None:
    for _ in range(2):
        with transaction():
            demo.seed_people()
    assert db.session.scalar(select(func.count()).select_from(User)) == 2
    assert [login.email for login in demo.existing_logins()] == [
        "demo@botyard.local",
        "admin@botyard.local",
    ]
    assert log_in(client, demo.CUSTOMER.email, demo.CUSTOMER.password) == 303
    client.post_form("/logout")
    assert log_in(client, demo.ADMINISTRATOR.email, demo.ADMINISTRATOR.password) == 303
    code = flask(app, "demo", "code").output.strip()
    assert client.post_form("/login/code", {"code": code}).location == "/dashboard"
    assert client.get("/admin/").status_code == 200
    # The next half minute's code works already; after it, one has to wait.
    assert flask(app, "demo", "code").output.strip() != code
    assert f"{demo.ADMINISTRATOR.password}" in flask(app, "demo", "logins").output
    assert not queries.setup_is_open()


@pytest.mark.parametrize("change", [{"environment": "production"}, {"demo": False}])
def test_no_demo_people_in_production_or_without_demo(
    app: Flask, database: None, change: dict[str, object]
) -> None:
    config = current_config()
    use_config(replace(config, **change))  # type: ignore[arg-type]
    try:
        with pytest.raises(Forbidden), transaction():
            demo.seed_people()
    finally:
        use_config(config)
    assert db.session.scalar(select(func.count()).select_from(User)) == 0


def test_the_list_of_common_passwords_is_shipped() -> None:
    assert (Path(configuration.ROOT) / "app/accounts/common_passwords.txt").stat().st_size > 0
