"""The bottom of the ledger: balanced, booked once, never changed, never overdrawn."""

from datetime import timedelta

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.accounts.models import Role
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound
from app.transactions import transaction
from app.wallet import check, disputes, holds, service
from app.wallet.ledger import post, reverse
from app.wallet.rules import CHART, Entry, Line
from tests import services
from tests.conftest import ROOT
from tests.factories import make_user
from tests.wallet.books import D, kept, make_wallet, rows_of, sums, usd, wallet_sum

pytestmark = pytest.mark.usefixtures("database")

TABLES = ("ledger_accounts", "ledger_postings", "ledger_entries")


def two_lines(user_id: int, amount: str = "5") -> list[Entry]:
    return [Entry("psp:demo", "USD", D(amount)), Entry(f"wallet:u{user_id}", "USD", -D(amount))]


def test_a_posting_is_booked_once_and_tells_so() -> None:
    user_id = make_wallet()
    with transaction():
        first = post("a", "test", two_lines(user_id), refs=("invoice:1",))
    with transaction():
        again = post("a", "test", two_lines(user_id)[::-1], refs=("invoice:1",))
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.id, again.at) == (first.id, first.at)
    assert wallet_sum(user_id) == 5
    assert kept(f"wallet:u{user_id}") == (-5, 0)


@pytest.mark.parametrize("change", ["amount", "kind", "rail", "refs", "account", "commodity"])
def test_the_same_key_with_other_content_is_refused(change: str) -> None:
    user_id = make_wallet()
    with transaction():
        post("a", "test", two_lines(user_id), refs=("invoice:1",), rail="demo")
    lines, kind, refs, rail = two_lines(user_id), "test", ("invoice:1",), "demo"
    if change == "amount":
        lines = two_lines(user_id, "6")
    elif change == "account":
        lines[0] = Entry("psp:other", "USD", D(5))
    elif change == "commodity":
        lines = [Entry(line.account, "EUR", line.amount) for line in lines]
    elif change == "kind":
        kind = "other"
    elif change == "rail":
        rail = "other"
    else:
        refs = ("invoice:2",)
    with pytest.raises(Conflict, match="posting_key_taken"), transaction():
        post("a", kind, lines, refs=refs, rail=rail)
    assert rows_of("ledger_postings") == 1
    assert wallet_sum(user_id) == 5


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "posting_unbalanced"),
        ([Entry("psp:demo", "USD", D(0)), Entry("bank:main", "USD", D(0))], "posting_unbalanced"),
        ([Entry("psp:demo", "USD", D(5))], "posting_unbalanced"),
        ([Entry("psp:demo", "USD", D(5)), Entry("bank:main", "EUR", D(-5))], "posting_unbalanced"),
        ([Entry("psp:demo", "USD", D(5)), Entry("psp:demo", "USD", D(-5))], "ledger_account_twice"),
        ([Entry("pocket:mine", "USD", D(5)), Entry("bank:main", "USD", D(-5))], "unknown_ledger_"),
        ([Entry("wallet:x", "USD", D(5)), Entry("bank:main", "USD", D(-5))], "unknown_ledger_"),
        ([Entry("psp:u7", "USD", D(5)), Entry("bank:main", "USD", D(-5))], "unknown_ledger_"),
        ([Entry("psp:A b", "USD", D(5)), Entry("bank:main", "USD", D(-5))], "unknown_ledger_"),
        ([Entry("psp:a", "usd", D(5)), Entry("bank:main", "usd", D(-5))], "unknown_commodity"),
        (
            [Entry("psp:a", "USD", D("5.001")), Entry("bank:main", "USD", D("-5.001"))],
            "amount_too_fine",
        ),
        (
            [Entry("psp:a", "XAU_ug", D("0.5")), Entry("bank:main", "XAU_ug", D("-0.5"))],
            "amount_too_fine",
        ),
        ([Entry("psp:a", "USD", D("NaN")), Entry("bank:main", "USD", D("NaN"))], "out_of_range"),
        ([Entry("psp:a", "USD", D("1e30")), Entry("bank:main", "USD", D("-1e30"))], "out_of_range"),
    ],
)
def test_lines_that_cannot_be_booked_are_refused(entries: list[Entry], code: str) -> None:
    with pytest.raises(InvalidInput, match=code), transaction():
        post("a", "test", entries)
    assert rows_of("ledger_postings") == 0


@pytest.mark.parametrize("key", ["", " ", "a b", "ключ", "a\x00", "a" * 201])
def test_odd_keys_are_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="bad_posting_key"), transaction():
        post(key, "test", [Entry("psp:a", "USD", D(1)), Entry("bank:main", "USD", D(-1))])


def test_a_wallet_is_never_overdrawn_and_the_transaction_goes_on() -> None:
    user_id = make_wallet("10")
    with transaction():
        with pytest.raises(Conflict, match="insufficient_funds") as refused:
            service.pay_from_wallet("pay", user_id, "USD", [Line("one_off", D("10.01"))])
        assert refused.value.values == {
            "available": D(10), "amount": D("10.01"), "currency": "USD",
        }  # fmt: skip
        service.pay_from_wallet("pay", user_id, "USD", [Line("one_off", D(10))])
    assert wallet_sum(user_id) == 0
    assert kept(f"wallet:u{user_id}") == (0, 0)


def test_an_account_that_is_not_guarded_may_go_below_zero() -> None:
    with transaction():
        post("a", "test", [Entry("psp:a", "USD", D(-5)), Entry("bank:main", "USD", D(5))])
    assert sums()["psp:a", "USD"] == -5


def test_a_posting_is_undone_by_its_opposite_and_only_once() -> None:
    user_id = make_wallet("10")
    with transaction():
        posted = service.refund_to_rail("refund", "demo", usd("4"), refs=("payment:1",))
        undone = reverse("refund:failed", "refund")
        assert reverse("refund:failed", "refund").replayed
        with pytest.raises(Conflict, match="already_reversed"):
            reverse("again", "refund")
    assert undone.id != posted.id
    assert sums()["psp:demo", "USD"] == 10
    assert sums()["contra:refunds", "USD"] == 0
    assert wallet_sum(user_id) == 10
    with pytest.raises(NotFound), transaction():
        reverse("x", "nothing")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["update {} set id = id", "delete from {}", "truncate {}"])
def test_nothing_that_was_booked_is_changed_even_by_the_owner(
    database_url: str, table: str, statement: str
) -> None:
    user_id = make_wallet("10")
    with pytest.raises(DBAPIError):
        db.session.execute(text(statement.format(table)))
    db.session.rollback()
    with services.connect(database_url) as owner:
        if statement.startswith("truncate"):
            statement += " cascade"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="takes new rows only"):
            owner.execute(statement.format(table).encode())
    assert wallet_sum(user_id) == 10


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger_balances set posted = -1000",
        "delete from ledger_balances",
        "insert into ledger_balances (account_id, guard, posted, held) values (1, -1, -9, 0)",
        "truncate ledger_balances",
        "delete from ledger_holds",
        "truncate ledger_holds",
        "alter table ledger_entries disable trigger user",
        "drop trigger ledger_refuse on ledger_entries",
        "create or replace function ledger_refuse() returns trigger language plpgsql"
        " as 'begin return new; end'",
    ],
)
def test_the_serving_role_moves_no_balance_and_drops_no_guard(statement: str) -> None:
    make_wallet("10")
    with pytest.raises(DBAPIError):
        db.session.execute(text(statement))
    db.session.rollback()


POSTING = (
    "insert into ledger_postings (key, kind, rail, refs, details, lines, content_hash)"
    " values ('raw', 'test', '', '[]', '{}', 2, 'x') returning id"
)
ENTRY = (
    "insert into ledger_entries (posting_id, account_id, commodity, amount)"
    " values (:posting, (select id from ledger_accounts where name = :name), :commodity, :amount)"
)


def raw_posting(*lines: tuple[str, str, str]) -> None:
    """Write a posting as somebody would who has the serving role and not our code."""
    posting = db.session.scalar(text(POSTING))
    for name, commodity, amount in lines:
        values = {"posting": posting, "name": name, "commodity": commodity, "amount": D(amount)}
        db.session.execute(text(ENTRY), values)
    db.session.commit()


@pytest.mark.parametrize(
    ("lines", "constraint"),
    [
        ([], "does not balance"),
        ([("psp:demo", "USD", "5")], "does not balance"),
        ([("psp:demo", "USD", "5"), ("revenue:a", "USD", "-4.99")], "does not balance"),
        ([("psp:demo", "USD", "5"), ("revenue:e", "EUR", "-5")], "does not balance"),
        ([("psp:demo", "EUR", "5"), ("revenue:e", "EUR", "-5")], "fk_ledger_entries_account_id"),
        ([("no:wallet", "USD", "5"), ("psp:demo", "USD", "-5")], "null value"),
        ([("psp:demo", "USD", "0"), ("revenue:a", "USD", "0")], "amount_not_zero"),
        ([("wallet", "USD", "10.01"), ("revenue:a", "USD", "-10.01")], "not_overdrawn"),
        (
            [("psp:demo", "USD", "5"), ("psp:demo", "USD", "-5")],
            "uq_ledger_entries_posting_id_account_id",
        ),
    ],
)
def test_the_database_refuses_what_does_not_balance(
    lines: list[tuple[str, str, str]], constraint: str
) -> None:
    user_id = make_wallet("10")
    with transaction():
        post("accounts", "test", [Entry("psp:demo", "USD", D(1)), Entry("revenue:a", "USD", D(-1))])
        post("euros", "test", [Entry("psp:e", "EUR", D(1)), Entry("revenue:e", "EUR", D(-1))])
    named = [(f"wallet:u{user_id}" if name == "wallet" else name, *rest) for name, *rest in lines]
    with pytest.raises(IntegrityError, match=constraint):
        raw_posting(*named)  # type: ignore[arg-type]
    db.session.rollback()
    assert rows_of("ledger_postings") == 3


def test_the_database_takes_what_balances_and_no_line_later() -> None:
    user_id = make_wallet("10")
    raw_posting(("psp:demo", "USD", "-2"), (f"wallet:u{user_id}", "USD", "2"))
    assert kept(f"wallet:u{user_id}") == (-8, 0)
    with transaction():
        post("more", "test", [Entry("psp:a", "USD", D(1)), Entry("bank:main", "USD", D(-1))])
    for name, amount in (("psp:a", "3"), ("bank:main", "-3")):
        values = {"posting": 1, "name": name, "commodity": "USD", "amount": D(amount)}
        values["posting"] = db.session.scalar(text("select min(id) from ledger_postings"))
        db.session.execute(text(ENTRY), values)
    with pytest.raises(IntegrityError, match="does not balance"):
        db.session.commit()
    db.session.rollback()


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ("'wallet:u{id}', 'wallet', 'EUR', {id}, 0", "guard"),
        ("'wallet:u{id}', 'wallet', 'EUR', null, -1", "owner"),
        ("'wallet:u{other}', 'wallet', 'EUR', {id}, -1", "owner"),
        ("'psp:a', 'wallet', 'EUR', {id}, -1", "kind_of_name"),
        ("'psp:a', 'psp', 'EUR', {id}, 0", "owner"),
        ("'psp:a', 'psp', 'euro', null, 0", "commodity"),
        ("'psp:A B', 'psp', 'EUR', null, 0", "name"),
        ("'wallet:u{id}', 'wallet', 'USD', {id}, -1", "uq_ledger_accounts_name_commodity"),
        ("'wallet:u999999999', 'wallet', 'USD', 999999999, -1", "fk_ledger_accounts_user_id"),
    ],
)
def test_the_database_refuses_accounts_outside_the_chart(values: str, constraint: str) -> None:
    user_id = make_wallet("10")
    other = make_user(Role.CUSTOMER).id
    db.session.commit()
    statement = "insert into ledger_accounts (name, kind, commodity, user_id, guard) values ({})"
    filled = statement.format(values.format(id=user_id, other=other))
    with pytest.raises(IntegrityError, match=constraint):
        db.session.execute(text(filled))
    db.session.rollback()


def test_whole_books_are_told_so() -> None:
    user_id = make_wallet("10")
    with transaction():
        service.pay_from_wallet("pay", user_id, "USD", [Line("one_off", D(3))])
        report = check.verify()
    assert report.is_whole
    assert (report.postings, report.entries) == (2, 4)


@pytest.mark.parametrize(
    ("table", "statement", "code"),
    [
        (
            "ledger_entries",
            "update ledger_entries set amount = 9 where amount = 10",
            "posting_sum",
        ),
        ("ledger_entries", "delete from ledger_entries where amount = 10", "posting_lines"),
        (
            "ledger_entries",
            "update ledger_entries set amount = amount * 2 where posting_id ="
            " (select min(id) from ledger_postings)",
            "content",
        ),
        ("ledger_postings", "update ledger_postings set rail = 'bank'", "content"),
        ("ledger_balances", "update ledger_balances set posted = posted - 5", "balance"),
        ("ledger_balances", "update ledger_balances set held = 1", "held"),
        ("ledger_balances", "delete from ledger_balances", "balance"),
    ],
)
def test_a_change_behind_the_triggers_is_found(
    database_url: str, table: str, statement: str, code: str
) -> None:
    make_wallet("10")
    db.session.commit()
    with services.connect(database_url) as owner:
        owner.execute(f"alter table {table} disable trigger user".encode())
        try:
            owner.execute(statement.encode())
        finally:
            owner.execute(f"alter table {table} enable trigger user".encode())
    report = check.verify()
    assert code in {difference.code for difference in report.differences}
    assert all(str(difference) for difference in report.differences)


def test_the_nightly_check_tells_the_log_and_the_page_of_services(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    from app import health

    make_wallet("10")
    with caplog.at_level("INFO"):
        check.verify_daily()
    assert "ledger_whole postings=1 entries=2" in caplog.text
    assert {one.name: one.grade for one in health.overview().services}["ledger"] == "ok"
    with services.connect(database_url) as owner:
        owner.execute("update ledger_balances set posted = posted - 5")
    check.verify_daily()
    assert "ledger_differs balance" in caplog.text
    assert {one.name: one.grade for one in health.overview().services}["ledger"] == "down"


def test_the_command_adds_everything_up_and_tells_what_differs(
    app: Flask, database_url: str
) -> None:
    make_wallet("10")
    db.session.commit()
    whole = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert whole.exit_code == 0 and "1 postings, 2 entries" in whole.output
    with services.connect(database_url) as owner:
        owner.execute("update ledger_balances set posted = posted - 5")
    differs = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert differs.exit_code == 1
    assert "-15 stands, -10 should" in differs.output and "Differences: 1" in differs.output


def test_a_failure_after_any_step_leaves_the_books_as_they_were() -> None:
    user_id = make_wallet("100")
    before = sums(), kept(f"wallet:u{user_id}"), rows_of("ledger_postings"), rows_of("ledger_holds")
    steps = (
        lambda: service.pay_from_wallet("pay", user_id, "USD", [Line("one_off", D(10))]),
        lambda: service.refund_to_wallet("refund", user_id, usd("5")),
        lambda: holds.hold("h", user_id, usd("20"), expires_at=utc_now() + timedelta(hours=1)),
        lambda: holds.capture("h", "captured", [Line("one_off", D(15))]),
        lambda: disputes.open_dispute("d:1", user_id, "demo", usd("50"), wallet_part=D(50)),
        lambda: disputes.lose_dispute("d:1"),
        lambda: reverse("back", "refund"),
    )
    for done in range(1, len(steps) + 1):
        with pytest.raises(RuntimeError, match="as planned"), transaction():
            for step in steps[:done]:
                step()
            raise RuntimeError("as planned")
        after = (
            sums(), kept(f"wallet:u{user_id}"), rows_of("ledger_postings"), rows_of("ledger_holds")
        )  # fmt: skip
        assert after == before
    with transaction():
        for step in steps:
            step()
    assert check.verify().is_whole


def test_the_document_names_every_account_of_the_chart() -> None:
    document = (ROOT / "docs/architecture/ledger.md").read_text()
    assert [kind for kind in CHART if f"| `{kind}:" not in document] == []
