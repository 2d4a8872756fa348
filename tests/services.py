"""The servers of a test run: started once, one database of each for every xdist worker."""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from redis import Redis
from sqlalchemy import make_url

from dev.postgres import FAST, SERVING_USER, PostgresServer
from dev.valkey import ValkeyServer

TEMPLATE_LOCK = 7_205_777
# Deleting the few rows of a test costs a twentieth of truncating: that makes new files for every
# table and index. The locks are as strict. Only a superuser may leave foreign keys and the
# triggers of what refuses this to everybody (audit log, ledger) aside; any other owner truncates.
CLEANER = """
do $$
declare
    tables text[];
    body text;
begin
    select array_agg(quote_ident(tablename)) into tables
        from pg_tables where schemaname = 'public' and tablename <> 'alembic_version';
    if current_setting('is_superuser') = 'on' then
        select string_agg(format(
            'if exists (select from %1$s) then '
            'lock table %1$s in access exclusive mode; delete from %1$s; end if;', name), ' ')
            into body from unnest(tables) name;
        -- For the whole session: each change of it has every plan of the session made anew.
        set session_replication_role = replica;
    else
        select string_agg(
            format('alter table %s disable trigger %I;', tgrelid::regclass, tgname), ' ')
            into body from pg_trigger where tgname ~ '_refuse$';
        body := body || format('truncate %s;', array_to_string(tables, ', '))
            || replace(body, ' disable trigger ', ' enable trigger ');
    end if;
    execute format(
        'create or replace function pg_temp.empty_tables() returns void language plpgsql as %L',
        'begin set local lock_timeout = ''5s''; ' || body || ' end');
end
$$
"""
CLEAN = "select pg_temp.empty_tables()"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers of this run are; plain texts, handed to the xdist workers."""

    postgres: str
    redis: str
    run: str
    # The address of the server as a role that owns nothing; the owner's where none can be made.
    serving: str = ""

    def database(self, name: str) -> str:
        """Return the address of one database on the PostgreSQL server."""
        return _with_database(self.postgres, name)

    def served(self, name: str) -> str:
        """Return the same as the role that the processes of the product connect as."""
        return _with_database(self.serving or self.postgres, name)

    def redis_database(self, number: int) -> str:
        """Return the address of one database on the Redis server."""
        return f"{self.redis.rpartition('/')[0]}/{number}"


def _with_database(url: str, name: str) -> str:
    before, _, query = url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def start_services(stack: ExitStack) -> Addresses:
    """Start what TEST_DATABASE_URL and TEST_REDIS_URL don't name; the stack stops it."""
    run = f"test_{os.getpid()}"
    temporary = tempfile.TemporaryDirectory(prefix="botyard.", ignore_cleanup_errors=True)
    folder = Path(stack.enter_context(temporary))
    # The server may run as another user, who must be able to pass; its data stay closed.
    folder.chmod(0o711)
    postgres = _postgres_url(stack, folder, run)
    return Addresses(postgres, _redis_url(stack, folder), run, _serving_url(postgres))


def _postgres_url(stack: ExitStack, folder: Path, run: str) -> str:
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        url = _sqlalchemy(given)
        stack.callback(_drop_databases, url, run)
        return url
    server = PostgresServer(folder / "postgres", settings=FAST)
    stack.callback(server.remove)
    server.start()
    return server.url("postgres")


def _serving_url(owner: str) -> str:
    """Return the server's address as a role of the product, unless the owner can't make roles."""
    query = "select rolsuper or rolcreaterole from pg_roles where rolname = current_user"
    with connect(owner) as connection:
        row = connection.execute(query).fetchone()
    if row is None or not row[0]:
        return owner
    url = make_url(owner).set(username=SERVING_USER)
    return url.set(password="only-for-tests" if url.password else None).render_as_string(False)


def _redis_url(stack: ExitStack, folder: Path) -> str:
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        url = given.rstrip("/")
        return url if url.rpartition("/")[2].isdecimal() else f"{url}/0"
    server = ValkeyServer(folder / "valkey", durable=False)
    stack.callback(server.remove)
    server.start()
    return server.url()


def make_database(addresses: Addresses, name: str) -> str:
    """Clone the migrated template, making it first if no other worker has; return the address."""
    template = f"{addresses.run}_template"
    with connect(addresses.postgres) as connection:
        connection.execute("select pg_advisory_lock(%s)", (TEMPLATE_LOCK,))
        if not _exists(connection, template):
            fresh = f"{addresses.run}_fresh"
            _create(connection, fresh)
            migrate(addresses.database(fresh), addresses.served(fresh))
            connection.execute(
                sql.SQL("alter database {} rename to {}").format(
                    sql.Identifier(fresh), sql.Identifier(template)
                )
            )
        _create(connection, name, template)
        connection.execute("select pg_advisory_unlock(%s)", (TEMPLATE_LOCK,))
    return addresses.database(name)


def connect(url: str) -> psycopg.Connection:
    """Open a plain connection in autocommit mode to an SQLAlchemy address."""
    return psycopg.connect(plain(url), autocommit=True, connect_timeout=5)


def plain(url: str) -> str:
    """Return an SQLAlchemy address as the driver itself writes it."""
    return url.replace("+psycopg", "", 1)


def connect_cleaner(url: str) -> psycopg.Connection:
    """Open a connection of the owner of the tables that can empty them all."""
    connection = connect(url)
    connection.execute(CLEANER)
    return connection


def clean(connection: psycopg.Connection, redis: Redis) -> None:
    """Empty every table and the Redis database, over a connection of `connect_cleaner`.

    A test that leaves a transaction open fails here, after five seconds, by its lock.
    """
    connection.execute(CLEAN)
    redis.flushdb()


def migrate(url: str, served: str | None = None) -> None:
    """Bring a database to the newest migration, for a role that serves at its other address."""
    from flask_migrate import upgrade

    from app import create_app
    from app.config import load_config
    from app.db import db

    environment = {
        "BOTYARD_ENV": "testing",
        "DATABASE_URL": served or url,
        "DATABASE_OWNER_URL": url,
        "REDIS_URL": "redis://localhost:1/0",
    }
    with create_app(load_config(environment)).app_context():
        upgrade()
        db.engine.dispose()


def _create(connection: psycopg.Connection, name: str, template: str = "template1") -> None:
    connection.execute(
        sql.SQL("create database {} template {} strategy file_copy").format(
            sql.Identifier(name), sql.Identifier(template)
        )
    )


def _exists(connection: psycopg.Connection, name: str) -> bool:
    query = "select 1 from pg_database where datname = %s"
    return connection.execute(query, (name,)).fetchone() is not None


def _drop_databases(url: str, run: str) -> None:
    with connect(url) as connection:
        query = "select datname from pg_database where starts_with(datname, %s)"
        for (name,) in connection.execute(query, (f"{run}_",)).fetchall():
            connection.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            )


def _sqlalchemy(url: str) -> str:
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url
