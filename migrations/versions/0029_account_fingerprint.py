"""An account at an exchange is known again, whatever key it is connected with.

Revision ID: 0029
Revises: 0028
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

TABLE = "exchange_accounts"
NAME = "uq_exchange_accounts_account"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("account_fingerprint", sa.Text(), nullable=True))
    op.create_index(
        NAME,
        TABLE,
        ["account_fingerprint"],
        unique=True,
        postgresql_where=sa.text("deleted_at is null"),
    )


def downgrade() -> None:
    op.drop_index(NAME, table_name=TABLE)
    op.drop_column(TABLE, "account_fingerprint")
