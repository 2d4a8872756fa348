"""New data keys take over while people seal and read, also when the change is interrupted."""

import os
import threading
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, text, update

from app.accounts import data_keys, rotation
from app.accounts.keys import open_for, seal_for
from app.accounts.models import OwnerKey, Profile
from app.db import db
from app.encryption import DecryptionError, key_id
from app.exchanges.models import ExchangeAccount
from app.transactions import transaction
from tests import starting
from tests.accounts.held import kill_at_row
from tests.factories import make_account, make_user

NO_GRACE = timedelta(0)
COLUMNS = ("sealed_key", "sealed_secret", "sealed_passphrase")

pytestmark = pytest.mark.usefixtures("database")


def fill(count: int) -> dict[int, int]:
    """Make people with sealed keys and a sealed number; return their accounts' numbers."""
    made = {}
    with transaction():
        for _ in range(count):
            user = make_user()
            account = make_account(user)
            for column in COLUMNS:
                setattr(account, column, sealed(user.id, "exchange_accounts", column, account.id))
            user.profile.sealed_phone = sealed(user.id, "profiles", "sealed_phone", user.id)
            made[user.id] = account.id
    return made


def sealed(user_id: int, table: str, column: str, row: int) -> str:
    plain = f"{column} of {user_id}".encode()
    return seal_for(user_id, plain, table=table, column=column, row=row)


def assert_all_open(made: dict[int, int]) -> None:
    with transaction():
        for user_id, account_id in made.items():
            account = db.session.get_one(ExchangeAccount, account_id, populate_existing=True)
            for column in COLUMNS:
                found = open_for(
                    user_id,
                    getattr(account, column),
                    table="exchange_accounts",
                    column=column,
                    row=account_id,
                )
                assert found == f"{column} of {user_id}".encode()
            profile = db.session.get_one(Profile, user_id, populate_existing=True)
            phone = profile.sealed_phone
            opened = open_for(user_id, phone, table="profiles", column="sealed_phone", row=user_id)
            assert opened == f"sealed_phone of {user_id}".encode()


def names_in_use() -> set[str]:
    values: set[str] = set()
    for table, column in data_keys.sealed_columns():
        values |= set(db.session.scalars(select(table.c[column]).where(table.c[column] != "")))
    db.session.rollback()
    return {key_id(value) for value in values}


def keys_open() -> int:
    left = data_keys.owners_left()
    db.session.rollback()
    return left


def test_every_value_stands_under_a_new_key_and_the_old_key_is_gone() -> None:
    made = fill(7)
    before = list(db.session.scalars(select(OwnerKey.sealed_key)))
    db.session.rollback()
    outcome = data_keys.rotate_data_keys(3, grace=NO_GRACE)
    assert outcome == rotation.Rotated(28, ())
    assert names_in_use() == {f"owner-{user_id}-2" for user_id in made}
    assert not set(db.session.scalars(select(OwnerKey.sealed_key))) & set(before)
    db.session.rollback()
    assert keys_open() == 0
    assert_all_open(made)
    data_keys.rotate_data_keys(3, grace=NO_GRACE)
    assert names_in_use() == {f"owner-{user_id}-3" for user_id in made}
    assert_all_open(made)


def test_a_value_read_before_its_key_changed_opens_until_the_grace_is_over() -> None:
    (user_id, account_id), *_ = fill(1).items()
    with transaction():
        old = db.session.get_one(ExchangeAccount, account_id).sealed_key or ""
    place = {"table": "exchange_accounts", "column": "sealed_key"}
    seen: list[bytes] = []

    def read_late(_: int) -> None:
        seen.append(open_for(user_id, old, row=account_id, **place))

    data_keys.rotate_data_keys(1, read_late, NO_GRACE)
    assert seen == [f"sealed_key of {user_id}".encode()] * 4
    with pytest.raises(DecryptionError), transaction():
        open_for(user_id, old, row=account_id, **place)


def test_nothing_is_stored_under_an_old_key_after_the_new_one_is_there(app: Flask) -> None:
    """Somebody seals while the run begins: the run waits, then seals that value anew too."""
    made = fill(1)
    (user_id,) = made
    done = threading.Event()

    def rotate() -> None:
        with app.app_context():
            data_keys.rotate_data_keys(grace=NO_GRACE)
        done.set()

    thread = threading.Thread(target=rotate)
    with transaction():
        value = seal_for(user_id, b"late", table="profiles", column="sealed_contacts", row=user_id)
        thread.start()
        assert not done.wait(0.4)
        db.session.execute(
            update(Profile).where(Profile.user_id == user_id).values(sealed_contacts=value)
        )
    thread.join(20)
    assert done.is_set()
    with transaction():
        stored = db.session.scalar(
            select(Profile.sealed_contacts).where(Profile.user_id == user_id)
        )
        assert stored is not None and key_id(stored) == f"owner-{user_id}-2"
        place = {"table": "profiles", "column": "sealed_contacts"}
        assert open_for(user_id, stored, row=user_id, **place) == b"late"


def test_a_value_that_does_not_open_is_named_and_its_owner_keeps_the_old_key() -> None:
    made = fill(3)
    broken = sorted(made)[1]
    with transaction():
        account = db.session.get_one(ExchangeAccount, made[broken])
        account.sealed_secret = (account.sealed_key or "")[:-4] + "AAAA"
    outcome = data_keys.rotate_data_keys(2, grace=NO_GRACE)
    assert outcome == rotation.Rotated(11, (f"exchange_accounts.sealed_secret {made[broken]}",))
    with transaction():
        kept = select(OwnerKey.user_id).where(OwnerKey.sealed_previous.is_not(None))
        assert list(db.session.scalars(kept)) == [broken]


def test_a_new_master_key_takes_over_in_the_middle_of_it() -> None:
    """The previous data keys are sealed anew under it like the present ones."""
    made = fill(2)
    with transaction():
        db.session.execute(update(OwnerKey).values(rotation_due=True))
    while data_keys._renew_some(1):
        pass
    assert rotation.keys_in_use() == {"test": 4}
    db.session.rollback()
    assert_all_open(made)
    data_keys.rotate_data_keys(grace=NO_GRACE)
    assert rotation.keys_in_use() == {"test": 2}
    db.session.rollback()
    assert_all_open(made)


@pytest.mark.long
@pytest.mark.chaos
def test_an_exchange_of_keys_that_is_killed_in_the_middle_is_started_again(
    environment: dict[str, str],
) -> None:
    made = fill(24)
    env = {**os.environ, **environment}
    command = ["-m", "flask", "--app", "wsgi", "keys", "rotate", "--data-keys", "--batch"]
    middle = sorted(made.values())[9]
    kill_at_row("exchange_accounts", "id", middle, [*command, "1"], env)
    assert 9 <= under_new_keys() < 24 * 4
    assert_all_open(made)
    # What people do meanwhile goes on: old and new keys open, new values are under new keys.
    with transaction():
        for user_id in list(made)[:3]:
            value = sealed(user_id, "profiles", "sealed_phone", user_id)
            db.session.get_one(Profile, user_id).sealed_phone = value
    # Nobody waits a minute in a test: those who read an old value are long gone.
    with transaction():
        db.session.execute(text("update owner_keys set rotated_at = rotated_at - interval '1 h'"))
    again = starting.run([*command, "7"], env)
    assert "Going on with a run that was broken off: 24 people left." in again
    assert names_in_use() == {f"owner-{user_id}-2" for user_id in made}
    assert keys_open() == 0
    assert_all_open(made)


def under_new_keys() -> int:
    count = 0
    for table, column in data_keys.sealed_columns():
        # Not LIKE: one value in four thousand has "-2:" at the end of its nonce.
        query = select(func.count()).where(table.c[column].regexp_match("^v1:owner-[0-9]+-2:"))
        count += db.session.scalar(query) or 0
    db.session.rollback()
    return count
