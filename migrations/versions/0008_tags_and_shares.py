"""tags of bots, and links to their results

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A constant default writes no row anew, and code that knows no tags can go on inserting.
    op.add_column(
        "bots",
        sa.Column(
            "tags",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.create_table(
        "bot_shares",
        sa.Column("bot_id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("with_money", sa.Boolean(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.id"], name=op.f("fk_bot_shares_bot_id")),
        sa.PrimaryKeyConstraint("bot_id", name=op.f("pk_bot_shares")),
        sa.UniqueConstraint("token", name=op.f("uq_bot_shares_token")),
    )


def downgrade() -> None:
    op.drop_table("bot_shares")
    op.drop_column("bots", "tags")
