"""Payments and refunds say themselves that their mail is to be written.

Revision ID: 0037
Revises: 0036
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

TABLES = ("payments", "refunds")
COLUMN = "mail_due_at"


def upgrade() -> None:
    # What was booked before stays without a mail.
    for table in TABLES:
        op.add_column(table, sa.Column(COLUMN, sa.DateTime(timezone=True), nullable=True))
        op.create_index(
            f"ix_{table}_mail_due",
            table,
            [COLUMN],
            postgresql_where=sa.text(f"{COLUMN} is not null"),
        )


def downgrade() -> None:
    for table in TABLES:
        op.drop_index(f"ix_{table}_mail_due", table_name=table)
        op.drop_column(table, COLUMN)
