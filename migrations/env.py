"""Alembic environment: one runner at a time, short locks, the models of every subject."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from flask import current_app
from sqlalchemy import Engine, NullPool, create_engine, text

from app.accounts import models as accounts_models
from app.accounts.openid import models as openid_models
from app.accounts.passkeys import models as passkeys_models
from app.bots import models as bots_models
from app.config import current_config
from app.database_roles import grant_rights
from app.db import Exact, UtcTime
from app.exchanges import models as exchanges_models
from app.faq import models as faq_models
from app.markets import models as markets_models
from app.notifications import models as notifications_models
from app.payments import models as payments_models
from app.payments.books import models as books_models
from app.payments.demo import models as demo_models
from app.settings import models as settings_models
from app.subscriptions import models as subscriptions_models
from app.subscriptions.provider import models as provider_models
from app.trades import models as trades_models
from app.wallet import models as wallet_models

MODELS = (
    accounts_models,
    bots_models,
    exchanges_models,
    faq_models,
    markets_models,
    notifications_models,
    openid_models,
    passkeys_models,
    payments_models,
    books_models,
    demo_models,
    settings_models,
    subscriptions_models,
    provider_models,
    trades_models,
    wallet_models,
)
MIGRATION_LOCK = 7_205_001


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our column types as plain ones: a migration must not change when app code does."""
    if kind == "type" and isinstance(item, Exact):
        return "sa.Numeric(38, 18)"
    if kind == "type" and isinstance(item, UtcTime):
        return "sa.DateTime(timezone=True)"
    return False


def owner_engine(serving: Engine) -> Engine:
    """Connect as the owner of the tables; without an address of his own, as everybody does."""
    url = current_config().database_owner_url
    if url is None:
        return serving
    return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})


def run_migrations() -> None:
    """Migrate under an advisory lock, so that two starting containers don't collide."""
    database = current_app.extensions["migrate"].db
    with owner_engine(database.engine).connect() as connection:
        connection.execute(text("set lock_timeout = '4s'"))
        connection.execute(text("set statement_timeout = '60s'"))
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=database.metadata,
            compare_type=True,
            render_item=render_item,
        )
        with context.begin_transaction():
            context.run_migrations()
            grant_rights(connection, current_config().database_url)
        connection.execute(text("select pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()


run_migrations()
