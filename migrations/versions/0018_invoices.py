"""Invoices, their lines and the chain of their states, held by triggers too.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# The same table as app/payments/rules.py: a move that is not in it is refused, whoever asks.
MOVE = """
create function public.invoice_move() returns trigger
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
        new.key, new.user_id, new.currency, new.subtotal, new.discount, new.tax, new.total
    ) is distinct from (
        old.key, old.user_id, old.currency, old.subtotal, old.discount, old.tax, old.total
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
# At the commit the last event of an invoice tells of the state that it is in.
CHAIN = """
create function public.invoice_chain() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
    present text;
    told text;
begin
    select state into present from public.invoices where id = new.id;
    select to_state into told from public.invoice_events
        where invoice_id = new.id order by position desc limit 1;
    if told is distinct from present then
        raise exception 'invoice % is % and its last event says %', new.id, present, told
            using errcode = 'check_violation';
    end if;
    return null;
end
$$
"""
LINK = """
create function public.invoice_event_link() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
    before record;
begin
    select position, to_state into before from public.invoice_events
        where invoice_id = new.invoice_id order by position desc limit 1;
    if new.position <> coalesce(before.position, 0) + 1
        or new.from_state is distinct from before.to_state then
        raise exception 'an event of an invoice follows the one before'
            using errcode = 'check_violation';
    end if;
    return new;
end
$$
"""
LINES = """
create function public.invoice_line_draft() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    perform 1 from public.invoices where id = new.invoice_id and state = 'draft';
    if not found then
        raise exception 'only a draft takes lines' using errcode = 'check_violation';
    end if;
    return new;
end
$$
"""
KEEP = """
create function public.invoice_keep() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'what stands on an invoice is kept: % is refused', lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$$
"""
TRIGGERS = (
    "create trigger invoice_move before insert or update on invoices "
    "for each row execute function invoice_move()",
    "create constraint trigger invoice_chain after insert or update of state on invoices "
    "deferrable initially deferred for each row execute function invoice_chain()",
    "create trigger invoice_event_link before insert on invoice_events "
    "for each row execute function invoice_event_link()",
    "create trigger invoice_line_draft before insert on invoice_lines "
    "for each row execute function invoice_line_draft()",
    "create trigger invoice_keep before delete on invoices "
    "for each statement execute function invoice_keep()",
    "create trigger invoice_keep before update or delete on invoice_events "
    "for each statement execute function invoice_keep()",
    "create trigger invoice_keep before update or delete on invoice_lines "
    "for each statement execute function invoice_keep()",
)


def _exact(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Numeric(38, 18), nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "document_series",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_document_series")),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("subscription_id", sa.BigInteger(), nullable=True),
        sa.Column("rail", sa.Text(), server_default="", nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="draft", nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        *map(_exact, ("subtotal", "discount", "tax", "total")),
        *map(_time, ("due_at", "opened_at", "paid_at", "closed_at")),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        _time("next_attempt_at"),
        sa.Column("failure", sa.Text(), nullable=True),
        _now("created_at"),
        sa.CheckConstraint(
            "state in ('draft', 'open', 'paid', 'void', 'uncollectible')",
            name=op.f("ck_invoices_state"),
        ),
        sa.CheckConstraint(
            "total = subtotal - discount + tax", name=op.f("ck_invoices_total")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3,5}$'", name=op.f("ck_invoices_currency")),
        sa.CheckConstraint(
            "(state = 'paid') = (paid_at is not null)", name=op.f("ck_invoices_paid_at")
        ),
        sa.CheckConstraint(
            "state in ('draft', 'void') or number is not null", name=op.f("ck_invoices_numbered")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_invoices_user_id")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_invoices_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("key", name=op.f("uq_invoices_key")),
        sa.UniqueConstraint("number", name=op.f("uq_invoices_number")),
        sa.UniqueConstraint("rail", "external_id", name=op.f("uq_invoices_rail_external_id")),
    )
    op.create_index("ix_invoices_user_id", "invoices", ["user_id", "id"])
    op.create_index(op.f("ix_invoices_subscription_id"), "invoices", ["subscription_id"])
    op.create_index(
        "ix_invoices_due", "invoices", ["due_at"], postgresql_where=sa.text("state = 'open'")
    )
    op.create_table(
        "invoice_lines",
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("quantity", sa.Integer(), server_default="1", nullable=False),
        _exact("amount"),
        _time("period_start"),
        _time("period_end"),
        sa.CheckConstraint(
            "kind in ('plan', 'bot', 'top_up', 'shop', 'course', 'promotion', 'proration', 'other')",
            name=op.f("ck_invoice_lines_kind"),
        ),
        sa.CheckConstraint("quantity >= 1", name=op.f("ck_invoice_lines_quantity")),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_lines_invoice_id")
        ),
        sa.PrimaryKeyConstraint("invoice_id", "position", name=op.f("pk_invoice_lines")),
    )
    op.create_table(
        "invoice_events",
        sa.Column("invoice_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        _now("at"),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_events_invoice_id")
        ),
        sa.PrimaryKeyConstraint("invoice_id", "position", name=op.f("pk_invoice_events")),
    )
    for statement in (MOVE, CHAIN, LINK, LINES, KEEP, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    for table in ("invoice_events", "invoice_lines", "invoices", "document_series"):
        op.drop_table(table)
    for name in ("keep", "line_draft", "event_link", "chain", "move"):
        op.execute(f"drop function invoice_{name}()")
