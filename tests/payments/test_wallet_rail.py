"""Paying an invoice from the wallet: once, whatever is clicked, and never more than is there."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from flask import Flask

from app.accounts.models import User
from app.db import db
from app.errors import Conflict, NotFound
from app.payments import wallet_rail
from app.transactions import transaction
from app.wallet import ledger
from app.wallet import service as wallet
from app.wallet.rules import wallet_of
from tests.at_once import at_once
from tests.client import Client
from tests.factories import make_user
from tests.long import few
from tests.payments import world
from tests.payments.world import issue, open_page, pay, settle, state_of, usd

Login = Callable[[User], Client]


@pytest.fixture
def user(database: None) -> User:
    return make_user()


@pytest.fixture
def client(user: User, login_as: Login) -> Client:
    return login_as(user)


def fill(user_id: int, amount: str) -> None:
    with transaction():
        wallet.top_up(f"gift:{amount}", user_id, "demo", usd(amount))


def balance(user_id: int) -> Decimal:
    db.session.rollback()
    return ledger.lock_available(ledger.account(wallet_of(user_id), "USD").id)


def test_an_invoice_is_paid_from_the_wallet_once_however_often_somebody_clicks(
    user: User, client: Client
) -> None:
    fill(user.id, "50.00")
    invoice_id = issue(user.id)
    for _ in range(3):
        answer = client.post_form(f"/invoices/{invoice_id}/pay", {"rail": "wallet"})
        assert answer.status_code == 303
    assert state_of(invoice_id) == "paid"
    assert balance(user.id) == 21
    assert len(world.payments()) == 1


def test_two_tabs_at_once_pay_once(app: Flask, user: User) -> None:
    fill(user.id, "100.00")
    invoice_id, user_id = issue(user.id), user.id
    db.session.commit()

    def click(_: int) -> bool:
        with transaction():
            return wallet_rail.pay_invoice(user_id, invoice_id)

    assert sorted(at_once(app, 8, click)) == [False] * 7 + [True]
    assert balance(user_id) == 71


def test_too_little_money_says_how_much_is_missing_and_nothing_moves(
    user: User, client: Client
) -> None:
    fill(user.id, "20.00")
    invoice_id = issue(user.id)
    answer = client.post_form(
        f"/invoices/{invoice_id}/pay", {"rail": "wallet"}, follow_redirects=True
    )
    assert "9.00 USD are missing" in answer.text
    assert (state_of(invoice_id), balance(user.id)) == ("open", Decimal(20))
    assert world.payments() == []
    with pytest.raises(Conflict, match="wallet_short"), transaction():
        wallet_rail.pay_invoice(user.id, invoice_id)


def test_a_page_that_was_open_is_taken_back_and_late_money_is_not_lost(
    user: User, client: Client
) -> None:
    fill(user.id, "30.00")
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    client.post_form(f"/invoices/{invoice_id}/pay", {"rail": "wallet"})
    pay(client, page)
    settle(client)
    assert state_of(invoice_id) == "paid"
    assert balance(user.id) == 30, "1 was left, and 29 came too late"


def test_nobody_pays_the_invoice_of_another(user: User, login_as: Login) -> None:
    invoice_id = issue(user.id)
    stranger = make_user()
    fill(stranger.id, "50.00")
    client = login_as(stranger)
    for rail in ("wallet", "demo", "saved:demo"):
        answer = client.post_form(f"/invoices/{invoice_id}/pay", {"rail": rail})
        assert answer.status_code == 404
    with pytest.raises(NotFound), transaction():
        wallet_rail.pay_invoice(stranger.id, invoice_id)


@pytest.mark.parametrize(
    "rail", few(["", "nobody", "saved:", "saved:nobody", "x" * 500, "demo\x00"], 3)
)
def test_a_rail_that_is_not_offered_is_refused(user: User, client: Client, rail: str) -> None:
    invoice_id = issue(user.id)
    answer = client.post_form(f"/invoices/{invoice_id}/pay", {"rail": rail}, follow_redirects=True)
    assert "not offered" in answer.text


def test_a_program_is_told_where_to_go(user: User, client: Client) -> None:
    invoice_id = issue(user.id)
    answer = client.post_form(
        f"/invoices/{invoice_id}/pay", {"rail": "demo"}, headers={"Accept": "application/json"}
    )
    told = answer.get_json()
    assert (told["rail"], told["kind"]) == ("demo", "redirect")
    assert told["url"].startswith("http://localhost/demo-pay/dco_")


def test_a_program_may_ask_in_json(user: User, client: Client) -> None:
    path, token = f"/invoices/{issue(user.id)}/pay", {"X-CSRFToken": client.csrf_token()}
    told = client.post(path, json={"rail": "demo"}, headers=token)
    assert told.status_code == 200 and "/demo-pay/" in told.get_json()["url"]
    for nonsense in ({"rail": ["demo"]}, ["demo"], "demo", None):
        refused = client.post(path, json=nonsense, headers=token | {"Accept": "application/json"})
        assert (refused.status_code, refused.get_json()["error"]) == (400, "unknown_rail")
    for page in (path, "/wallet/top-up", "/subscribe/pro"):
        for bad in ("[" * 100_000, "[1]", '"demo"', "5", '{"rail": ["demo"], "amount": 5}'):
            answer = client.post(page, data=bad, content_type="application/json", headers=token)
            assert answer.status_code == 400, (page, bad[:20])
    assert client.post("/nowhere", json=[1], headers=token).status_code == 404
    broken = client.post(path, data="{", content_type="application/json", headers=token)
    assert broken.status_code == 400
    assert client.post(path, json={"rail": "demo"}).status_code == 400, "without a token"


def test_two_clicks_on_pay_lead_to_one_page(user: User, client: Client) -> None:
    invoice_id = issue(user.id)
    assert open_page(client, invoice_id) == open_page(client, invoice_id)
