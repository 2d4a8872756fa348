"""What serves owns nothing in the database; what migrates gives it its rights."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError

from app.config import load_config
from app.database_roles import grant_rights
from app.db import db
from tests import services
from tests.services import Addresses


@pytest.fixture(autouse=True)
def _two_roles(addresses: Addresses) -> None:
    if addresses.serving == addresses.postgres:
        pytest.skip("the owner at TEST_DATABASE_URL may not make roles")


def test_the_product_owns_nothing(database: None) -> None:
    owned = (
        "select count(*) from pg_class join pg_roles on pg_roles.oid = relowner"
        " where rolname = current_user"
    )
    assert db.session.scalar(text(owned)) == 0
    role = (
        "select rolsuper or rolcreaterole or rolcreatedb or rolbypassrls from pg_roles"
        " where rolname = current_user"
    )
    assert db.session.scalar(text(role)) is False


@pytest.mark.parametrize(
    "statement",
    [
        "create table mine (id int)",
        "drop table users",
        "alter table users add column extra text",
        "truncate users cascade",
        "alter table audit_log disable trigger user",
        "drop trigger audit_refuse on audit_log",
        "create or replace function audit_refuse() returns trigger language plpgsql"
        " as 'begin return new; end'",
        "update audit_log set reason = 'x'",
        "delete from audit_log",
        "set session_replication_role = 'replica'",
        "update alembic_version set version_num = '0001'",
        "create role friend",
        "set role app",
    ],
)
def test_the_product_cannot_change_tables_or_the_trail(database: None, statement: str) -> None:
    with pytest.raises(ProgrammingError):
        db.session.execute(text(statement))
    db.session.rollback()


@pytest.fixture
def fresh_role(addresses: Addresses, database_url: str) -> Iterator[str]:
    name = f"botyard_test_{secrets.token_hex(4)}"
    yield name
    with services.connect(database_url) as owner:
        if owner.execute("select 1 from pg_roles where rolname = %s", (name,)).fetchone():
            owner.execute(sql.SQL("drop owned by {0}").format(sql.Identifier(name)))
            owner.execute(sql.SQL("drop role {0}").format(sql.Identifier(name)))


def test_an_installation_with_one_role_gets_the_second_with_its_next_migration(
    database: None, database_url: str, fresh_role: str, caplog: pytest.LogCaptureFixture
) -> None:
    from sqlalchemy import create_engine

    serving = make_url(database_url).set(username=fresh_role, password="pass+word%1")
    owner = create_engine(database_url)
    try:
        with caplog.at_level("DEBUG"), owner.begin() as connection:
            for _ in range(2):
                grant_rights(connection, serving.render_as_string(hide_password=False))
            query = text("select rolpassword from pg_authid where rolname = :name")
            stored = str(connection.scalar(query, {"name": fresh_role}))
        assert stored.startswith("SCRAM-SHA-256$")
        assert "pass+word" not in caplog.text
        with psycopg.connect(
            services.plain(serving.render_as_string(hide_password=False)), autocommit=True
        ) as connection:
            assert connection.execute("select count(*) from users").fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("delete from audit_log")
    finally:
        owner.dispose()


def test_one_role_for_all_works_with_a_warning(
    database: None, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    from sqlalchemy import create_engine

    owner = create_engine(database_url)
    with owner.begin() as connection:
        grant_rights(connection, database_url)
    owner.dispose()
    assert "one_database_role" in caplog.text


def test_the_owner_of_a_running_product_is_not_asked_for_another_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from pathlib import Path

    from app import config

    stored = Path(str(tmp_path)) / "run.env"
    stored.write_text(
        "BOTYARD_ENV=development\nDATABASE_URL=postgresql://a/one\nDATABASE_OWNER_URL=postgresql://o/one\n"
    )
    monkeypatch.setattr(config, "RUN_FILE", stored)
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "BOTYARD_ENV"):
        monkeypatch.delenv(name, raising=False)
    assert load_config().database_owner_url == "postgresql+psycopg://o/one"
    monkeypatch.setenv("DATABASE_URL", "postgresql://b/two")
    assert load_config().database_owner_url is None
    monkeypatch.delenv("DATABASE_URL")
    # What serves is told so.
    monkeypatch.setenv("DATABASE_OWNER_URL", "")
    assert load_config().database_owner_url is None
