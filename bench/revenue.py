"""The statistics of revenue over many customers: `python -m bench.revenue [--customers N]`.

Every customer has paid for as many months, one in five of them for years, one in ten changed the
plan on the way, one in fifty was given days. Prints how long each part of the page asks a
durable PostgreSQL, and reads.
"""

import argparse
import os
import time
from collections.abc import Callable

from sqlalchemy import text

from bench.ledger import database_server

MONTHS = 24
_FILL = (
    "set session_replication_role = replica",
    """
    insert into users (id, email, password_hash, role)
    select n, 'bench' || n || '@example.org', '!', 'customer' from generate_series(1, :customers) n
    """,
    """
    insert into invoices (id, key, user_id, kept_id, rail, number, state, currency, subtotal,
                          discount, tax, total, opened_at, paid_at, created_at)
    select n * 100 + m, 'bench:' || n || ':' || m, n, n, 'demo', 'B-' || n || '-' || m, 'paid',
           'USD', 29, 0, 0, 29, at, at, at
    from generate_series(1, :customers) n, generate_series(0, :months - 1) m,
         lateral (select now() - make_interval(months => :months - m) + n % 28 * interval '1 day'
                  as at) t
    where n % 5 > 0 or m % 12 = 0
    """,
    """
    insert into invoice_lines (invoice_id, position, kind, description, subject, amount,
                               period_start, period_end)
    select id, 1, 'plan', 'Pro', 'plan:pro', 29, paid_at,
           paid_at + make_interval(months => case when user_id % 5 > 0 then 1 else 12 end)
    from invoices
    """,
    """
    insert into invoice_lines (invoice_id, position, kind, description, subject, amount,
                               period_start, period_end)
    select id, 2, 'proration', 'Premium', 'plan:premium', 15, paid_at + interval '10 days',
           paid_at + interval '1 month'
    from invoices where user_id % 10 = 1 and id % 100 = 12
    """,
    """
    insert into payments (user_id, invoice_id, purpose, rail, external_id, state, amount, currency,
                          fee, settled_at)
    select user_id, id, 'invoice', 'demo', 'bench' || id, 'succeeded', 29, 'USD', 1.14, paid_at
    from invoices
    """,
    # What happened to the subscriptions: a line for each period that was paid, and the given days.
    """
    insert into kept_subscriptions (id, key, user_id, rail, state, period, currency, started_at,
                                    period_start)
    select n, 'bench:' || n, n, 'demo', 'active', 'month', 'USD', now(), now()
    from generate_series(1, :customers) n
    """,
    """
    insert into subscription_history (user_id, source, what, before, after, cause, at)
    select user_id, 'kept:' || user_id, what,
           jsonb_build_object('plan', 'pro', 'addons', '{}'::jsonb, 'period', 'month',
                              'state', 'active', 'rail', 'demo', 'period_end', was,
                              'trial_end', null, 'cancels', false, 'next', null),
           jsonb_build_object('plan', 'pro', 'addons', '{}'::jsonb, 'period', 'month',
                              'state', 'active', 'rail', 'demo',
                              'period_end', becomes,
                              'trial_end', null, 'cancels', false, 'next', null),
           'paid', paid_at
    from invoices
    join lateral (
        select 'days_given' as what, paid_at + interval '1 month' as was,
               paid_at + interval '1 month 7 days' as becomes
        where user_id % 50 = 2 and id % 100 = 23
        union all
        select 'paid', paid_at, paid_at + interval '1 month'
    ) moves on true
    """,
    "analyze",
)


def main() -> None:
    """Run the benchmark over a fresh server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000)
    options = parser.parse_args()
    with database_server() as (owner, _serving):
        os.environ.update(
            BOTYARD_ENV="testing",
            DATABASE_URL=owner,
            DATABASE_OWNER_URL=owner,
            REDIS_URL="redis://localhost:1/0",
            SECRET_KEY="only-for-the-benchmark-" * 3,
        )
        measure(options.customers)


def measure(customers: int) -> None:
    """Fill the books and print how long each part takes."""
    from flask_migrate import upgrade

    from app import create_app
    from app.db import db, utc_now
    from app.subscriptions.revenue import income, report
    from app.subscriptions.revenue.spans import last_months

    app = create_app()
    with app.app_context():
        upgrade()
        for statement in _FILL:
            names = {"customers": customers, "months": MONTHS}
            used = {name: value for name, value in names.items() if f":{name}" in statement}
            db.session.execute(text(statement), used)
        db.session.commit()
        lines = db.session.scalar(text("select count(*) from invoice_lines"))
        print(f"{customers} customers, {lines} lines of invoices")
        span = last_months(12, utc_now())
        _timed("MRR, movements, cohorts of a year", lambda: report.recurring_report("USD", span))
        _timed("trials", lambda: report.trial_cohorts(span))
        _timed("rental income of a year", lambda: income.rental_income(span))
        _timed("payments of a year", lambda: income.payments_of(span))


def _timed(name: str, ask: Callable[[], object]) -> None:
    ask()
    began = time.perf_counter()
    ask()
    print(f"{name}: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
