"""The wallet's pages: figures that agree with the books, one's own only, filters, file."""

import csv
import io
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from flask import Flask

from app.accounts.models import Role, User
from app.db import db, utc_now
from app.listing.paging import PAGE_SIZE
from app.money import Money
from app.transactions import transaction
from app.wallet import figures, holds, queries, service, topups
from app.wallet.ledger import account, post, reverse
from app.wallet.rules import Entry, Line, wallet_of
from app.wallet.topups import RefLink
from tests.client import Client
from tests.factories import make_user
from tests.long import few
from tests.wallet.books import D, make_wallet, sums, usd, wallet_sum

pytestmark = pytest.mark.usefixtures("database")

Login = Callable[[User], Client]


def person(user_id: int) -> User:
    return db.session.get_one(User, user_id)


@pytest.fixture
def joined() -> Iterator[None]:
    """Let a test hand in links of its own, and bring those of the product back."""
    top_ups, refs = topups._joined.top_ups, topups._joined.refs
    yield
    topups.offer_top_ups(top_ups)
    topups.name_refs_with(refs)


def test_a_balance_is_the_sum_of_its_lines(login_as: Login) -> None:
    me = make_wallet("100")
    with transaction():
        service.pay_from_wallet("a", me, "USD", [Line("subscription", D("29.50"))])
        service.exchange("b", me, usd("10"), Money(D("9.10"), "EUR"), source="test")
        holds.hold("h", me, usd("20"), expires_at=utc_now() + timedelta(hours=1))
    balances = {one.currency: one for one in queries.balances_of(me)}
    lines = list(queries.all_lines(me, queries.LineFilter()))
    for currency, balance in balances.items():
        assert balance.total == wallet_sum(me, currency)
        assert balance.total == sum(one.amount for one in lines if one.currency == currency)
    assert (balances["USD"].total, balances["USD"].available) == (D("60.50"), D("40.50"))
    assert queries.available(me, "USD") == D("40.50")
    assert queries.available(me, "BRL") == 0
    page = login_as(person(me)).get("/wallet").text
    assert "60.50" in page and "40.50" in page and "9.10" in page
    assert "Money set aside" in page
    assert page.count("wallet/") >= len(lines)


def test_an_empty_wallet_says_so_and_has_no_dead_button(login_as: Login, joined: None) -> None:
    topups.offer_top_ups(lambda: None)
    me = make_wallet()
    page = login_as(person(me)).get("/wallet")
    assert page.status_code == 200
    assert "Your wallet is empty" in page.text
    assert "Top up" not in page.text and "Download CSV" not in page.text


def test_the_button_to_top_up_stands_while_a_rail_offers_it(login_as: Login, joined: None) -> None:
    offered: list[str | None] = [None]
    topups.offer_top_ups(lambda: offered[0])
    client = login_as(person(make_wallet("5")))
    assert "Top up" not in client.get("/wallet").text
    offered[0] = "/pay/top-up"
    assert 'href="/pay/top-up"' in client.get("/wallet").text


def test_a_transaction_shows_kind_amount_state_rail_counter_lines_and_time(
    login_as: Login, joined: None
) -> None:
    me = make_wallet()
    with transaction():
        posted = service.top_up(
            "a", me, "stripe", usd("50"), fee=D("1.75"), refs=("payment:3", "invoice:12")
        )
    topups.name_refs_with(
        lambda user_id, ref: RefLink(f"Invoice of {user_id}", "/x") if ref == "invoice:12" else None
    )
    found = queries.transaction_of(me, posted.id)
    assert [(one.account, one.amount, one.own) for one in found.lines] == [
        (wallet_of(me), D(50), True),
        ("psp:stripe", D(-50), False),
    ]
    page = login_as(person(me)).get(f"/wallet/{posted.id}").text
    for words in ("Top-up", "50.00", "Settled", "Stripe", f"Invoice of {me}", "Provider"):
        assert words in page
    assert "1.75" not in page and "payment:3" not in page
    assert posted.at.strftime("%H:%M:%S") in page


def test_what_was_taken_back_leads_to_what_took_it_back(login_as: Login) -> None:
    me = make_wallet()
    with transaction():
        first = service.grant("a", me, usd("5"), actor_id=None, reason="A mistake of ours")
        second = reverse("a:back", "a")
    client = login_as(person(me))
    page = client.get(f"/wallet/{first.id}").text
    assert "Reversed" in page and f'href="/wallet/{second.id}"' in page
    assert "A mistake of ours" in page
    assert f'href="/wallet/{first.id}"' in client.get(f"/wallet/{second.id}").text
    assert [one.state for one in queries.all_lines(me, queries.LineFilter())] == [
        "settled",
        "reversed",
    ]


def test_others_see_nothing_of_it_and_are_not_named(login_as: Login) -> None:
    me, other, stranger = make_wallet("50"), make_wallet(), make_wallet()
    lines = [
        Entry(wallet_of(me), "USD", D(7)),
        Entry(wallet_of(other), "USD", D(-7)),
    ]
    with transaction():
        posted = post("gift", "gift", lines)
    mine = queries.transaction_of(me, posted.id)
    assert [one.account for one in mine.lines] == [wallet_of(me), "others:wallet"]
    assert f"u{other}" not in login_as(person(me)).get(f"/wallet/{posted.id}").text
    client = login_as(person(stranger))
    assert client.get(f"/wallet/{posted.id}").status_code == 404
    assert client.get("/wallet/999999").status_code == 404
    assert client.get(f"/wallet/{2**70}").status_code == 404
    assert "7.00" not in client.get("/wallet.csv").text
    assert client.get("/wallet.csv").text.count("\n") == 1


def test_lines_are_filtered_and_paged(login_as: Login) -> None:
    me = make_wallet("100")
    with transaction():
        for number in range(PAGE_SIZE + 5):
            service.pay_from_wallet(f"p{number}", me, "USD", [Line("one_off", D("0.50"))])
        service.top_up("euro", me, "demo", Money(D(3), "EUR"))
    client = login_as(person(me))
    assert client.get("/wallet").text.count("<tr>") == PAGE_SIZE + 1
    assert client.get("/wallet?page=2").text.count("<tr>") == 7 + 1
    total = queries.list_lines(me, queries.LineFilter(), 1).total
    assert total == PAGE_SIZE + 7

    def rows(words: str) -> int:
        return len(list(csv.reader(io.StringIO(client.get(f"/wallet.csv?{words}").text)))) - 1

    assert rows("") == total
    assert rows("currency=EUR") == 1
    assert rows("kind=wallet_payment") == PAGE_SIZE + 5
    assert rows("direction=in") == 2
    assert rows("direction=out") == PAGE_SIZE + 5
    assert rows("rail=demo") == 2
    assert rows("from=2020-01-01&to=2020-01-02") == 0
    assert rows("from=2020-01-01") == total
    assert rows("currency=EUR&direction=out") == 0
    assert "No transaction fits" in client.get("/wallet?currency=XYZ").text


@pytest.mark.parametrize(
    "words",
    few(["page=-1", "page=9e9", "from=yesterday&to=9999-99-99", "currency=%F0%9F%98%80",
     "direction=sideways", "rail=" + "x" * 5000], 3),
)  # fmt: skip
def test_odd_filters_are_harmless(login_as: Login, words: str) -> None:
    client = login_as(person(make_wallet("5")))
    assert client.get(f"/wallet?{words}").status_code == 200
    assert client.get(f"/wallet.csv?{words}").status_code == 200


def test_the_file_has_exact_numbers_and_no_formulas(login_as: Login) -> None:
    me = make_wallet("1234.50")
    with transaction():
        service.top_up("a", me, "demo", usd("1"), refs=("=1+1",))
    answer = login_as(person(me)).get("/wallet.csv")
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["amount"] for row in rows] == ["1", "1234.5"]
    assert rows[0]["references"] == "'=1+1"
    assert rows[0]["time_utc"].endswith("Z")


@pytest.mark.parametrize("language", ["en", "ru", "pt_BR"])
def test_pages_stand_in_every_language(login_as: Login, language: str) -> None:
    me = make_wallet("5")
    with transaction():
        person(me).profile.language = language
    client = login_as(person(me))
    assert client.get("/wallet").status_code == 200
    posting = queries.list_lines(me, queries.LineFilter(), 1).items[0].posting_id
    assert client.get(f"/wallet/{posting}").status_code == 200


def test_staff_see_the_books_and_change_nothing(app: Flask, login_as: Login) -> None:
    from tests.factories import make_user

    me = make_wallet("50")
    with transaction():
        holds.hold("h", me, usd("20"), expires_at=utc_now() + timedelta(hours=1))
        manager, support = make_user(Role.MANAGER), make_user(Role.SUPPORT)
    desk = login_as(manager)
    books = desk.get("/admin/books/").text
    assert "balanced" in books and "psp:demo" in books and "not balanced" not in books
    for word, shown in (
        ("postings", f"start:{me}"),
        ("entries", "50"),
        ("accounts", f"wallet:u{me}"),
        ("holds", "Money set aside"),
    ):
        page = desk.get(f"/admin/ledger/{word}/")
        assert page.status_code == 200 and shown in page.text, word
        for verb in ("new", "edit", "delete"):
            answer = desk.post_form(f"/admin/ledger/{word}/{verb}/", {"id": "1"})
            assert answer.status_code in {302, 404, 405}, (word, verb)
    assert wallet_sum(me) == 50
    assert login_as(support).get("/admin/books/").status_code == 403
    assert login_as(person(me)).get("/admin/books/").status_code == 404


# --- figures for statistics -----------------------------------------------------------------------


def test_each_payment_tells_gross_fee_and_net_with_fees_told_later() -> None:
    me = make_wallet()
    began = utc_now()
    with transaction():
        service.settle_payment(
            "p1", me, "stripe", usd("30"), [Line("subscription", D(29))], fee=D("1.17"),
            refs=("payment:1",),
        )  # fmt: skip
        service.top_up("p2", me, "stripe", usd("50"), refs=("payment:2",))
        service.record_fee("f2", "stripe", usd("1.75"), refs=("payment:2", "payment:9"))
        service.record_fee("f3", "stripe", usd("0.50"))
        service.refund_to_wallet("r", me, usd("10"), refs=("payment:1",))
    found = figures.payment_figures(began, utc_now() + timedelta(seconds=5))
    assert [(one.key, one.gross, one.fee, one.net) for one in found] == [
        ("p1", D(30), D("1.17"), D("28.83")),
        ("p2", D(50), D("1.75"), D("48.25")),
    ]
    assert figures.payment_figures(began - timedelta(days=2), began) == ()


def test_accounts_are_summed_for_a_period_and_add_up_to_zero() -> None:
    me = make_wallet("50")
    between = utc_now()
    with transaction():
        service.pay_from_wallet(
            "a",
            me,
            "USD",
            [Line("rental", D(5)), Line("shop", D(2))],
            tax=D(1),
            refs=("invoice:1",),
        )
    assert queries.account_sums(("revenue", "tax"), since=between) == {
        ("revenue:rental", "USD"): D(-5),
        ("revenue:shop", "USD"): D(-2),
        ("tax:payable", "USD"): D(-1),
    }
    assert queries.account_sums(("revenue",), until=between) == {}
    balance = figures.trial_balance()
    assert sum(one.total for one in balance) == 0
    assert {(one.name, one.total) for one in balance} == {
        (name.partition(":")[0] if ":u" in name else name, total)
        for (name, _), total in sums().items()
    }


def test_postings_are_found_by_what_they_are_about() -> None:
    me = make_wallet("50")
    with transaction():
        service.pay_from_wallet("a", me, "USD", [Line("rental", D(5))], refs=("invoice:1", "x:1"))
        service.refund_to_wallet("b", me, usd("5"), refs=("invoice:1",))
        service.top_up("c", me, "demo", usd("5"), refs=("invoice:11",))
    found = queries.postings_about("invoice:1")
    assert [(one.key, one.kind, one.refs) for one in found] == [
        ("a", "wallet_payment", ("invoice:1", "x:1")),
        ("b", "refund", ("invoice:1",)),
    ]
    assert found[0].entries == (
        Entry(wallet_of(me), "USD", D(5)), Entry("revenue:rental", "USD", D(-5)),
    )  # fmt: skip
    assert queries.postings_about("invoice:2") == ()


def test_a_wallet_without_transactions_blames_no_filter(login_as: Login) -> None:
    user = make_user()
    with transaction():
        account(wallet_of(user.id), "USD")
    client = login_as(user)
    page = client.get("/wallet").text
    assert "No transactions yet" in page and "hidden by the filters" not in page
    assert "hidden by the filters" in client.get("/wallet?kind=refund").text
