"""Which period an invoice has given, where that is another than the one it was issued for.

Revision ID: 0032
Revises: 0031
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TABLE = "invoices"
COLUMNS = ("given_from", "given_until")
PAIR = "given_from < given_until and state = 'paid' or given_from is null and given_until is null"
# What was given once is not told otherwise.
GIVEN = """
create function public.invoice_given() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    if old.given_from is not null
        and (new.given_from, new.given_until) is distinct from (old.given_from, old.given_until) then
        raise exception 'what an invoice has given does not change'
            using errcode = 'check_violation';
    end if;
    return new;
end
$$
"""
TRIGGER = (
    "create trigger invoice_given before update of given_from, given_until on invoices "
    "for each row execute function invoice_given()"
)
# What was given up and paid later has begun when it was paid; what came for nothing gave none.
PAID_LATE = """
update invoices
set given_from = paid_at, given_until = (paid_at at time zone 'UTC' + sold.lasts) at time zone 'UTC'
from (
    select l.invoice_id,
           max(cast(case when price.period like '%-%' then replace(price.period, '-', ' ')
                         else '1 ' || price.period end as interval)) as lasts
    from invoice_lines l
    join plan_prices price on price.id = l.price_id and price.period <> 'lifetime'
    group by l.invoice_id
) sold
where sold.invoice_id = invoices.id and key like 'kept:%:period:%' and state = 'paid'
    and paid_at > due_at
    and exists (
        select 1 from invoice_events e
        where e.invoice_id = invoices.id and e.from_state = 'uncollectible'
    )
    and not exists (
        select 1 from refunds r join payments p on p.id = r.payment_id
        where p.invoice_id = invoices.id and r.key = 'kept:' || p.id
    )
"""


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column(TABLE, sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.execute(PAID_LATE)
    op.create_check_constraint(op.f(f"ck_{TABLE}_given"), TABLE, PAIR)
    op.execute(GIVEN)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("drop trigger invoice_given on invoices")
    op.execute("drop function invoice_given()")
    op.drop_constraint(op.f(f"ck_{TABLE}_given"), TABLE, type_="check")
    for name in COLUMNS:
        op.drop_column(TABLE, name)
