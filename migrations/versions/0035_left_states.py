"""What the last start of a bot remembered stays until all that it left at the venue is booked.

Revision ID: 0035
Revises: 0034
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
    op.add_column("bots", sa.Column("left_state", kind, nullable=True))


def downgrade() -> None:
    op.drop_column("bots", "left_state")
