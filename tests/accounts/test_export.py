"""People take all that is stored about them with them, and nothing of anybody else."""

import json
from collections.abc import Callable
from datetime import timedelta

import time_machine
from sqlalchemy import select

from app.accounts import export, service
from app.accounts.models import AuditEntry, User
from app.accounts.queries import own_profile
from app.accounts.rules import ProfileChange
from app.db import Base, db
from app.transactions import transaction
from tests.accounts.people import make_person, turn_factor_on
from tests.client import Client
from tests.factories import make_account, make_bot, make_market

PHONE = "+5511999990000"


def give_phone(user: User) -> None:
    own = own_profile(user.id)
    with transaction():
        change = ProfileChange(
            name="Ada",
            language="en",
            timezone="UTC",
            phone=PHONE,
            contacts="",
            experience="expert",
            theme=own.theme,
            palette=own.palette,
            density=own.density,
        )
        service.change_profile(user.id, change)


def test_the_file_holds_what_is_ones_own(login_as: Callable[[User], Client]) -> None:
    user, other = make_person(), make_person(email="eve@example.org")
    market = make_market()
    bot = make_bot(user, market=market, name="My grid")
    foreign = make_bot(other, market=market, name="Not mine")
    db.session.commit()
    give_phone(user)
    client = login_as(user)
    assert client.get("/settings/data").status_code == 200
    answer = client.post_form("/settings/data", buffered=True)
    assert "attachment" in answer.headers["Content-Disposition"]
    data = json.loads(answer.text)
    assert data["profile"]["phone"] == PHONE
    assert [one["id"] for one in data["bots"]] == [bot.id]
    assert data["bots"][0]["name"] == "My grid"
    assert [one["action"] for one in data["log"]] == ["accounts.exported"]
    assert "Not mine" not in answer.text and "eve@" not in answer.text
    assert foreign.id != bot.id


def test_no_secret_is_in_the_file(login_as: Callable[[User], Client]) -> None:
    user = make_person()
    account = make_account(user)
    account.sealed_key = account.sealed_secret = "v1:planted"
    secret = turn_factor_on(user)
    text = login_as(user).post_form("/settings/data", buffered=True).text
    for planted in ("planted", secret, user.password_hash, "sealed_", "_hash", "fingerprint"):
        assert planted not in text


def test_every_table_with_a_persons_id_is_thought_of(database: None) -> None:
    owned = {table.name for table in Base.metadata.sorted_tables if "user_id" in table.columns}
    assert owned == set(export.EXPORTED) | set(export.KEPT_BACK)


def test_taking_the_data_asks_for_the_password_and_is_written_down(
    login_as: Callable[[User], Client],
) -> None:
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False) as clock:
        client = login_as(make_person())
        clock.shift(timedelta(minutes=10, seconds=1))
        assert client.post_form("/settings/data").location.startswith("/prove?next=")
    assert db.session.scalars(select(AuditEntry)).all() == []
