"""People take all that is stored about them with them, in a file, and nothing of anybody else."""

import csv
import io
import json
import stat
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from app.accounts import audit, limits
from app.accounts.exports import jobs, orders, writing
from app.accounts.models import AuditEntry, DataExport, User
from app.accounts.personal_data import HOLDINGS
from app.bots.models import Bot, BotEvent
from app.db import db, utc_now
from app.errors import NotFound, TooManyTries
from app.markets.models import MarketRow
from app.queues import QueueName
from app.transactions import transaction
from tests.accounts.people import mails, make_person, turn_factor_on, work_off
from tests.at_once import at_once
from tests.bots.shop import Shop
from tests.client import Client
from tests.factories import make_account, make_bot, make_market

pytestmark = pytest.mark.usefixtures("database")

Login = Callable[[User], Client]


def ask(user_id: int) -> int:
    with transaction():
        return orders.ask(user_id, "192.0.2.1")


def built(user_id: int) -> zipfile.ZipFile:
    """Return the finished file of a person."""
    export_id = ask(user_id)
    jobs.build_export(export_id)
    with transaction():
        path = orders.fresh_file(user_id, export_id)
    return zipfile.ZipFile(io.BytesIO(path.read_bytes()))


def read(archive: zipfile.ZipFile, name: str) -> Any:
    return json.loads(archive.read(f"{name}.json"))


def state_of(export_id: int) -> str:
    db.session.expire_all()
    return db.session.get_one(DataExport, export_id).state


def test_the_file_holds_what_is_ones_own_and_nothing_else(login_as: Login) -> None:
    shop, stranger = Shop.open(), make_person()
    bot_id = shop.run_bot("97.9", "100.1", "98")
    with transaction():
        db.session.get_one(Bot, bot_id).name = "Mine alone"
        market = db.session.get_one(MarketRow, shop.market_id)
        make_bot(stranger, market=market, name="Zanzibar")
    login_as(shop.user)
    archive = built(shop.user_id)
    assert read(archive, "profile")["email"] == shop.user.email
    assert len(read(archive, "devices")) == 1
    assert [bot["name"] for bot in read(archive, "bots")] == ["Mine alone"]
    for name in ("orders", "fills", "bot_events", "bot_configs", "paper_orders", "paper_fills"):
        rows = read(archive, name)
        assert rows, name
        assert all(row.get("bot_id", bot_id) == bot_id for row in rows), name
    everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"Zanzibar" not in everything
    assert stranger.email.encode() not in everything


@pytest.mark.long
def test_json_and_csv_hold_the_same_rows() -> None:
    shop = Shop.open()
    shop.run_bot("97.9", "100.1", "98")
    archive = built(shop.user_id)
    names = {name.rpartition(".")[0] for name in archive.namelist()} - {"README"}
    assert names == {"profile", "devices", "audit_log"} | {
        holding.table for holding in HOLDINGS if holding.exported
    }
    for name in names - {"profile", "devices"}:
        rows = list(csv.DictReader(io.StringIO(archive.read(f"{name}.csv").decode())))
        assert len(rows) == len(read(archive, name)), name
    fill = next(iter(csv.DictReader(io.StringIO(archive.read("fills.csv").decode()))))
    assert fill["price"] == read(archive, "fills")[0]["price"]


def test_no_cell_is_taken_for_a_formula() -> None:
    user = make_person()
    make_bot(user, name="=HYPERLINK(1)", tags=["+1"])
    db.session.commit()
    archive = built(user.id)
    (row,) = csv.DictReader(io.StringIO(archive.read("bots.csv").decode()))
    assert row["name"] == "'=HYPERLINK(1)"
    assert read(archive, "bots")[0]["name"] == "=HYPERLINK(1)"


def test_no_secret_is_in_the_file() -> None:
    user = make_person()
    account = make_account(user)
    account.sealed_key = account.sealed_secret = "v1:planted"
    account.key_fingerprint = account.account_fingerprint = "planted-print"
    secret = turn_factor_on(user)
    archive = built(user.id)
    everything = b"".join(archive.read(name) for name in archive.namelist()).decode()
    for planted in ("planted", secret, user.password_hash, "sealed_", "_hash", "fingerprint"):
        assert planted not in everything.replace(writing.README, ""), planted


def test_what_staff_did_to_a_person_is_in_it_without_naming_them() -> None:
    user, staff = make_person(), make_person(email="staff@example.org")
    with transaction():
        audit.record(
            "accounts.blocked", "user", user.id, actor_id=staff.id, reason="spam",
            address="203.0.113.9",
        )  # fmt: skip
        audit.record("accounts.blocked", "user", staff.id, actor_id=staff.id, reason="other")
    entries = read(built(user.id), "audit_log")
    told = [one for one in entries if one["action"] == "accounts.blocked"]
    assert [(one["done_by"], one["reason"], one["address"]) for one in told] == [
        ("staff", "spam", None)
    ]
    asked = [one for one in entries if one["action"] == "accounts.export_asked"]
    assert [(one["done_by"], one["address"]) for one in asked] == [("you", "192.0.2.1")]


def test_the_page_asks_a_worker_builds_a_mail_tells_and_the_owner_downloads(
    login_as: Login,
) -> None:
    user = make_person()
    client = login_as(user)
    assert client.post_form("/settings/data").location == "/settings/data"
    assert "is being made" in client.get("/settings/data").text
    assert work_off(QueueName.REPORTS) == ["app.accounts.exports.jobs.build_export"]
    assert mails()[0].template == "export_ready"
    export_id = db.session.scalars(select(DataExport.id)).one()
    assert f"/settings/data/{export_id}" in client.get("/settings/data").text
    answer = client.get(f"/settings/data/{export_id}", buffered=True)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert zipfile.ZipFile(io.BytesIO(answer.data)).testzip() is None
    # The name of the file opens nothing and stands on no page.
    name = db.session.scalars(select(DataExport.file_name)).one()
    assert name not in client.get("/settings/data").text


def test_only_its_owner_gets_a_file(login_as: Login) -> None:
    user, eve = make_person(), make_person(email="eve@example.org")
    export_id = ask(user.id)
    jobs.build_export(export_id)
    foreign = login_as(eve)
    for number in (export_id, export_id + 1, 0, 2**63, 2**70):
        assert foreign.get(f"/settings/data/{number}").status_code == 404
    assert "being made" not in foreign.get("/settings/data").text


def test_asking_and_taking_need_a_fresh_proof_and_stand_on_record(login_as: Login) -> None:
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False) as clock:
        user = make_person()
        client = login_as(user)
        client.post_form("/settings/data")
        work_off(QueueName.REPORTS)
        export_id = db.session.scalars(select(DataExport.id)).one()
        clock.shift(timedelta(minutes=10, seconds=1))
        assert client.post_form("/settings/data").location.startswith("/prove?next=")
        assert client.get(f"/settings/data/{export_id}").location.startswith("/prove?next=")
        for told, back in {
            "http://localhost/settings/data": "/settings/data",
            "http://localhost/settings/data?x=1": "/settings/data?x%3D1",
            "http://evil.example/settings/data": "/settings",
            "http://localhost/logout": "/settings",
            "http://localhost/nowhere": "/settings",
            "http://[": "/settings",
        }.items():
            asked = client.post_form("/settings/data", headers={"Referer": told})
            assert asked.location == f"/prove?next={back}", told
    actions = db.session.scalars(select(AuditEntry.action)).all()
    assert actions.count("accounts.export_asked") == 1
    assert "accounts.exported" not in actions


@pytest.mark.long
def test_one_file_at_a_time_and_three_a_day(app: Flask) -> None:
    user_id = make_person().id
    assert len(set(at_once(app, 4, lambda _: ask(user_id)))) == 1
    limits.forget(limits.DATA_EXPORTS, str(user_id))
    with transaction():
        db.session.execute(update(DataExport).values(state="gone"))
    for _ in range(3):
        jobs.build_export(ask(user_id))
        with transaction():
            db.session.execute(update(DataExport).values(state="gone"))
    with pytest.raises(TooManyTries):
        ask(user_id)


def test_the_file_lies_closed_outside_of_what_is_served_and_goes_with_its_time() -> None:
    user = make_person()
    with time_machine.travel("2031-05-01T12:00:00Z", tick=False) as clock:
        export_id = ask(user.id)
        jobs.build_export(export_id)
        with transaction():
            path = orders.fresh_file(user.id, export_id)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "static" not in path.parts
        clock.shift(orders.LIFE + timedelta(seconds=1))
        with pytest.raises(NotFound):
            orders.fresh_file(user.id, export_id)
        db.session.rollback()
        jobs.tidy_exports()
        assert not path.exists()
        assert state_of(export_id) == "gone"


def test_files_that_nobody_knows_are_removed_when_they_are_old() -> None:
    orders.folder().joinpath("stranger.zip").write_bytes(b"x")
    orders.folder().joinpath("left.zip.part").write_bytes(b"x")
    jobs.tidy_exports()
    assert orders.folder().joinpath("stranger.zip").exists()
    with time_machine.travel(utc_now() + timedelta(hours=1)):
        jobs.tidy_exports()
    assert not list(orders.folder().glob("stranger.zip"))
    assert not list(orders.folder().glob("left.zip.part"))


def test_a_worker_killed_while_writing_leaves_no_file_and_another_builds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user_id = make_person().id
    export_id = ask(user_id)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", die)
        with pytest.raises(KeyboardInterrupt):
            jobs.build_export(export_id)
    assert state_of(export_id) == "building"
    jobs.build_export(export_id)
    assert state_of(export_id) == "building"  # its worker may still be at it
    with time_machine.travel(utc_now() + orders.GIVEN_UP_AFTER + timedelta(seconds=1)):
        jobs.tidy_exports()
        work_off(QueueName.REPORTS)
        assert state_of(export_id) == "ready"


@pytest.mark.long
def test_killed_before_it_is_noted_the_file_is_built_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export_id = ask(make_person().id)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(orders, "finish", die)
        with pytest.raises(KeyboardInterrupt):
            jobs.build_export(export_id)
    with time_machine.travel(utc_now() + orders.GIVEN_UP_AFTER + timedelta(seconds=1)):
        jobs.build_export(export_id)
        assert state_of(export_id) == "ready"
    assert [mail.template for mail in mails()] == ["export_ready"]


def test_a_full_disk_is_tried_three_times_then_told(monkeypatch: pytest.MonkeyPatch) -> None:
    export_id = ask(make_person().id)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs, "write_file", full)
    for _ in range(4):
        jobs.build_export(export_id)
    assert state_of(export_id) == "failed"
    assert mails()[0].template == "export_failed"


def test_too_much_for_one_file_is_told(login_as: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_BYTES", 10)
    user = make_person()
    make_bot(user)
    db.session.commit()
    export_id = ask(user.id)
    jobs.build_export(export_id)
    assert state_of(export_id) == "failed"
    assert "too much for one file" in login_as(user).get("/settings/data").text


@pytest.mark.long
def test_a_long_log_is_streamed_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_person()
    bot = make_bot(user, market=make_market())
    now = utc_now()
    db.session.execute(
        BotEvent.__table__.insert(),  # type: ignore[attr-defined]
        [{"bot_id": bot.id, "at": now, "level": "info", "code": "x", "values": {}}] * 1300,
    )
    db.session.commit()
    fetched: list[int] = []
    plain = writing._json

    def count(value: object) -> str:
        fetched.append(1)
        return plain(value)

    monkeypatch.setattr(writing, "_json", count)
    monkeypatch.setattr(writing, "BATCH", 100)
    archive = built(user.id)
    assert len(read(archive, "bot_events")) == 1300
    assert len(fetched) >= 1300
