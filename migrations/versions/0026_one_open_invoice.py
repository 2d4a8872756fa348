"""A subscription that we keep has at most one open invoice.

Revision ID: 0026
Revises: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

NAME = "uq_invoices_one_open_of_kept"


def upgrade() -> None:
    op.create_index(
        NAME, "invoices", ["kept_id"], unique=True, postgresql_where=sa.text("state = 'open'")
    )


def downgrade() -> None:
    op.drop_index(NAME, table_name="invoices")
