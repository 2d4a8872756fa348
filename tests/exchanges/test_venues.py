"""The process that trades opens an account once and uses it again."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from app.adapters.exchanges.client import forget_markets, make_client, share_markets
from app.adapters.exchanges.keys import ApiKeys
from app.db import db, utc_now
from app.errors import NotFound
from app.exchanges import service, venues
from app.exchanges.models import ExchangeAccount
from app.subscriptions.service import seed_plans
from app.transactions import transaction
from tests.adapters.exchanges.canned import spot_market
from tests.exchanges.test_service import Checker
from tests.factories import make_user

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _markets() -> Iterator[None]:
    forget_markets()
    client = make_client("bybit")
    share_markets(client, "bybit", load=lambda one: one.set_markets([spot_market("bybit")]))
    venues.own_pool().close()
    yield
    venues.own_pool().close()
    forget_markets()


@pytest.fixture
def account_id(database: None) -> int:
    with transaction():
        service.seed_exchanges()
        seed_plans()
        user = make_user()
    keys = ApiKeys("visible-key-AAAABBBB", "hidden-secret-0123456789")
    checked = service.check_new_keys(user.id, service.NewKeys("bybit", "Mine", keys), Checker())
    with transaction():
        return service.connect_keys(user.id, checked).id


def change(account_id: int, **values: Any) -> None:
    with transaction():
        db.session.execute(
            update(ExchangeAccount).where(ExchangeAccount.id == account_id).values(**values)
        )


def test_account_is_opened_once_for_many_ticks(account_id: int) -> None:
    assert venues.open_venue(account_id) is venues.open_venue(account_id)


def test_changed_account_is_opened_anew(account_id: int) -> None:
    before = venues.open_venue(account_id)
    change(account_id, taker_fee=Decimal("0.0005"))
    after = venues.open_venue(account_id)
    assert after is not before
    assert str(after.market("BTC/USDT").taker_fee) == "0.0005"


def test_every_thread_has_objects_of_its_own(account_id: int, app: Flask) -> None:
    found: list[Any] = []

    def look() -> None:
        with app.app_context():
            found.append(venues.open_venue(account_id))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(30)
    assert found[0] is not venues.open_venue(account_id)


def test_deleted_account_can_not_be_opened_and_is_let_go(account_id: int) -> None:
    venues.open_venue(account_id)
    change(account_id, deleted_at=utc_now())
    with pytest.raises(NotFound):
        venues.open_venue(account_id)
    assert len(venues.own_pool()) == 0
