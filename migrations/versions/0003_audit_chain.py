"""audit chain: rows are only added, and each carries a hash over itself and the row before

Revision ID: 0003
Revises: 0002
"""

from alembic import op
import sqlalchemy as sa

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What a row says, as one text that can be read in one way only. app/accounts/audit_chain.py asks
# for the same list and hashes it itself: it does not trust these functions.
DIGEST = """
create function public.audit_digest(previous text, entry public.audit_log) returns text
language sql stable set search_path = pg_catalog as $$
    select encode(sha256(convert_to(jsonb_build_array(
        previous, entry.id, extract(epoch from entry.at)::text, entry.actor_id,
        entry.on_behalf_of_id, entry.action, entry.object_type, entry.object_id,
        entry.before, entry.after, entry.reason, entry.address, entry.request_id
    )::text, 'UTF8')), 'hex')
$$
"""
# One writer at a time, until its commit: the application writes its entries last of all.
QUEUE = """
create function public.audit_queue() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    perform pg_advisory_xact_lock(7205002);
    return null;
end
$$
"""
# Number, time and hash are given here, whatever the writer says.
LINK = """
create function public.audit_link() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
    last record;
begin
    select id, hash into last from public.audit_log order by id desc limit 1;
    new.id := coalesce(last.id, 0) + 1;
    new.at := clock_timestamp();
    new.hash := public.audit_digest(coalesce(last.hash, repeat('0', 64)), new);
    return new;
end
$$
"""
REFUSE = """
create function public.audit_refuse() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'audit_log takes new rows only: % is refused', lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$$
"""
CHAIN_WHAT_IS_THERE = """
do $$
declare
    entry public.audit_log;
    last text := repeat('0', 64);
begin
    for entry in select * from public.audit_log order by id loop
        last := public.audit_digest(last, entry);
        update public.audit_log set hash = last where id = entry.id;
    end loop;
end
$$
"""


def upgrade() -> None:
    # Writers wait; readers do not.
    op.execute("lock table audit_log in share row exclusive mode")
    # The log outlives the people it tells of, and its writers wait for nobody's row.
    op.drop_constraint("fk_audit_log_actor_id", "audit_log", type_="foreignkey")
    op.add_column("audit_log", sa.Column("on_behalf_of_id", sa.BigInteger(), nullable=True))
    op.add_column("audit_log", sa.Column("hash", sa.Text(), nullable=True))
    for statement in (DIGEST, QUEUE, LINK, REFUSE, CHAIN_WHAT_IS_THERE):
        op.execute(statement)
    op.alter_column("audit_log", "hash", nullable=False)
    op.execute(
        "create trigger audit_queue before insert on audit_log "
        "for each statement execute function audit_queue()"
    )
    op.execute(
        "create trigger audit_link before insert on audit_log "
        "for each row execute function audit_link()"
    )
    op.execute(
        "create trigger audit_refuse before update or delete or truncate on audit_log "
        "for each statement execute function audit_refuse()"
    )


def downgrade() -> None:
    for name in ("audit_refuse", "audit_link", "audit_queue"):
        op.execute(f"drop trigger {name} on audit_log")
        op.execute(f"drop function {name}()")
    op.execute("drop function audit_digest(text, audit_log)")
    op.drop_column("audit_log", "hash")
    op.drop_column("audit_log", "on_behalf_of_id")
    op.execute(
        "select setval(pg_get_serial_sequence('audit_log', 'id'), "
        "coalesce(max(id), 1), count(*) > 0) from audit_log"
    )
    # The old code knows no entry of a person who is gone; the constraint holds for new ones.
    op.execute(
        "alter table audit_log add constraint fk_audit_log_actor_id "
        "foreign key (actor_id) references users (id) not valid"
    )
