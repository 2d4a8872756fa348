"""People leave: asked for, waited for, undone, and erased for good while books and trail stay."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from threading import Event
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, text, update

from app import answers
from app.accounts import audit, codes, keys, queries, roles, service, session_store, tokens
from app.accounts.audit_chain import check_chain
from app.accounts.deletion import erasing, jobs
from app.accounts.deletion import service as deletion
from app.accounts.deletion.erasing import Outcome
from app.accounts.deletion.events import PersonLeaving
from app.accounts.exports import jobs as export_jobs
from app.accounts.exports import orders
from app.accounts.models import AuditEntry, OwnerKey, Role, User
from app.bots import handlers
from app.bots.models import Bot
from app.db import Base, db, utc_now
from app.encryption import DecryptionError
from app.errors import Conflict, Forbidden, InvalidInput
from app.exchanges.models import ExchangeAccount
from app.money import Money
from app.queues import QueueName
from app.settings import service as settings
from app.subscriptions.models import Subscription
from app.subscriptions.rights import give_plan
from app.transactions import transaction
from app.wallet.service import top_up
from tests.accounts.people import (
    PASSWORD,
    is_signed_in,
    log_in,
    mails,
    make_person,
    turn_factor_on,
    work_off,
)  # fmt: skip
from tests.api.programs import Program, give_token
from tests.at_once import at_once
from tests.bots.shop import Shop
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_account, make_bot, make_user
from tests.long import thinned

pytestmark = pytest.mark.usefixtures("database")

Login = Callable[[User], Client]
DAYS = timedelta(days=7)
MARK = "Quokka"
SURE = {"sure": "y"}


def ask(user_id: int, coins: str = "") -> None:
    with transaction():
        deletion.ask(user_id, coins, "192.0.2.1")


def undo(user_id: int) -> bool:
    with transaction():
        return deletion.undo(user_id, "192.0.2.1")


def leaves_at(user_id: int) -> Any:
    db.session.expire_all()
    return db.session.get_one(User, user_id).leaves_at


def after_the_wait(shift: timedelta = timedelta(seconds=1)) -> time_machine.travel:
    return time_machine.travel(utc_now() + DAYS + shift)


def erase_fully(user_id: int) -> None:
    """Let the wait pass, shut the door, and erase a quiet minute later."""
    with after_the_wait():
        assert erasing.erase(user_id) is Outcome.SHUT
    with after_the_wait(timedelta(minutes=2)):
        assert erasing.erase(user_id) is Outcome.DONE
    db.session.expire_all()


def actions() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


# --- asking ---------------------------------------------------------------------------------------


def test_a_person_asks_reads_what_happens_and_changes_their_mind(client: Client) -> None:
    user = make_person()
    log_in(client)
    assert "What stays" in client.get("/settings/delete").text
    assert client.get("/settings/delete/ask").status_code == 200
    assert client.post_form("/settings/delete/ask", SURE).location == "/settings/delete"
    assert leaves_at(user.id) is not None
    assert mails()[0].template == "deletion_asked"
    page = client.get("/settings/delete").text
    assert "Keep my account" in page
    assert "Your account is deleted on" in client.get("/dashboard").text
    assert client.post_form("/settings/delete/undo").location == "/dashboard"
    assert leaves_at(user.id) is None
    assert mails()[0].template == "deletion_undone"
    assert [one for one in actions() if "deletion" in one] == [
        "accounts.deletion_asked",
        "accounts.deletion_undone",
    ]


def test_a_log_in_offers_the_way_back_before_anything_else(client: Client) -> None:
    user = make_person()
    ask(user.id)
    log_in(client)
    assert client.get("/dashboard").location == "/settings/delete"
    assert client.get("/bots").location == "/settings/delete"
    assert client.get("/settings/delete").status_code == 200
    # Told once, the person may look around, and out.
    assert client.get("/dashboard").status_code == 200
    assert client.post_form("/logout").location == "/login"


def test_asking_needs_a_fresh_proof(login_as: Login) -> None:
    with time_machine.travel("2031-05-01T12:00:10Z", tick=False) as clock:
        user = make_person()
        client = login_as(user)
        clock.shift(timedelta(minutes=10, seconds=1))
        for answer in (
            client.get("/settings/delete/ask"),
            client.post_form("/settings/delete/ask", SURE),
        ):
            assert answer.location.startswith("/prove?next=")
        assert leaves_at(user.id) is None
        client.post_form("/prove", {"password": PASSWORD})
        client.post_form("/settings/delete/ask", SURE)
        assert leaves_at(user.id) is not None


def test_what_is_not_meant_is_not_done(login_as: Login) -> None:
    user = make_person()
    client = login_as(user)
    for form in ({}, {"coins": "sell"}, {"sure": ""}, {"coins": "\0"}, {**SURE, "coins": "burn"}):
        assert client.post_form("/settings/delete/ask", form).status_code == 422, form
    assert leaves_at(user.id) is None


def test_sent_twice_or_from_two_tabs_it_is_asked_once(app: Flask, login_as: Login) -> None:
    user = make_person()
    client = login_as(user)
    user_id = user.id
    client.post_form("/settings/delete/ask", SURE)
    first = leaves_at(user_id)
    client.post_form("/settings/delete/ask", SURE)
    assert leaves_at(user_id) == first
    undo(user_id)
    at_once(app, 4, lambda _: ask(user_id))
    assert sum(mail.template == "deletion_asked" for mail in mails()) == 2
    at_once(app, 4, lambda _: undo(user_id))
    assert sum(mail.template == "deletion_undone" for mail in mails()) == 2


def test_the_waiting_time_is_a_setting() -> None:
    user = make_person()
    with transaction():
        settings.change("deletion_days", "30")
    ask(user.id)
    wait = leaves_at(user.id) - utc_now()
    assert timedelta(days=29, hours=23) < wait <= timedelta(days=30)


def test_while_it_waits_nothing_new_begins(login_as: Login) -> None:
    shop = Shop.open()
    bot_id = shop.add_bot()
    ask(shop.user_id)
    with pytest.raises(Conflict, match="account_is_leaving"):
        shop.start(bot_id)
    client = login_as(shop.user)
    client.get("/settings/delete")
    form = {"kind": "paper", "label": "x", "venue": "bybit", "balance": "100"}
    client.post_form("/exchanges/new", form)
    assert len(db.session.scalars(select(ExchangeAccount)).all()) == 1


# --- running bots ---------------------------------------------------------------------------------


def test_running_bots_ask_for_a_choice_and_are_stopped_by_it() -> None:
    shop = Shop.open()
    bot_id = shop.run_bot("97.9", "100.1", "98")
    with pytest.raises(InvalidInput, match="choose_for_coins"):
        ask(shop.user_id)
    assert leaves_at(shop.user_id) is None
    ask(shop.user_id, "sell")
    assert db.session.get_one(Bot, bot_id).stop_request == "sell"
    shop.tick()
    db.session.expire_all()
    assert db.session.get_one(Bot, bot_id).state == "stopped"
    assert deletion.standing(shop.user_id).running == ()


@pytest.mark.long
def test_a_running_bot_holds_the_end_up_and_is_stopped() -> None:
    shop = Shop.open()
    bot_id = shop.run_bot("97.9", "100.1", "98")
    with transaction():
        db.session.get_one(User, shop.user_id).leaves_at = utc_now() - timedelta(minutes=1)
    assert erasing.erase(shop.user_id) is Outcome.WAITS
    assert db.session.get_one(Bot, bot_id).stop_request == "keep"
    shop.tick()
    assert erasing.erase(shop.user_id) is Outcome.SHUT


@pytest.mark.long
def test_orders_left_on_the_exchange_hold_it_up_too() -> None:
    shop = Shop.open()
    bot_id = shop.run_bot("97.9", "100.1", "98")
    with transaction():
        db.session.execute(update(Bot).values(state="stopped"))
    assert deletion.standing(shop.user_id).running == ("My grid",)
    with transaction():
        handlers.stop_bots_of_leaver(PersonLeaving(shop.user_id))
    assert db.session.get_one(Bot, bot_id).state == "stopping"


def test_money_in_the_wallet_is_told_of(login_as: Login) -> None:
    user = make_person()
    client = login_as(user)
    assert "money in your wallet" not in client.get("/settings/delete").text
    with transaction():
        top_up("first", user.id, "stripe", Money(Decimal("12.50"), "EUR"))
    page = client.get("/settings/delete").text
    assert "money in your wallet" in page
    assert "12.50" in page


# --- who may --------------------------------------------------------------------------------------


def test_the_last_administrator_stays() -> None:
    first = make_user(Role.ADMIN)
    db.session.commit()
    with pytest.raises(Conflict, match="last_administrator"):
        ask(first.id)
    second = make_user(Role.ADMIN)
    db.session.commit()
    ask(first.id)
    # Who is about to leave does not count.
    with pytest.raises(Conflict, match="last_administrator"):
        ask(second.id)
    with pytest.raises(Conflict, match="last_administrator"), transaction():
        roles.give_role(first.id, second.id, "customer", "because")


def test_two_administrators_who_ask_at_once_do_not_both_leave(app: Flask) -> None:
    ids = [make_user(Role.ADMIN).id, make_user(Role.ADMIN).id]
    db.session.commit()

    def try_it(number: int) -> bool:
        try:
            ask(ids[number])
        except Conflict:
            return False
        return True

    assert sorted(at_once(app, 2, try_it)) == [False, True]


def test_who_asks_waits_for_a_change_of_roles_without_holding_the_person(app: Flask) -> None:
    user_id = make_user().id
    db.session.commit()
    is_locked = Event()
    waits = text(
        "select exists (select from pg_locks join pg_database d on d.oid = database"
        " where d.datname = current_database() and locktype = 'advisory' and not granted)"
    )

    def act(number: int) -> None:
        if number:
            is_locked.wait(10)
            return ask(user_id)
        with transaction():
            roles.lock()
            is_locked.set()
            deadline = time.monotonic() + 10
            while not db.session.scalar(waits):
                assert time.monotonic() < deadline, "nobody waits for the lock"
            db.session.execute(select(User).where(User.id == user_id).with_for_update(nowait=True))

    at_once(app, 2, act)
    assert leaves_at(user_id) is not None


def test_who_became_the_last_one_meanwhile_is_not_erased() -> None:
    first, second = make_user(Role.ADMIN), make_user(Role.ADMIN)
    db.session.commit()
    ask(first.id)
    second.blocked_at = utc_now()
    db.session.commit()
    with after_the_wait():
        assert erasing.erase(first.id) is Outcome.WAITS


def test_staff_deletes_others_by_the_same_path_with_right_and_reason(login_as: Login) -> None:
    admin, user = make_user(Role.ADMIN), make_person()
    desk = login_as(admin)
    path = f"/admin/users/delete-person?id={user.id}"
    assert desk.get(path).status_code == 200
    form = {"wanted": "delete", "reason": "asked for by letter"}
    for _ in range(2):
        assert desk.post_form(path, form).status_code == 302
    assert leaves_at(user.id) is not None
    assert [mail.template for mail in mails()] == ["deletion_asked"]
    (entry,) = db.session.scalars(
        select(AuditEntry).where(AuditEntry.action == "accounts.deletion_asked")
    )
    assert (entry.actor_id, entry.reason) == (admin.id, "asked for by letter")
    desk.post_form(path, {"wanted": "keep", "reason": "it was a mistake"})
    assert leaves_at(user.id) is None


def test_without_the_right_or_over_people_with_more_rights_nothing_happens(
    login_as: Login,
) -> None:
    manager, admin, user = make_user(Role.MANAGER), make_user(Role.ADMIN), make_person()
    db.session.commit()
    path = f"/admin/users/delete-person?id={user.id}"
    form = {"wanted": "delete", "reason": "because"}
    assert login_as(manager).post_form(path, form).status_code == 403
    for actor, target, error in (
        (manager.id, user.id, Forbidden),
        (manager.id, admin.id, Forbidden),
        (user.id, manager.id, Forbidden),
        (admin.id, admin.id, Conflict),
    ):
        with pytest.raises(error), transaction():
            deletion.ask_for(actor, target, "because")
        db.session.rollback()
    with pytest.raises(InvalidInput), transaction():
        deletion.ask_for(admin.id, user.id, " ")
    assert leaves_at(user.id) is None


# --- the end --------------------------------------------------------------------------------------


def make_leaver() -> Shop:
    """Make a person who has left a mark in every place that takes one."""
    shop = Shop.open()
    bot_id = shop.run_bot("97.9", "100.1", "97.9", "100.1", "98")
    user_id = shop.user_id
    with transaction():
        user = db.session.get_one(User, user_id)
        user.email = f"{MARK.lower()}@example.org"
        user.profile.name = MARK
        user.profile.sealed_contacts = keys.seal_for(
            user_id, MARK.encode(), table="profiles", column="sealed_contacts", row=user_id
        )
        account = db.session.get_one(ExchangeAccount, shop.account_id)
        account.label = f"{MARK} account"
        account.last_four = MARK[-4:]
        account.sealed_key = keys.seal_for(
            user_id, b"key", table="exchange_accounts", column="sealed_key", row=account.id
        )
        bot = db.session.get_one(Bot, bot_id)
        bot.name, bot.tags = f"{MARK} bot", [MARK]
        codes.issue(user_id, codes.CHANGE_EMAIL, new_email=f"{MARK}@example.net")
        # Why staff does something stays in the audit trail; the plan's own copy goes.
        give_plan(None, user_id, "pro", utc_now() + timedelta(days=400), "a gift")
        db.session.execute(update(Subscription).values(reason=f"friend of {MARK}"))
        audit.record("accounts.logged_in", "user", user_id, actor_id=user_id)
    turn_factor_on(shop.user)
    give_token(user_id, label=f"{MARK} token")
    with transaction():
        export_id = orders.ask(user_id, "")
    export_jobs.build_export(export_id)
    return shop


@pytest.fixture
def leaver(login_as: Login) -> Iterator[Shop]:
    shop = make_leaver()
    login_as(shop.user)
    ask(shop.user_id, "keep")
    shop.tick()
    yield shop
    assert check_chain().is_whole


def dump() -> dict[str, list[dict[str, Any]]]:
    """Return all rows of all tables."""
    db.session.rollback()
    rows = {
        table.name: db.session.scalars(
            text(f"select row_to_json(t)::text from {table.name} t")  # noqa: S608 - our own names
        ).all()
        for table in Base.metadata.sorted_tables
    }
    return {name: sorted(map(json.loads, texts), key=_first_values) for name, texts in rows.items()}


def _first_values(row: dict[str, Any]) -> str:
    return json.dumps(list(row.values())[:3])


# What the exchange said in words is no part of the books.
QUIET = {"error": None, "answer": None}
BOOKS = ("orders", "fills", "trades", "paper_orders", "paper_fills", "paper_balances",
         "bot_metrics", "bot_configs")  # fmt: skip


def test_after_the_end_nothing_leads_to_the_person_and_the_books_stay(leaver: Shop) -> None:
    before = dump()
    files = [orders.folder() / row["file_name"] for row in before["data_exports"]]
    assert [path for path in files if path.exists()]
    erase_fully(leaver.user_id)
    after = dump()
    for table in BOOKS:
        assert before[table], table
        kept = [{**row, **QUIET} for row in before[table]]
        assert [{**row, **QUIET} for row in after[table]] == kept, table
    assert after["audit_log"][: len(before["audit_log"])] == before["audit_log"]
    for table, rows in after.items():
        told = [row for row in rows if row.get("template") != "account_erased"]
        assert MARK.lower() not in json.dumps(told).lower(), table
    for table in ("owner_keys", "access_tokens", "one_time_codes", "second_factors",
                  "bot_events", "data_exports", "bot_equity"):  # fmt: skip
        assert [row for row in after[table] if row.get("user_id") == leaver.user_id] == [], table
    assert not [path for path in files if path.exists()]
    assert session_store.list_sessions(leaver.user_id) == []
    (user,) = [row for row in after["users"] if row["id"] == leaver.user_id]
    assert user["email"] == f"erased-{leaver.user_id}@erased.invalid"
    assert {one["state"] for one in after["subscriptions"]} == {"ended"}


@pytest.mark.long
def test_balances_that_were_read_are_forgotten_at_once(leaver: Shop) -> None:
    name = f"balances:{leaver.account_id}"
    answers.put(name, "{}", 3600)
    erase_fully(leaver.user_id)
    assert answers.last(name) is None


@pytest.mark.long
def test_the_last_mail_goes_out_and_its_address_is_forgotten(leaver: Shop) -> None:
    erase_fully(leaver.user_id)
    (last,) = [mail for mail in mails() if mail.template == "account_erased"]
    assert last.recipient == f"{MARK.lower()}@example.org"
    from app.notifications.service import forget_old_messages

    with time_machine.travel(utc_now() + timedelta(days=2)), transaction():
        forget_old_messages()
    assert MARK.lower() not in json.dumps(dump()).lower()


def test_with_the_key_gone_every_ciphertext_of_before_is_unreadable(leaver: Shop) -> None:
    user_id = leaver.user_id
    sealed = db.session.get_one(User, user_id).profile.sealed_contacts
    place: dict[str, Any] = {"table": "profiles", "column": "sealed_contacts", "row": user_id}
    assert keys.open_for(user_id, sealed, **place) == MARK.encode()
    erase_fully(user_id)
    with pytest.raises(DecryptionError):
        keys.open_for(user_id, sealed, **place)
    with pytest.raises(DecryptionError), transaction():
        keys.seal_for(user_id, b"new", **place)
    assert db.session.get(OwnerKey, user_id) is None


def test_nobody_gets_in_any_more_and_the_address_is_free(client: Client, app: Flask) -> None:
    user = make_person()
    token = give_token(user.id)
    log_in(client)
    ask(user.id)
    erase_fully(user.id)
    assert not is_signed_in(client)
    assert log_in(new_client(app)) == 422
    assert Program(app, token).get("/bots").status_code == 401
    with transaction():
        again = service.register(service.NewPerson("ada@example.org", PASSWORD))
    assert again.code_id is not None
    newcomer = queries.user_by_email("ada@example.org")
    assert newcomer is not None
    assert newcomer.id != user.id


def test_no_reason_of_staff_is_taken_for_an_erasure() -> None:
    admin, user = make_user(Role.ADMIN), make_user()
    db.session.commit()
    with transaction():
        service.block_user(admin.id, user.id, " erased")
    with transaction():
        service.unblock_user(admin.id, user.id, "a mistake")
    db.session.expire_all()
    assert db.session.get_one(User, user.id).is_active


def test_nothing_is_erased_before_its_time_or_after_an_undo() -> None:
    user = make_person()
    ask(user.id)
    assert erasing.due_people() == []
    assert erasing.erase(user.id) is Outcome.NOT_DUE
    undo(user.id)
    with after_the_wait():
        assert erasing.due_people() == []
        assert erasing.erase(user.id) is Outcome.NOT_DUE
    assert erasing.erase(2**40) is Outcome.NOT_DUE


def test_after_the_wait_there_is_no_way_back() -> None:
    user = make_person()
    ask(user.id)
    with after_the_wait():
        with pytest.raises(Conflict, match="too_late_to_stay"):
            undo(user.id)
        erasing.erase(user.id)
        admin = make_user(Role.ADMIN)
        db.session.commit()
        with pytest.raises(Conflict, match="account_erased"), transaction():
            service.unblock_user(admin.id, user.id, "because")


def test_requests_of_the_last_minute_end_before_anything_is_erased() -> None:
    user = make_person()
    ask(user.id)
    with after_the_wait():
        assert erasing.erase(user.id) is Outcome.SHUT
        assert erasing.erase(user.id) is Outcome.SHUT
        assert db.session.get_one(User, user.id).email == "ada@example.org"


def test_the_scheduled_job_finds_who_is_due_and_may_run_again_and_again() -> None:
    user = make_person()
    ask(user.id)
    for minutes in (1, 3, 5, 7):
        with after_the_wait(timedelta(minutes=minutes)):
            jobs.erase_due()
            work_off(QueueName.REPORTS)
    db.session.expire_all()
    assert db.session.get_one(User, user.id).erased_at is not None
    assert actions().count("accounts.erased") == 1
    assert sum(mail.template == "account_erased" for mail in mails()) == 1


class Killed(BaseException):
    """The process ends here."""


@thinned(12)
def test_killed_before_or_after_any_statement_the_next_run_ends_it(
    monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The process dies at each commit in turn, once before it and once right after it."""
    died = 0
    for point in range(0, 200, step):
        shop_user = make_person(email=f"n{point}@example.org")
        make_bot(shop_user, make_account(shop_user), market=_market())
        with transaction():
            keys.seal_for(shop_user.id, b"x", table="t", column="c", row=1)
        ask(shop_user.id)
        user_id = shop_user.id
        with after_the_wait():
            erasing.erase(user_id)
        with after_the_wait(timedelta(minutes=2)):
            with monkeypatch.context() as patch:
                killer = _Killer(point)
                patch.setattr(type(db.session()), "commit", killer.commit)
                try:
                    erasing.erase(user_id)
                except Killed:
                    died += 1
            db.session.rollback()
            outcome = erasing.erase(user_id)
        assert outcome in {Outcome.DONE, Outcome.NOT_DUE}, point
        db.session.expire_all()
        user = db.session.get_one(User, user_id)
        assert user.erased_at is not None, point
        assert db.session.get(OwnerKey, user_id) is None, point
        if not killer.struck:
            break
    assert died > 30 // step
    assert check_chain().is_whole
    assert actions().count("accounts.erased") == point // step + 1


class _Killer:
    """Dies at one of the commits: at even points before it, at odd ones right after it."""

    def __init__(self, point: int) -> None:
        self.left, self.after, self.struck = point // 2, point % 2 == 1, False
        self._plain = type(db.session()).commit

    @property
    def commit(self) -> Callable[[Any], None]:
        def commit(session: Any) -> None:
            strikes, self.left = self.left == 0, self.left - 1
            if strikes and not self.after:
                self.struck = True
                raise Killed
            self._plain(session)
            if strikes:
                self.struck = True
                raise Killed

        return commit


def _market() -> Any:
    from app.markets.models import MarketRow
    from tests.factories import make_market

    return db.session.scalars(select(MarketRow)).first() or make_market()


def test_tokens_of_a_leaver_work_until_the_end(app: Flask) -> None:
    user = make_person()
    token = give_token(user.id)
    ask(user.id)
    assert Program(app, token).get("/bots").status_code == 200
    assert tokens.own_tokens(user.id)
