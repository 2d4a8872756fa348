"""Prices of today for subscriptions that come back; a person looks into money of somebody erased.

Revision ID: 0034
Revises: 0033
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

KEPT = "kept_subscriptions"
ALERTS = "payment_alerts"


def _kinds(words: str) -> None:
    name = op.f(f"ck_{ALERTS}_kind")
    op.drop_constraint(name, ALERTS, type_="check")
    op.create_check_constraint(name, ALERTS, f"kind in ({words})")


def upgrade() -> None:
    op.add_column(KEPT, sa.Column("prices_from", sa.DateTime(timezone=True), nullable=True))
    _kinds("'fraud_warning', 'refund_excess', 'erased_payer'")


def downgrade() -> None:
    op.execute("delete from payment_alerts where kind = 'erased_payer'")
    _kinds("'fraud_warning', 'refund_excess'")
    op.drop_column(KEPT, "prices_from")
