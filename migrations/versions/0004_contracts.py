"""Contracts: leverage, maintenance margins and funding of markets, funding payments on paper.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that may be empty, so that the code before goes on working, and a table."""
    op.add_column("markets", sa.Column("max_leverage", sa.Numeric(38, 18), nullable=True))
    op.add_column("markets", sa.Column("tiers", postgresql.JSONB(), nullable=True))
    op.add_column("markets", sa.Column("funding_interval_s", sa.Integer(), nullable=True))
    op.add_column("price_points", sa.Column("funding", sa.Numeric(38, 18), nullable=True))
    op.create_table(
        "paper_funding",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("market_id", sa.BigInteger(), nullable=False),
        sa.Column("point_seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rate", sa.Numeric(38, 18), nullable=False),
        sa.Column("price", sa.Numeric(38, 18), nullable=False),
        sa.Column("amount", sa.Numeric(38, 18), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["exchange_accounts.id"], name=op.f("fk_paper_funding_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["market_id"], ["markets.id"], name=op.f("fk_paper_funding_market_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_funding")),
        sa.UniqueConstraint(
            "account_id",
            "market_id",
            "point_seq",
            name=op.f("uq_paper_funding_account_id_market_id_point_seq"),
        ),
    )
    op.create_index(
        op.f("ix_paper_funding_account_id_id"), "paper_funding", ["account_id", "id"], unique=False
    )


def downgrade() -> None:
    """Take all of it away again."""
    op.drop_index(op.f("ix_paper_funding_account_id_id"), table_name="paper_funding")
    op.drop_table("paper_funding")
    op.drop_column("price_points", "funding")
    op.drop_column("markets", "funding_interval_s")
    op.drop_column("markets", "tiers")
    op.drop_column("markets", "max_leverage")
