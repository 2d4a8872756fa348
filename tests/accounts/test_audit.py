"""The audit trail takes new rows only, and tells when somebody changed it all the same."""

import csv
import io
import re
from collections.abc import Callable, Iterator

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from app.accounts import audit, audit_chain
from app.accounts.models import AuditEntry, Role, User
from app.db import db
from app.transactions import transaction
from tests import services
from tests.at_once import at_once
from tests.client import Client
from tests.factories import make_user
from tests.services import Addresses

Login = Callable[[User], Client]


def write(count: int) -> None:
    for number in range(count):
        with transaction():
            audit.record("test.done", "thing", number, after={"number": number})


@pytest.fixture
def tamper(database_url: str) -> Iterator[Callable[[str], None]]:
    """Return what runs a statement as the owner of the tables, with the triggers switched off."""
    with services.connect(database_url) as connection:

        def run(statement: str) -> None:
            db.session.commit()
            connection.execute("alter table audit_log disable trigger user")
            try:
                connection.execute(statement)
            finally:
                connection.execute("alter table audit_log enable trigger user")

        yield run


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_log set reason = 'x'",
        "update audit_log set reason = 'x' where false",
        "delete from audit_log",
        "delete from audit_log where id = 1",
        "truncate audit_log",
        "truncate audit_log, users cascade",
    ],
)
def test_rows_are_neither_changed_nor_removed(
    database: None, database_url: str, statement: str
) -> None:
    write(2)
    with pytest.raises(DBAPIError):
        db.session.execute(text(statement))
    db.session.rollback()
    # Not even by the owner of the table.
    with (
        services.connect(database_url) as owner,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="takes new rows only"),
    ):
        owner.execute(statement.encode())
    assert audit_chain.check_chain().rows == 2


def test_the_writer_chooses_neither_number_nor_time_nor_hash(database: None) -> None:
    write(1)
    db.session.execute(
        text(
            "insert into audit_log (id, at, action, object_type, object_id, hash)"
            " values (-5, '2001-01-01', 'forged', 'thing', '1', 'abc')"
        )
    )
    db.session.commit()
    first, forged = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert forged.id == first.id + 1
    assert forged.at > first.at
    assert audit_chain.check_chain().is_whole


def test_a_whole_chain_is_told_with_its_newest_link(database: None) -> None:
    assert audit_chain.check_chain() == audit_chain.ChainReport(0, None, None)
    write(5)
    report = audit_chain.check_chain()
    assert report.is_whole
    assert report.rows == 5
    assert report.head is not None
    newest = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert newest is not None
    assert report.head == audit_chain.Link(newest.id, newest.hash)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("update audit_log set reason = 'x' where id = 3", 3),
        ("update audit_log set actor_id = 1 where id = 3", 3),
        ("update audit_log set on_behalf_of_id = 1 where id = 1", 1),
        ("update audit_log set at = at + interval '1 us' where id = 2", 2),
        ("update audit_log set after = '{\"number\": 9}' where id = 4", 4),
        ("update audit_log set hash = repeat('a', 64) where id = 3", 3),
        ("update audit_log set address = '127.0.0.9' where id = 5", 5),
        ("delete from audit_log where id = 3", 4),
        ("delete from audit_log where id = 1", 2),
        # A changed row with a hash that fits it: the next one tells.
        (
            "update audit_log a set reason = 'x', hash = audit_digest("
            "(select hash from audit_log where id = 2),"
            ' jsonb_populate_record(a, \'{"reason": "x"}\')) where id = 3',
            4,
        ),
        # Two rows change places.
        ("update audit_log set id = case id when 2 then 3 else 2 end where id in (2)", None),
    ],
)
def test_a_change_behind_the_triggers_is_found(
    database: None, tamper: Callable[[str], None], change: str, broken: int | None
) -> None:
    write(5)
    if broken is None:
        tamper("update audit_log set id = 99 where id = 2")
        tamper("update audit_log set id = 2 where id = 3")
        tamper("update audit_log set id = 3 where id = 99")
        broken = 2
    else:
        tamper(change)
    report = audit_chain.check_chain()
    assert not report.is_whole
    assert report.broken_id == broken


def test_a_cut_off_end_is_found_by_a_noted_link(
    database: None, tamper: Callable[[str], None]
) -> None:
    write(5)
    noted = audit_chain.check_chain().head
    write(1)
    assert audit_chain.check_chain(noted).is_whole
    tamper("delete from audit_log where id >= 5")
    assert audit_chain.check_chain().is_whole
    report = audit_chain.check_chain(noted)
    assert not report.is_whole
    assert report.lost == noted


def test_writers_at_once_make_one_chain(app: Flask, database: None) -> None:
    def act(number: int) -> None:
        for step in range(5):
            with transaction():
                audit.record("test.done", "thing", f"{number}.{step}")

    at_once(app, 8, act)
    report = audit_chain.check_chain()
    assert report.is_whole
    assert report.rows == 40
    ids = db.session.scalars(select(AuditEntry.id).order_by(AuditEntry.id)).all()
    assert list(ids) == list(range(1, 41))


def test_writers_that_hold_each_others_rows_do_not_block_each_other_for_good(
    app: Flask, database: None
) -> None:
    people = [make_user().id for _ in range(2)]
    db.session.commit()

    def act(number: int) -> None:
        for _ in range(10):
            with transaction():
                # Writes its entry first, then takes a row that the other one names.
                audit.record("test.done", "user", number, actor_id=people[1 - number])
                db.session.execute(
                    select(User.id).where(User.id == people[number]).with_for_update()
                )
                db.session.flush()

    at_once(app, 2, act)
    assert audit_chain.check_chain().rows == 20


def test_what_is_rolled_back_leaves_no_entry(database: None) -> None:
    with pytest.raises(RuntimeError, match="no"), transaction():
        audit.record("test.done", "thing", 1)
        raise RuntimeError("no")
    write(1)
    actions = db.session.scalars(select(AuditEntry.object_id)).all()
    assert actions == ["0"]


def test_who_acts_for_somebody_else_is_named_with_them(database: None) -> None:
    staff, customer = make_user(Role.SUPPORT), make_user()
    token = audit.acting_staff.set(staff.id)
    try:
        with transaction():
            audit.record("test.done", "thing", 1, actor_id=customer.id)
            audit.record("test.done", "thing", 2, actor_id=staff.id)
            audit.record("test.done", "thing", 3)
    finally:
        audit.acting_staff.reset(token)
    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.actor_id, entry.on_behalf_of_id) for entry in entries] == [
        (staff.id, customer.id),
        (staff.id, None),
        (None, None),
    ]


def test_secrets_are_masked_wherever_they_stand(database: None) -> None:
    planted = "s3cr3t-Value-9"
    with transaction():
        audit.record(
            "test.done",
            "thing",
            1,
            before={"api_key": planted, "label": "mine", "old_password": planted},
            after={
                "nested": {"TOTP_secret": planted, "list": [{"token": planted}]},
                "words": f"password={planted}",
                "key": f"botyard_{'x' * 20}",
                "token_count": 3,
            },
            reason=f"the customer wrote password: {planted}",
        )
    entry = db.session.scalars(select(AuditEntry)).one()
    stored = f"{entry.before} {entry.after} {entry.reason}"
    assert planted not in stored
    assert "x" * 20 not in stored
    assert entry.before == {"api_key": "***", "label": "mine", "old_password": "***"}


def test_a_request_leaves_its_address_and_number(login_as: Login) -> None:
    user = make_user()
    login_as(user).post_form(
        "/settings/tokens", {"label": "x"}, environ_base={"REMOTE_ADDR": "203.0.113.9"}
    )
    staff = login_as(make_user(Role.MANAGER))
    form = {"reason": "spam, three reports", "wanted": "block"}
    staff.post_form(
        f"/admin/users/block?id={user.id}", form, environ_base={"REMOTE_ADDR": "203.0.113.7"}
    )
    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert entry.address == "203.0.113.7"
    assert entry.request_id not in (None, "-")
    assert audit.client_address.get() is None


def test_the_command_tells_whole_broken_and_lost(
    app: Flask, database: None, tamper: Callable[[str], None]
) -> None:
    write(3)
    run = app.test_cli_runner().invoke
    whole = run(args=["audit", "verify"])
    assert whole.exit_code == 0, whole.output
    noted = re.search(r"\d+:[0-9a-f]{64}", whole.output)
    assert noted is not None
    assert run(args=["audit", "verify", "--noted", noted[0]]).exit_code == 0
    assert run(args=["audit", "verify", "--noted", "nonsense"]).exit_code == 2
    lost = run(args=["audit", "verify", "--noted", f"3:{'a' * 64}"])
    assert lost.exit_code == 1
    assert "3" in lost.output
    tamper("update audit_log set reason = 'x' where id = 2")
    broken = run(args=["audit", "verify"])
    assert broken.exit_code == 1
    assert "row 2" in broken.output


def test_the_daily_check_writes_to_the_log_outside_the_database(
    database: None, tamper: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    write(2)
    with caplog.at_level("INFO"):
        audit_chain.check_daily()
        head = audit_chain.check_chain().head
        assert f"audit_chain_whole rows=2 head={head}" in caplog.text
        db.session.commit()
        tamper("delete from audit_log where id = 1")
        audit_chain.check_daily()
    assert "audit_chain_broken first_row=2" in caplog.text
    assert caplog.records[-1].levelname == "ERROR"


@pytest.mark.long
def test_rows_from_before_are_chained_by_the_migration(
    addresses: Addresses, app: Flask, environment: dict[str, str]
) -> None:
    from flask_migrate import downgrade, upgrade

    from app import create_app
    from app.config import current_config, load_config, use_config

    url = services.make_database(addresses, f"{addresses.run}_audit_migration")
    before = current_config()
    other = load_config({**environment, "DATABASE_URL": url, "DATABASE_OWNER_URL": url})
    old_row = (
        "insert into audit_log (action, object_type, object_id, after)"
        " values ('old', 'thing', '1', '{\"a\": 1.50}')"
    )
    try:
        with create_app(other).app_context(), services.connect(url) as owner:
            downgrade(revision="0002")
            for _ in range(3):
                owner.execute(old_row)
            upgrade(revision="0003")
            assert audit_chain.check_chain().rows == 3
            db.session.rollback()
            # What the old code writes while the new one starts is chained too.
            owner.execute(old_row)
            report = audit_chain.check_chain()
            assert report.is_whole
            assert report.rows == 4
            db.session.rollback()
            downgrade(revision="0002")
            owner.execute(old_row)
            upgrade(revision="head")
            assert audit_chain.check_chain().rows == 5
            db.session.remove()
            db.engine.dispose()
    finally:
        use_config(before)


def test_staff_search_and_take_the_trail_along(login_as: Login) -> None:
    staff = make_user(Role.ADMIN)
    with transaction():
        audit.record(
            "plan.changed",
            "plan",
            "pro",
            actor_id=staff.id,
            before={"price": "29", "name": "Pro"},
            after={"price": "31", "name": "Pro"},
            reason='=HYPERLINK("http://evil.example")',
        )
        audit.record("other.done", "thing", 1)
    client = login_as(staff)
    html = client.get("/admin/audit/").text
    assert staff.email in html
    assert "price: 29 → 31" in html
    found = client.get("/admin/audit/?search=plan.changed").text
    assert "plan.changed" in found
    assert "other.done" not in found
    assert "price" in client.get("/admin/audit/details/?id=1").text
    answer = client.get("/admin/audit/export/csv/?search=plan.changed", buffered=True)
    assert answer.mimetype == "text/csv"
    header, row = csv.reader(io.StringIO(answer.text))
    assert len(header) == len(row)
    assert '\'=HYPERLINK("http://evil.example")' in row
    assert '{"name": "Pro", "price": "31"}' in row


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SUPPORT, Role.MANAGER])
def test_who_may_not_see_the_trail_gets_no_file_either(login_as: Login, role: Role) -> None:
    answer = login_as(make_user(role)).get("/admin/audit/export/csv/")
    assert answer.status_code == (404 if role is Role.CUSTOMER else 403)
