"""Subscriptions that a provider keeps, what it calls our prices, and by which rail a plan is paid.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=default, nullable=nullable
    )


def upgrade() -> None:
    op.add_column(
        "subscriptions", sa.Column("rail", sa.Text(), server_default="", nullable=False)
    )
    op.create_table(
        "rail_prices",
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("price_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["price_id"], ["plan_prices.id"], name=op.f("fk_rail_prices_price_id")
        ),
        sa.PrimaryKeyConstraint("rail", "external_id", name=op.f("pk_rail_prices")),
    )
    op.create_table(
        "rail_subscriptions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("price_ref", sa.Text(), nullable=False),
        sa.Column("paid_price_ref", sa.Text(), nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=False),
        _time("started_at"),
        _time("period_end"),
        _time("trial_end", nullable=True),
        _time("cancel_at", nullable=True),
        sa.Column("is_collection_paused", sa.Boolean(), nullable=False),
        sa.Column("has_pending_update", sa.Boolean(), nullable=False),
        sa.Column("price_id", sa.BigInteger(), nullable=True),
        sa.Column("plan_code", sa.Text(), nullable=True),
        _time("access_until", nullable=True),
        _time("created_at", now=True),
        _time("updated_at", now=True),
        sa.ForeignKeyConstraint(
            ["plan_code"], ["plans.code"], name=op.f("fk_rail_subscriptions_plan_code")
        ),
        sa.ForeignKeyConstraint(
            ["price_id"], ["plan_prices.id"], name=op.f("fk_rail_subscriptions_price_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_rail_subscriptions_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rail_subscriptions")),
        sa.UniqueConstraint(
            "rail", "external_id", name=op.f("uq_rail_subscriptions_rail_external_id")
        ),
    )
    op.create_index(op.f("ix_rail_subscriptions_user_id"), "rail_subscriptions", ["user_id"])


def downgrade() -> None:
    op.drop_table("rail_subscriptions")
    op.drop_table("rail_prices")
    op.drop_column("subscriptions", "rail")
