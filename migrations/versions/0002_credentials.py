"""New addresses that wait for their code, and the moment before which sessions are dead.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("one_time_codes", sa.Column("new_email", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("sessions_from", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "sessions_from")
    op.drop_column("one_time_codes", "new_email")
