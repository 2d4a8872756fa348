"""Deleted paper bots that still hold a contract come back, for only they can close it.

Their positions live nowhere else and keep other bots of the account out of the contract.

Revision ID: 0016
Revises: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        update bots set deleted_at = null
        from bot_metrics as metrics, markets as market, exchange_accounts as account
        where bots.deleted_at is not null
            and metrics.bot_id = bots.id and metrics.base <> 0
            and market.id = bots.market_id and market.kind <> 'spot'
            and account.id = bots.account_id and account.exchange = 'paper'
            and account.deleted_at is null
        """
    )


def downgrade() -> None:
    """Leave them: which of them were deleted is known no more, and their owners can do it again."""
