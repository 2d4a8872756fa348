"""Promotion codes, and who has taken one for which purchase.

Revision ID: 0027
Revises: 0026
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

CODES, TAKEN = "promo_codes", "promo_redemptions"
CHECKS = {
    "code": "code ~ '^[A-Z0-9][A-Z0-9_-]{2,39}$'",
    "one_value": "num_nonnulls(percent, amount) = 1",
    "percent": "percent > 0 and percent <= 100",
    "amount": "amount > 0",
    "currency": "(amount is null) = (currency is null)",
    "periods": "periods >= 1",
    "max_redemptions": "max_redemptions >= 1",
    "redeemed": "redeemed >= 0",
}


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        CODES,
        _id(),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("percent", sa.Numeric(38, 18), nullable=True),
        sa.Column("amount", sa.Numeric(38, 18), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("periods", sa.Integer(), nullable=True),
        sa.Column("max_redemptions", sa.Integer(), nullable=True),
        sa.Column("redeemed", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "plans", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        _time("expires_at"),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_{CODES}_{n}")) for n, rule in CHECKS.items()),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{CODES}")),
        sa.UniqueConstraint("code", name=op.f(f"uq_{CODES}_code")),
    )
    op.create_table(
        TAKEN,
        _id(),
        sa.Column("code_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        _time("reserved_at", nullable=False),
        _time("used_at"),
        _time("released_at"),
        sa.CheckConstraint(
            "state in ('reserved', 'used', 'released')", name=op.f(f"ck_{TAKEN}_state")
        ),
        sa.ForeignKeyConstraint(["code_id"], [f"{CODES}.id"], name=op.f(f"fk_{TAKEN}_code_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f(f"fk_{TAKEN}_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TAKEN}")),
        sa.UniqueConstraint("user_id", "code_id", name=op.f(f"uq_{TAKEN}_user_id_code_id")),
        sa.UniqueConstraint("key", name=op.f(f"uq_{TAKEN}_key")),
    )
    op.create_index(op.f(f"ix_{TAKEN}_code_id"), TAKEN, ["code_id"])


def downgrade() -> None:
    op.drop_table(TAKEN)
    op.drop_table(CODES)
