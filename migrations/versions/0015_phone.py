"""Numbers that are confirmed, codes for them, and texts that go to them.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "profiles", sa.Column("phone_confirmed_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("one_time_codes", sa.Column("sealed_phone", sa.Text(), nullable=True))
    op.add_column("outbox", sa.Column("sealed_recipient", sa.Text(), nullable=True))
    op.add_column(
        "users",
        sa.Column("mail_unproved", sa.Boolean(), server_default=sa.false(), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("users", "mail_unproved")
    op.drop_column("outbox", "sealed_recipient")
    op.drop_column("one_time_codes", "sealed_phone")
    op.drop_column("profiles", "phone_confirmed_at")
