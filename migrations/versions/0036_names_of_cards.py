"""Which card a payment was made by, and which is kept, by the rail's own name of it.

Revision ID: 0036
Revises: 0035
"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TABLES = ("payments", "rail_customers")


def upgrade() -> None:
    for table in TABLES:
        column = sa.Column("method_ref", sa.Text(), server_default="", nullable=False)
        op.add_column(table, column)


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "method_ref")
