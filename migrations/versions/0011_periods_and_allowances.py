"""Prices for any period, and what a plan allows so many times in a while.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PERIOD = "ck_plan_prices_period"


def upgrade() -> None:
    op.drop_constraint(op.f(PERIOD), "plan_prices", type_="check")
    op.create_check_constraint(
        op.f(PERIOD), "plan_prices", "period ~ '^([1-9][0-9]?-)?(day|week|month|year)$'"
    )
    op.add_column(
        "plans",
        sa.Column(
            "allowed",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )
    # What every token could do until now stays with the paid plans; staff may change it.
    op.execute(
        "update plans set allowed = jsonb_build_object("
        "'api_calls_a_minute', case when code = 'premium' then 1200 else 300 end,"
        " 'past_runs_a_day', case when code = 'premium' then 2000 else 300 end)"
        " where code <> 'free'"
    )


def downgrade() -> None:
    op.drop_column("plans", "allowed")
    op.drop_constraint(op.f(PERIOD), "plan_prices", type_="check")
    # Prices of other periods stay as they are: the old code does not read them.
    op.create_check_constraint(
        op.f(PERIOD), "plan_prices", "period in ('month', 'year')", postgresql_not_valid=True
    )
