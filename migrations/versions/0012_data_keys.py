"""New data keys for owners: the previous one opens while its values are sealed anew.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "owner_keys",
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column("owner_keys", sa.Column("sealed_previous", sa.Text(), nullable=True))
    op.add_column(
        "owner_keys",
        sa.Column("rotation_due", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "owner_keys", sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    # The code before this knows one key for each owner, the first one.
    newer = "select 1 from owner_keys where generation > 1 or sealed_previous is not null"
    if op.get_bind().scalar(sa.text(newer)):
        raise RuntimeError("data keys were exchanged: the code before this can't open anything")
    for column in ("rotated_at", "rotation_due", "sealed_previous", "generation"):
        op.drop_column("owner_keys", column)
