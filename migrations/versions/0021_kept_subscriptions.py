"""Subscriptions that we keep, their items and history; add-ons, trials, seats and sales for life.

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

PERIOD = "ck_plan_prices_period"
PERIODS = "period ~ '^([1-9][0-9]?-)?(day|week|month|year)$'"
LIVE = "state <> 'ended'"
KEEP = """
create function public.subscription_history_keep() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'what happened to a subscription is kept: % is refused', lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$$
"""
TRIGGER = (
    "create trigger subscription_history_keep before update or delete on subscription_history "
    "for each statement execute function subscription_history_keep()"
)


def _id() -> sa.Column[object]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def _text(name: str, *, default: str | None = None, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=nullable)


def _number(name: str, *, default: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.Integer(), server_default=default, nullable=False)


def _time(name: str, *, nullable: bool = True, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=default, nullable=nullable and not now
    )


def _ref(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"))


def upgrade() -> None:
    op.add_column("plans", _text("kind", default="plan"))
    op.add_column("plans", _text("bot_kind", default=""))
    op.add_column("plans", _number("trial_days", default="0"))
    op.create_check_constraint(op.f("ck_plans_kind"), "plans", "kind in ('plan', 'addon')")
    op.create_check_constraint(op.f("ck_plans_trial_days"), "plans", "trial_days between 0 and 365")
    op.add_column("plan_prices", sa.Column("seats", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f("ck_plan_prices_seats"), "plan_prices", "seats >= 1")
    op.drop_constraint(op.f(PERIOD), "plan_prices", type_="check")
    op.create_check_constraint(op.f(PERIOD), "plan_prices", f"period = 'lifetime' or {PERIODS}")
    _kept()
    _items()
    _history()
    op.add_column("invoices", _ref("kept_id", nullable=True))
    op.create_foreign_key(
        op.f("fk_invoices_kept_id"), "invoices", "kept_subscriptions", ["kept_id"], ["id"]
    )
    op.create_index(op.f("ix_invoices_kept_id"), "invoices", ["kept_id"])
    op.add_column("invoice_lines", _ref("price_id", nullable=True))
    op.create_foreign_key(
        op.f("fk_invoice_lines_price_id"), "invoice_lines", "plan_prices", ["price_id"], ["id"]
    )
    op.create_index(op.f("ix_invoice_lines_price_id"), "invoice_lines", ["price_id"])


def _kept() -> None:
    table = "kept_subscriptions"
    op.create_table(
        table,
        _id(),
        _text("key"),
        _ref("user_id"),
        _text("rail"),
        _text("state"),
        _text("period"),
        _text("currency"),
        _time("started_at", nullable=False),
        _time("anchor"),
        _number("anchor_number", default="0"),
        _number("number", default="0"),
        _number("revision", default="0"),
        _time("period_start"),
        _time("period_end"),
        _time("trial_end"),
        sa.Column(
            "cancel_at_period_end", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        _time("change_at"),
        sa.Column("pending", postgresql.JSONB(none_as_null=True), nullable=True),
        _time("access_until"),
        _time("ended_at"),
        _time("created_at", now=True),
        _time("updated_at", now=True),
        sa.CheckConstraint(
            "state in ('incomplete', 'trialing', 'active', 'past_due', 'ended')",
            name=op.f("ck_kept_subscriptions_state"),
        ),
        sa.CheckConstraint(
            "(state = 'ended') = (ended_at is not null)",
            name=op.f("ck_kept_subscriptions_ended_at"),
        ),
        sa.CheckConstraint(
            "state in ('incomplete', 'ended') or period_start is not null",
            name=op.f("ck_kept_subscriptions_period_start"),
        ),
        sa.CheckConstraint(
            "number >= 0 and anchor_number >= 0", name=op.f("ck_kept_subscriptions_number")
        ),
        _key(table, "user_id", "users.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kept_subscriptions")),
        sa.UniqueConstraint("key", name=op.f("uq_kept_subscriptions_key")),
    )
    op.create_index(op.f("ix_kept_subscriptions_user_id"), table, ["user_id"])
    op.create_index(
        "uq_kept_subscriptions_one_live",
        table,
        ["user_id"],
        unique=True,
        postgresql_where=sa.text(LIVE),
    )
    op.create_index(
        "ix_kept_subscriptions_ending", table, ["period_end"], postgresql_where=sa.text(LIVE)
    )


def _items() -> None:
    table = "subscription_items"
    op.create_table(
        table,
        _id(),
        _ref("kept_id", nullable=True),
        _ref("rail_subscription_id", nullable=True),
        _ref("price_id"),
        _number("quantity"),
        _ref("next_price_id", nullable=True),
        sa.Column("next_quantity", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(kept_id, rail_subscription_id) = 1",
            name=op.f("ck_subscription_items_one_owner"),
        ),
        sa.CheckConstraint(
            "quantity >= 0 and next_quantity >= 0", name=op.f("ck_subscription_items_quantity")
        ),
        _key(table, "kept_id", "kept_subscriptions.id"),
        _key(table, "rail_subscription_id", "rail_subscriptions.id"),
        _key(table, "price_id", "plan_prices.id"),
        _key(table, "next_price_id", "plan_prices.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_items")),
    )
    for column in ("kept_id", "rail_subscription_id"):
        op.create_index(op.f(f"ix_subscription_items_{column}"), table, [column])


def _history() -> None:
    table = "subscription_history"
    op.create_table(
        table,
        _id(),
        _ref("user_id"),
        _text("source"),
        _text("what"),
        sa.Column("before", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("after", postgresql.JSONB(none_as_null=True), nullable=True),
        _ref("actor_id", nullable=True),
        _text("cause", default=""),
        _time("at", now=True),
        _key(table, "user_id", "users.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_history")),
    )
    op.create_index("ix_subscription_history_user_id", table, ["user_id", "id"])
    op.execute(KEEP)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.drop_column("invoice_lines", "price_id")
    op.drop_column("invoices", "kept_id")
    for table in ("subscription_history", "subscription_items"):
        op.drop_table(table)
    op.execute("drop function subscription_history_keep()")
    op.drop_table("kept_subscriptions")
    op.drop_constraint(op.f(PERIOD), "plan_prices", type_="check")
    # Prices for life stay as they are: the old code can't read them, so none may be on sale.
    op.create_check_constraint(op.f(PERIOD), "plan_prices", PERIODS, postgresql_not_valid=True)
    op.drop_column("plan_prices", "seats")
    for column in ("trial_days", "bot_kind", "kind"):
        op.drop_column("plans", column)
