"""Orders to providers about subscriptions, and what pages, prices and invoices are about there.

Revision ID: 0024
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def _time(name: str, *, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now)


def upgrade() -> None:
    op.create_table(
        "rail_commands",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("subscription_ref", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column(
            "params", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("owed", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("round", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        _time("due_at", now=True),
        sa.Column("error", sa.Text(), nullable=True),
        _time("created_at", now=True),
        _time("done_at"),
        sa.CheckConstraint(
            "state in ('waiting', 'done', 'refused', 'dropped')",
            name=op.f("ck_rail_commands_state"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_rail_commands_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rail_commands")),
    )
    op.create_index(op.f("ix_rail_commands_user_id"), "rail_commands", ["user_id"])
    op.create_index(
        "uq_rail_commands_one_waiting",
        "rail_commands",
        ["rail", "subscription_ref"],
        unique=True,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_rail_commands_due",
        "rail_commands",
        ["due_at"],
        postgresql_where=sa.text("state = 'waiting' and owed"),
    )
    op.add_column("invoices", sa.Column("pay_url", sa.Text(), nullable=True))
    op.add_column("invoices", sa.Column("subscription_ref", sa.Text(), nullable=True))
    op.create_index(op.f("ix_invoices_subscription_ref"), "invoices", ["subscription_ref"])
    op.add_column("rail_prices", _time("created_at", now=True))
    op.add_column("checkouts", sa.Column("subscription_ref", sa.Text(), nullable=True))
    op.add_column("checkouts", sa.Column("content", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("checkouts", "content")
    op.drop_column("checkouts", "subscription_ref")
    op.drop_column("rail_prices", "created_at")
    op.drop_index(op.f("ix_invoices_subscription_ref"), table_name="invoices")
    op.drop_column("invoices", "subscription_ref")
    op.drop_column("invoices", "pay_url")
    op.drop_table("rail_commands")
