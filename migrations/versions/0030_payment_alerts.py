"""Payments that a person has to look into, and inquiries of banks, which take no money.

Revision ID: 0030
Revises: 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

TABLE = "payment_alerts"
DISPUTES = "disputes"


def _states(words: str) -> None:
    name = op.f("ck_disputes_state")
    op.drop_constraint(name, DISPUTES, type_="check")
    op.create_check_constraint(name, DISPUTES, f"state in ({words})")


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(38, 18), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("settlement", sa.Text(), nullable=True),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind in ('fraud_warning', 'refund_excess')", name=op.f(f"ck_{TABLE}_kind")
        ),
        sa.CheckConstraint("state in ('open', 'over', 'settled')", name=op.f(f"ck_{TABLE}_state")),
        sa.CheckConstraint(
            "settlement in ('noted', 'loss', 'wallet')", name=op.f(f"ck_{TABLE}_settlement")
        ),
        sa.CheckConstraint("amount > 0", name=op.f(f"ck_{TABLE}_amount")),
        sa.CheckConstraint(
            "(state = 'settled') = (settlement is not null)", name=op.f(f"ck_{TABLE}_settled")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f(f"fk_{TABLE}_payment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
        sa.UniqueConstraint(
            "rail", "kind", "external_id", name=op.f(f"uq_{TABLE}_rail_kind_external_id")
        ),
    )
    op.create_index(op.f(f"ix_{TABLE}_payment_id"), TABLE, ["payment_id"])
    op.create_index(
        f"ix_{TABLE}_open", TABLE, ["created_at"], postgresql_where=sa.text("state = 'open'")
    )
    op.add_column(
        DISPUTES, sa.Column("answer_by", sa.DateTime(timezone=True), nullable=True)
    )
    _states("'inquiry', 'closed', 'open', 'won', 'lost'")


def downgrade() -> None:
    # What took no money is one that was won to whoever knows no inquiries.
    op.execute("update disputes set state = 'won' where state = 'closed'")
    op.execute("delete from disputes where state = 'inquiry'")
    _states("'open', 'won', 'lost'")
    op.drop_column(DISPUTES, "answer_by")
    op.drop_table(TABLE)
