"""Settings: only declared ones, only values that make sense, defaults not stored."""

from typing import Any

import pytest
from sqlalchemy import select

from app.db import db
from app.errors import InvalidInput, NotFound
from app.settings import queries, service
from app.settings.models import RuntimeSetting
from app.settings.rules import KEYS_MAY_WITHDRAW, PARTNER_IDS, SETTINGS
from app.settings.texts import HELPS, NAMES
from app.transactions import transaction

pytestmark = pytest.mark.usefixtures("database")


def change(name: str, value: Any) -> Any:
    with transaction():
        return service.change(name, value)


def test_everything_has_a_default_and_words() -> None:
    assert queries.values() == {one: one.default for one in SETTINGS.values()}
    assert SETTINGS.keys() == NAMES.keys() == HELPS.keys()


def test_changed_value_holds_and_the_default_is_not_stored() -> None:
    assert change("keys_may_withdraw", True) == (False, True)
    assert queries.is_on(KEYS_MAY_WITHDRAW)
    assert change("keys_may_withdraw", True) == (True, True)
    assert change("keys_may_withdraw", False) == (True, False)
    assert db.session.scalars(select(RuntimeSetting)).all() == []


def test_text_is_cleaned() -> None:
    change("partner_id_bybit", "  Our-Id_7 ")
    assert queries.text_of(PARTNER_IDS["bybit"]) == "Our-Id_7"


@pytest.mark.parametrize("name", ["", "secret_key", "keys_may_withdraw ", "\x00"])
def test_nothing_else_can_be_set(name: str) -> None:
    with pytest.raises(NotFound):
        change(name, True)


WRONG: list[tuple[str, Any]] = [
    ("keys_may_withdraw", "1"), ("keys_may_withdraw", None), ("keys_may_withdraw", 1),
    ("partner_id_bybit", True), ("partner_id_bybit", "x" * 31), ("partner_id_bybit", "a b"),
    ("partner_id_bybit", "a\nX: y"), ("partner_id_bybit", "🚀"), ("partner_id_bybit", "\x00"),
    ("partner_id_binance", "ABCDEFGHI"), ("partner_id_bybit", "x" * 10_000_000),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_value_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        change(name, value)
    assert error.value.field == name


@pytest.mark.parametrize("stored", ["yes", 7, None, {"a": 1}])
def test_stored_nonsense_counts_as_the_default(stored: Any) -> None:
    with transaction():
        db.session.add(RuntimeSetting(name="keys_may_withdraw", value=stored))
        db.session.add(RuntimeSetting(name="older_setting", value=1))
    assert not queries.is_on(KEYS_MAY_WITHDRAW)
    assert queries.values()[KEYS_MAY_WITHDRAW] is False
