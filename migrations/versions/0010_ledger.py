"""The ledger: accounts, postings, entries, kept balances and holds.

The database itself balances postings, moves the kept balances and refuses changes: whatever writes
here, also with the rights of the serving role, can only add what balances.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

REFUSE = """
create function public.ledger_refuse() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
    used boolean := true;
begin
    -- An empty table loses nothing: it may go along with a table that it refers to.
    if tg_op = 'TRUNCATE' then
        execute format('select exists (select from %I.%I)', tg_table_schema, tg_table_name)
            into used;
    end if;
    if not used then
        return null;
    end if;
    raise exception '% takes new rows only: % is refused', tg_table_name, lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$$
"""
# With the owner's rights: the serving role may not touch balances.
OPEN_BALANCE = """
create function public.ledger_open_balance() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
    if new.guard <> 0 then
        insert into public.ledger_balances (account_id, guard, posted, held)
        values (new.id, new.guard, 0, 0);
    end if;
    return null;
end
$$
"""
# Rows are locked in the order of their ids. The check of the table refuses an overdraft.
MOVE_BALANCES = """
create function public.ledger_move_balances() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
declare
    moved record;
begin
    for moved in
        select added.account_id, sum(added.amount) as amount
        from added join public.ledger_accounts a on a.id = added.account_id
        where a.guard <> 0
        group by added.account_id order by added.account_id
    loop
        update public.ledger_balances set posted = posted + moved.amount
        where account_id = moved.account_id;
    end loop;
    return null;
end
$$
"""
# At the commit: all lines that were announced are there, none was added later, and they balance.
CHECK_POSTING = """
create function public.ledger_check_posting() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
    checked bigint := case tg_table_name when 'ledger_postings' then new.id
                      else (to_jsonb(new) ->> 'posting_id')::bigint end;
    found_lines bigint;
    announced bigint;
begin
    select count(*) into found_lines from public.ledger_entries where posting_id = checked;
    select lines into announced from public.ledger_postings where id = checked;
    if found_lines <> announced or exists (
        select from public.ledger_entries where posting_id = checked
        group by commodity having sum(amount) <> 0
    ) then
        raise exception 'posting % does not balance', checked using
            errcode = 'check_violation', constraint = 'ledger_posting_balances',
            schema = 'public', table = tg_table_name;
    end if;
    return null;
end
$$
"""
# A hold begins pending, ends once, and says the same all its life.
CHECK_HOLD = """
create function public.ledger_check_hold() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    if (tg_op = 'INSERT' and new.state <> 'pending') or (tg_op = 'UPDATE' and (
        old.state <> 'pending' or new.state = 'pending'
        or (new.id, new.key, new.account_id, new.amount, new.refs, new.expires_at, new.created_at)
        is distinct from
        (old.id, old.key, old.account_id, old.amount, old.refs, old.expires_at, old.created_at)
    )) then
        raise exception 'a hold begins pending and ends once' using
            errcode = 'check_violation', constraint = 'ledger_hold_change',
            schema = 'public', table = 'ledger_holds';
    end if;
    return new;
end
$$
"""
MOVE_HELD = """
create function public.ledger_move_held() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
    update public.ledger_balances
    set held = held + case tg_op when 'INSERT' then new.amount else -new.amount end
    where account_id = new.account_id;
    if not found then
        raise exception 'only guarded accounts hold' using
            errcode = 'check_violation', constraint = 'ledger_hold_guarded',
            schema = 'public', table = 'ledger_holds';
    end if;
    return null;
end
$$
"""
# Locking needs the right to update, which the serving role lacks.
LOCK = """
create function public.ledger_lock(account bigint) returns numeric
language sql volatile security definer set search_path = pg_catalog as $$
    select guard * posted - held from public.ledger_balances
    where account_id = account for update
$$
"""
FUNCTIONS = (
    REFUSE,
    OPEN_BALANCE,
    MOVE_BALANCES,
    CHECK_POSTING,
    CHECK_HOLD,
    MOVE_HELD,
    LOCK,
)
TRIGGERS = (
    "create trigger ledger_open_balance after insert on ledger_accounts"
    " for each row execute function ledger_open_balance()",
    "create trigger ledger_move_balances after insert on ledger_entries"
    " referencing new table as added"
    " for each statement execute function ledger_move_balances()",
    "create constraint trigger ledger_check_posting after insert on ledger_postings"
    " deferrable initially deferred for each row execute function ledger_check_posting()",
    "create constraint trigger ledger_check_posting after insert on ledger_entries"
    " deferrable initially deferred for each row execute function ledger_check_posting()",
    "create trigger ledger_check_hold before insert or update on ledger_holds"
    " for each row execute function ledger_check_hold()",
    "create trigger ledger_move_held after insert or update on ledger_holds"
    " for each row execute function ledger_move_held()",
    "create trigger ledger_refuse before delete or truncate on ledger_holds"
    " for each statement execute function ledger_refuse()",
    *(
        f"create trigger ledger_refuse before update or delete or truncate on {table}"
        " for each statement execute function ledger_refuse()"
        for table in ("ledger_accounts", "ledger_postings", "ledger_entries")
    ),
)
# Those that refer to others first.
TABLES = ("ledger_holds", "ledger_balances", "ledger_entries", "ledger_postings", "ledger_accounts")
NAMES = (
    "ledger_refuse",
    "ledger_open_balance",
    "ledger_move_balances",
    "ledger_check_posting",
    "ledger_check_hold",
    "ledger_move_held",
)


def upgrade() -> None:
    op.create_table(
        "ledger_postings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column(
            "refs", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column(
            "details", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("reverses_id", sa.BigInteger(), nullable=True),
        sa.Column("lines", sa.SmallInteger(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("length(key) between 1 and 200", name=op.f("ck_ledger_postings_key")),
        sa.CheckConstraint("lines between 2 and 100", name=op.f("ck_ledger_postings_lines")),
        sa.ForeignKeyConstraint(
            ["reverses_id"], ["ledger_postings.id"], name=op.f("fk_ledger_postings_reverses_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_postings")),
        sa.UniqueConstraint("key", name=op.f("uq_ledger_postings_key")),
        sa.UniqueConstraint("reverses_id", name=op.f("uq_ledger_postings_reverses_id")),
    )
    op.create_index(op.f("ix_ledger_postings_at"), "ledger_postings", ["at"], unique=False)
    op.create_index("ix_ledger_postings_kind_at", "ledger_postings", ["kind", "at"], unique=False)
    op.create_index(
        "ix_ledger_postings_refs",
        "ledger_postings",
        ["refs"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"refs": "jsonb_path_ops"},
    )
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("commodity", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("guard", sa.SmallInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "case when kind in ('wallet', 'frozen', 'points', 'referral') then user_id is not null and split_part(name, ':', 2) = 'u' || user_id else user_id is null end",
            name=op.f("ck_ledger_accounts_owner"),
        ),
        sa.CheckConstraint(
            "commodity ~ '^[A-Z][A-Za-z0-9_]{1,15}$'", name=op.f("ck_ledger_accounts_commodity")
        ),
        sa.CheckConstraint(
            "guard = case when kind in ('wallet', 'frozen', 'points') then -1 else 0 end",
            name=op.f("ck_ledger_accounts_guard"),
        ),
        sa.CheckConstraint(
            "kind = split_part(name, ':', 1)", name=op.f("ck_ledger_accounts_kind_of_name")
        ),
        sa.CheckConstraint(
            "name ~ '^[a-z]+:[a-z0-9_.-]{1,40}$'", name=op.f("ck_ledger_accounts_name")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_ledger_accounts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint("id", "commodity", name=op.f("uq_ledger_accounts_id_commodity")),
        sa.UniqueConstraint("name", "commodity", name=op.f("uq_ledger_accounts_name_commodity")),
    )
    op.create_index(op.f("ix_ledger_accounts_kind"), "ledger_accounts", ["kind"], unique=False)
    op.create_index(
        op.f("ix_ledger_accounts_user_id"),
        "ledger_accounts",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("user_id is not null"),
    )
    op.create_table(
        "ledger_balances",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("guard", sa.SmallInteger(), nullable=False),
        sa.Column("posted", sa.Numeric(38, 18), nullable=False),
        sa.Column("held", sa.Numeric(38, 18), nullable=False),
        sa.CheckConstraint("guard * posted >= held", name=op.f("ck_ledger_balances_not_overdrawn")),
        sa.CheckConstraint("guard in (-1, 1)", name=op.f("ck_ledger_balances_guard")),
        sa.CheckConstraint("held >= 0", name=op.f("ck_ledger_balances_held_not_negative")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_accounts.id"], name=op.f("fk_ledger_balances_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_ledger_balances")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("posting_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("commodity", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(38, 18), nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_ledger_entries_amount_not_zero")),
        sa.ForeignKeyConstraint(
            ["account_id", "commodity"],
            ["ledger_accounts.id", "ledger_accounts.commodity"],
            name=op.f("fk_ledger_entries_account_id_commodity"),
        ),
        sa.ForeignKeyConstraint(
            ["posting_id"], ["ledger_postings.id"], name=op.f("fk_ledger_entries_posting_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint(
            "posting_id", "account_id", name=op.f("uq_ledger_entries_posting_id_account_id")
        ),
    )
    op.create_index(
        op.f("ix_ledger_entries_account_id_posting_id"),
        "ledger_entries",
        ["account_id", "posting_id"],
        unique=False,
    )
    op.create_table(
        "ledger_holds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(38, 18), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "refs", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posting_key", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'pending') = (closed_at is null) and (state = 'captured') = (posting_key is not null)",
            name=op.f("ck_ledger_holds_closed"),
        ),
        sa.CheckConstraint(
            "state in ('pending', 'captured', 'released', 'expired')",
            name=op.f("ck_ledger_holds_state"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_ledger_holds_amount_positive")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_accounts.id"], name=op.f("fk_ledger_holds_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_holds")),
        sa.UniqueConstraint("key", name=op.f("uq_ledger_holds_key")),
    )
    op.create_index(
        op.f("ix_ledger_holds_account_id"), "ledger_holds", ["account_id"], unique=False
    )
    op.create_index(
        "ix_ledger_holds_expiring",
        "ledger_holds",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    for statement in (*FUNCTIONS, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    for name in NAMES:
        op.execute(f"drop function {name}()")
    op.execute("drop function ledger_lock(bigint)")
