"""Two database roles: one owns the tables and migrates, the other one serves and owns nothing.

Who breaks into a web process or a worker can then not switch the trigger of the audit trail off,
nor change the tables.
"""

import logging
from typing import cast

import psycopg
from psycopg import sql
from sqlalchemy import URL, Connection, make_url, text

log = logging.getLogger(__name__)

# What the serving role may do with a table, where that is not everything that rows allow.
RIGHTS = {
    "audit_log": ("select", "insert"),
    "alembic_version": ("select",),
    "ledger_accounts": ("select", "insert"),
    "ledger_postings": ("select", "insert"),
    "ledger_entries": ("select", "insert"),
    # Triggers of the owner move these, by the entries.
    "ledger_balances": ("select",),
    "ledger_holds": ("select", "insert", "update"),
    "invoices": ("select", "insert", "update"),
    "invoice_events": ("select", "insert"),
    "invoice_lines": ("select", "insert"),
    "payments": ("select", "insert", "update"),
    "refunds": ("select", "insert", "update"),
    "disputes": ("select", "insert", "update"),
    "payment_alerts": ("select", "insert", "update"),
    "credit_notes": ("select", "insert"),
    # What was said is not said otherwise later; it goes with its person.
    "support_messages": ("select", "insert", "delete"),
    "support_notes": ("select", "insert", "delete"),
    "subscription_history": ("select", "insert"),
}
ALL_ROWS = ("select", "insert", "update", "delete")


def grant_rights(owner: Connection, serving_url: str) -> None:
    """Let the role of `serving_url` work with the rows of every table; make it if it is missing.

    Any number of times, after each migration. Without a role of its own only a warning is written.
    """
    serving = make_url(serving_url)
    role = serving.username
    if role is None or role == owner.scalar(text("select current_user")):
        log.warning(
            "one_database_role: the processes own their tables;"
            " set DATABASE_OWNER_URL for migrations and give DATABASE_URL a role of its own"
        )
        return
    raw = cast(psycopg.Connection, owner.connection.driver_connection)
    with raw.cursor() as cursor:
        _ensure_role(cursor, raw, role, serving)
        name = sql.Identifier(role)
        cursor.execute(sql.SQL("grant usage on schema public to {}").format(name))
        cursor.execute(
            sql.SQL("grant usage, select on all sequences in schema public to {}").format(name)
        )
        cursor.execute("select tablename from pg_tables where schemaname = 'public'")
        for (table,) in cursor.fetchall():
            rights = sql.SQL(", ").join(map(sql.SQL, RIGHTS.get(table, ALL_ROWS)))
            place = sql.Identifier("public", table)
            cursor.execute(sql.SQL("revoke all on {} from {}").format(place, name))
            cursor.execute(sql.SQL("grant {} on {} to {}").format(rights, place, name))


def _ensure_role(cursor: psycopg.Cursor, raw: psycopg.Connection, role: str, serving: URL) -> None:
    cursor.execute("select 1 from pg_roles where rolname = %s", (role,))
    if cursor.fetchone() is not None:
        return
    # The server gets the password as a hash only: statements may be logged.
    password = serving.password
    proof: sql.Composable = sql.SQL("")
    if password:
        hashed = raw.pgconn.encrypt_password(str(password).encode(), role.encode(), None)
        proof = sql.SQL(" password {}").format(sql.Literal(hashed.decode()))
    cursor.execute(sql.SQL("create role {} login{}").format(sql.Identifier(role), proof))
    log.info("database_role_made role=%s", role)
