"""How often a silent bot was started anew, and when its owner was told that it gave up."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that old code need not know."""
    op.add_column(
        "bots", sa.Column("restarts", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("bots", sa.Column("restarted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("bots", sa.Column("alarmed_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Take them away."""
    for name in ("alarmed_at", "restarted_at", "restarts"):
        op.drop_column("bots", name)
