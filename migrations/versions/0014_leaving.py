"""When somebody leaves and has left; the files in which people take their data away.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def _moment(name: str, *, needed: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not needed)


def upgrade() -> None:
    op.add_column("users", _moment("leaves_at"))
    op.add_column("users", _moment("erased_at"))
    op.create_index(
        op.f("ix_users_leaving"),
        "users",
        ["leaves_at"],
        postgresql_where=sa.text("leaves_at is not null and erased_at is null"),
    )
    op.create_table(
        "data_exports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        _moment("begun_at"),
        _moment("ready_at"),
        _moment("expires_at"),
        sa.CheckConstraint(
            "state in ('waiting', 'building', 'ready', 'failed', 'gone')",
            name=op.f("ck_data_exports_state"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_data_exports_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_exports")),
        sa.UniqueConstraint("file_name", name=op.f("uq_data_exports_file_name")),
    )
    op.create_index(op.f("ix_data_exports_user_id"), "data_exports", ["user_id"])
    op.create_index(
        op.f("uq_data_exports_one_at_a_time"),
        "data_exports",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("state in ('waiting', 'building')"),
    )


def downgrade() -> None:
    op.drop_table("data_exports")
    op.drop_index(op.f("ix_users_leaving"), table_name="users")
    op.drop_column("users", "erased_at")
    op.drop_column("users", "leaves_at")
