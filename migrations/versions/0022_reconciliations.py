"""How far missed callbacks were fetched, and comparisons with the books of providers.

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "rail_backfills",
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("last_id", sa.Text(), nullable=True),
        _time("looked_at"),
        sa.PrimaryKeyConstraint("rail", name=op.f("pk_rail_backfills")),
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        _time("since"),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        _count("compared"),
        _count("others"),
        _count("fixed"),
        _count("differences"),
        _time("started_at", now=True),
        _time("moved_at", now=True),
        _time("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )
    op.create_index(
        "uq_reconciliations_running",
        "reconciliations",
        ["rail"],
        unique=True,
        postgresql_where=sa.text("ended_at is null"),
    )
    op.create_index("ix_reconciliations_started_at", "reconciliations", ["started_at"])
    op.create_table(
        "reconciliation_differences",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("here", sa.Text(), nullable=False),
        sa.Column("there", sa.Text(), nullable=False),
        sa.Column("is_fixed", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        _time("created_at", now=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["reconciliations.id"],
            name=op.f("fk_reconciliation_differences_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation_differences")),
        sa.UniqueConstraint(
            "run_id",
            "kind",
            "external_id",
            "field",
            name=op.f("uq_reconciliation_differences_run_id_kind_external_id_field"),
        ),
    )
    op.create_table(
        "reconciliation_awaited",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["reconciliations.id"],
            name=op.f("fk_reconciliation_awaited_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "kind", "external_id", name=op.f("pk_reconciliation_awaited")
        ),
    )


def downgrade() -> None:
    op.drop_table("reconciliation_awaited")
    op.drop_table("reconciliation_differences")
    op.drop_table("reconciliations")
    op.drop_table("rail_backfills")
