"""The whole way on the demonstration: an invoice, a page, a card, signed callbacks, the ledger."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from app.accounts.models import User
from app.payments.demo import provider
from app.wallet import ledger
from app.wallet.rules import wallet_of
from tests.client import Client
from tests.factories import make_user
from tests.payments import world
from tests.payments.world import issue, open_page, pay, settle, state_of

Login = Callable[[User], Client]


@pytest.fixture
def user(database: None) -> User:
    return make_user()


@pytest.fixture
def client(user: User, login_as: Login) -> Client:
    return login_as(user)


def wallet_balance(user_id: int) -> Decimal:
    return ledger.lock_available(ledger.account(wallet_of(user_id), "USD").id)


def test_a_paid_page_turns_the_invoice_to_paid_once_its_callback_was_applied(
    user: User, client: Client
) -> None:
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    assert "no real money" in client.get(page).text
    back = pay(client, page)
    waiting = client.get(back)
    assert "Waiting for the provider" in waiting.text
    assert state_of(invoice_id) == "open"
    settle(client)
    assert state_of(invoice_id) == "paid"
    assert "The money has come" in client.get(back).text
    assert "Paid" in client.get(f"/invoices/{invoice_id}").text
    (payment,) = world.payments()
    assert (payment.state, payment.method, payment.fee) == (
        "succeeded",
        "Visa 4242",
        Decimal("1.14"),
    )
    assert world.postings() == [f"payment:{payment.id}:settled"]


@pytest.mark.parametrize(
    ("card", "code", "sentence"),
    [
        (world.DECLINED, "card_declined", "The bank declined the card"),
        (world.NO_FUNDS, "insufficient_funds", "not enough money on the card"),
    ],
)
def test_a_card_that_is_refused_says_why_and_another_one_pays(
    user: User, client: Client, card: str, code: str, sentence: str
) -> None:
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    assert sentence in client.post_form(page, {"number": card}).text
    settle(client)
    assert state_of(invoice_id) == "open"
    assert [(one.state, one.failure) for one in world.payments()] == [("failed", code)]
    shown = client.get(f"/invoices/{invoice_id}").text
    assert "Payment failed" in shown and sentence in shown
    assert pay(client, page)
    settle(client)
    assert state_of(invoice_id) == "paid"
    assert [one.state for one in world.payments()] == ["failed", "succeeded"]


@pytest.mark.parametrize(("answer", "state"), [("yes", "paid"), ("no", "open")])
def test_the_bank_of_the_payer_is_asked_first(
    user: User, client: Client, answer: str, state: str
) -> None:
    invoice_id = issue(user.id)
    question = pay(client, open_page(client, invoice_id), world.CONFIRMS)
    assert "Your bank asks" in client.get(question).text
    settle(client)
    assert [one.state for one in world.payments()] == ["pending"]
    assert client.post_form(question, {"answer": answer}).status_code == 303
    settle(client)
    assert state_of(invoice_id) == state


def test_any_other_number_is_no_card(user: User, client: Client) -> None:
    page = open_page(client, issue(user.id))
    for number in ("", "5555555555554444", "4242", "😀" * 50, "4" * 10_000):
        assert client.post_form(page, {"number": number}).status_code == 422
    assert world.outbox() == []


def test_a_page_that_was_paid_takes_no_second_card(user: User, client: Client) -> None:
    page = open_page(client, issue(user.id))
    pay(client, page)
    assert client.post_form(page, {"number": world.PAYS}).status_code == 422
    settle(client)
    assert len(world.payments()) == 1


def test_what_was_paid_with_is_kept_for_the_next_invoice(user: User, client: Client) -> None:
    pay(client, open_page(client, issue(user.id)))
    settle(client)
    second = issue(user.id, "5.00", "two")
    assert "Pay with Visa 4242" in client.get(f"/invoices/{second}").text
    for _ in range(2):
        client.post_form(f"/invoices/{second}/pay", {"rail": "saved:demo"})
    assert state_of(second) == "paid"
    settle(client)
    assert [one.amount for one in world.payments()] == [29, 5]


def test_a_dispute_freezes_and_then_costs_what_it_costs(user: User, client: Client) -> None:
    invoice_id = issue(user.id)
    pay(client, open_page(client, invoice_id), world.DISPUTED)
    settle(client)
    (dispute,) = provider.newest("dispute")
    assert f"dispute:demo:{dispute['id']}:opened" in world.postings()
    provider.close_dispute(str(dispute["id"]), won=False)
    settle(client)
    assert f"dispute:demo:{dispute['id']}:lost" in world.postings()
    assert state_of(invoice_id) == "paid"


def test_a_wallet_is_topped_up_by_any_rail(user: User, client: Client) -> None:
    form = {"amount": "50,00", "currency": "USD", "rail": "demo"}
    answer = client.post_form("/wallet/top-up", form | {"amount": "50.00"})
    assert answer.status_code == 303, answer.text
    back = pay(client, answer.location.removeprefix("http://localhost"))
    settle(client)
    assert "The money has come" in client.get(back).text
    assert wallet_balance(user.id) == 50


@pytest.mark.parametrize("amount", ["", "0", "-5", "0.001", "1e9", "NaN", "abc", "9" * 50])
def test_an_absurd_top_up_is_refused(user: User, client: Client, amount: str) -> None:
    form = {"amount": amount, "currency": "USD", "rail": "demo"}
    assert client.post_form("/wallet/top-up", form).status_code == 422
