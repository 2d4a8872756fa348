"""What staff have given waits while as much or more is paid for.

Revision ID: 0031
Revises: 0030
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

TABLE = "subscriptions"
WAITS = "(state = 'waiting') = (waits_since is not null)"


def _states(words: str) -> None:
    name = op.f(f"ck_{TABLE}_state")
    op.drop_constraint(name, TABLE, type_="check")
    op.create_check_constraint(name, TABLE, f"state in ({words})")


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("waits_since", sa.DateTime(timezone=True), nullable=True))
    _states("'active', 'waiting', 'ended', 'replaced'")
    op.create_check_constraint(op.f(f"ck_{TABLE}_waits_since"), TABLE, WAITS)
    op.create_index(
        f"ix_{TABLE}_waiting", TABLE, ["user_id"], postgresql_where=sa.text("state = 'waiting'")
    )


def downgrade() -> None:
    op.drop_index(f"ix_{TABLE}_waiting", table_name=TABLE)
    op.drop_constraint(op.f(f"ck_{TABLE}_waits_since"), TABLE, type_="check")
    op.execute(f"update {TABLE} set state = 'replaced' where state = 'waiting'")
    _states("'active', 'ended', 'replaced'")
    op.drop_column(TABLE, "waits_since")
