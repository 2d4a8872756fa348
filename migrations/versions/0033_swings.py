"""Each bot knows up to which price it has decided, and how far prices went that it has not.

Revision ID: 0033
Revises: 0032
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

TABLE = "bots"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("swing_seq", sa.BigInteger(), nullable=True))
    op.add_column(TABLE, sa.Column("swing_low", sa.Numeric(), nullable=True))
    op.add_column(TABLE, sa.Column("swing_high", sa.Numeric(), nullable=True))
    # Those that run go on from their last tick: what is reached while they are updated counts.
    op.execute(f"""
        update {TABLE} as bot set swing_seq = (
            select point.seq from price_points as point
            where point.market_id = bot.market_id and point.at <= bot.last_tick_at
            order by point.seq desc limit 1
        )
        where bot.state in ('starting', 'active', 'paused')
            and jsonb_typeof(bot.strategy_state) = 'object'
    """)  # noqa: S608 - a name of ours


def downgrade() -> None:
    for name in ("swing_high", "swing_low", "swing_seq"):
        op.drop_column(TABLE, name)
