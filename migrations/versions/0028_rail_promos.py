"""Promotion codes of ours at providers, and what lowers their subscriptions and invoices.

Revision ID: 0028
Revises: 0027
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

TABLE = "rail_promos"
# What was issued does not change, the name of its discount neither.
MOVE = """
create or replace function public.invoice_move() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'draft' then
            raise exception 'an invoice begins as a draft' using errcode = 'check_violation';
        end if;
        return new;
    end if;
    if new.state <> old.state and (old.state, new.state) not in (
        ('draft', 'open'), ('draft', 'void'),
        ('open', 'paid'), ('open', 'void'), ('open', 'uncollectible'),
        ('uncollectible', 'paid'), ('uncollectible', 'void')
    ) then
        raise exception 'an invoice does not go from % to %', old.state, new.state
            using errcode = 'check_violation';
    end if;
    if old.state <> 'draft' and (
        new.key, new.user_id, new.currency, new.subtotal, new.discount,{new}
        new.tax, new.total
    ) is distinct from (
        old.key, old.user_id, old.currency, old.subtotal, old.discount,{old}
        old.tax, old.total
    ) then
        raise exception 'an invoice that was issued does not change'
            using errcode = 'check_violation';
    end if;
    if old.number is not null and new.number is distinct from old.number then
        raise exception 'an invoice keeps its number' using errcode = 'check_violation';
    end if;
    return new;
end
$$
"""


def _time(name: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default="0", nullable=False)


def _guard(new: str, old: str) -> None:
    op.execute(MOVE.replace("{new}", new).replace("{old}", old))


def _pages_of(amount: str) -> None:
    """Let pages be for these amounts; those that were there before are not asked."""
    name = op.f("ck_checkouts_amount")
    op.drop_constraint(name, "checkouts", type_="check")
    op.create_check_constraint(name, "checkouts", f"amount {amount}", postgresql_not_valid=True)


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("code_id", sa.BigInteger(), nullable=False),
        sa.Column("months", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        _count("round"),
        _count("attempts"),
        _time("due_at"),
        sa.Column("error", sa.Text(), nullable=True),
        _time("created_at"),
        sa.CheckConstraint(
            "state in ('waiting', 'made', 'ending', 'ended', 'refused')",
            name=op.f(f"ck_{TABLE}_state"),
        ),
        sa.CheckConstraint("months >= 0", name=op.f(f"ck_{TABLE}_months")),
        sa.ForeignKeyConstraint(
            ["code_id"], ["promo_codes.id"], name=op.f(f"fk_{TABLE}_code_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{TABLE}")),
        sa.UniqueConstraint("rail", "code_id", "months", name=op.f(f"uq_{TABLE}_rail_code_id_months")),
    )
    op.create_index(op.f(f"ix_{TABLE}_code_id"), TABLE, ["code_id"])
    op.create_index(
        f"ix_{TABLE}_due",
        TABLE,
        ["due_at"],
        postgresql_where=sa.text("state in ('waiting', 'ending')"),
    )
    op.add_column(
        "rail_subscriptions", sa.Column("reference", sa.Text(), server_default="", nullable=False)
    )
    op.add_column(
        "rail_subscriptions",
        sa.Column(
            "discounts", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
    )
    op.add_column(
        "invoices", sa.Column("discount_name", sa.Text(), server_default="", nullable=False)
    )
    _pages_of(">= 0")
    _guard(" new.discount_name,", " old.discount_name,")


def downgrade() -> None:
    _guard("", "")
    _pages_of("> 0")
    op.drop_column("invoices", "discount_name")
    op.drop_column("rail_subscriptions", "discounts")
    op.drop_column("rail_subscriptions", "reference")
    op.drop_table(TABLE)
