"""A person looks into refunds that failed.

Revision ID: 0038
Revises: 0037
"""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

ALERTS = "payment_alerts"


def _kinds(words: str) -> None:
    name = op.f(f"ck_{ALERTS}_kind")
    op.drop_constraint(name, ALERTS, type_="check")
    op.create_check_constraint(name, ALERTS, f"kind in ({words})")


def upgrade() -> None:
    _kinds("'fraud_warning', 'refund_excess', 'erased_payer', 'refund_failed'")


def downgrade() -> None:
    op.execute("delete from payment_alerts where kind = 'refund_failed'")
    _kinds("'fraud_warning', 'refund_excess', 'erased_payer'")
