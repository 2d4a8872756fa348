"""Tickets of customers, what both sides wrote in them, and notes of staff.

Revision ID: 0025
Revises: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _link(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name)


def upgrade() -> None:
    table = "support_tickets"
    op.create_table(
        table,
        _id(),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("bot_id", sa.BigInteger(), nullable=True),
        sa.Column("assignee_id", sa.BigInteger(), nullable=True),
        _time("waiting_since", nullable=True),
        _time("closed_at", nullable=True),
        _time("created_at", now=True),
        _time("updated_at"),
        sa.CheckConstraint(
            "state in ('open', 'answered', 'closed')", name=op.f("ck_support_tickets_state")
        ),
        sa.CheckConstraint(
            "topic in ('bots', 'exchanges', 'money', 'account', 'other')",
            name=op.f("ck_support_tickets_topic"),
        ),
        sa.CheckConstraint(
            "(state = 'open') = (waiting_since is not null)",
            name=op.f("ck_support_tickets_waiting_since"),
        ),
        sa.CheckConstraint(
            "(state = 'closed') = (closed_at is not null)",
            name=op.f("ck_support_tickets_closed_at"),
        ),
        _link(table, "user_id", "users"),
        _link(table, "bot_id", "bots"),
        _link(table, "assignee_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_tickets")),
        sa.UniqueConstraint("user_id", "key", name=op.f("uq_support_tickets_user_id_key")),
    )
    for columns in (
        ["bot_id"], ["assignee_id"], ["state", "waiting_since"], ["user_id", "updated_at"],
    ):  # fmt: skip
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)
    for table in ("support_messages", "support_notes"):
        sides = (
            [sa.Column("from_staff", sa.Boolean(), nullable=False)]
            if table == "support_messages"
            else []
        )
        op.create_table(
            table,
            _id(),
            sa.Column("ticket_id", sa.BigInteger(), nullable=False),
            sa.Column("author_id", sa.BigInteger(), nullable=False),
            *sides,
            sa.Column("key", sa.Text(), nullable=False),
            sa.Column("text", sa.Text(), nullable=False),
            _time("at", now=True),
            _link(table, "ticket_id", "support_tickets"),
            _link(table, "author_id", "users"),
            sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
            sa.UniqueConstraint("ticket_id", "key", name=op.f(f"uq_{table}_ticket_id_key")),
        )
        op.create_index(op.f(f"ix_{table}_author_id"), table, ["author_id"])


def downgrade() -> None:
    for table in ("support_notes", "support_messages", "support_tickets"):
        op.drop_table(table)
