"""A form of the desk that is refused comes back as it was typed, and names what is wrong."""

import re
from collections.abc import Callable
from decimal import Decimal
from html import unescape

import pytest

from app.accounts.models import Role, User
from app.db import db, utc_now
from app.money import Money
from app.payments import wallet_rail
from app.payments.models import Payment, PaymentAlert
from app.subscriptions.kept import service as kept
from app.subscriptions.periods import MONTH
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import Choice
from app.transactions import transaction
from app.wallet import service as wallet
from tests.client import Client
from tests.factories import make_user

Login = Callable[[User], Client]
WHY = "asked for it by phone"


@pytest.fixture
def paying(user: User) -> User:
    """Somebody who pays for pro from the wallet."""
    with transaction():
        wallet.grant("gift", user.id, Money(Decimal(29), CURRENCY), actor_id=None, reason="a gift")
    with transaction():
        invoice_id = kept.start(user.id, Choice("pro", MONTH, {}), "wallet", "order")
    assert invoice_id is not None
    with transaction():
        wallet_rail.pay_invoice(user.id, invoice_id)
    return user


def hidden(page: str) -> dict[str, str]:
    """Return what a page sends along unseen."""
    fields = re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
    named = {re.search(r'name="([^"]*)"', one): one for one in fields}
    found = {name[1]: re.search(r'value="([^"]*)"', one) for name, one in named.items() if name}
    return {name: value[1] for name, value in found.items() if value and name != "csrf_token"}


def shown(page: str, name: str) -> str:
    """Return what stands in a field of a page."""
    field = re.search(rf'<input[^>]*name="{name}"[^>]*>', page)
    if field:
        value = re.search(r'value="([^"]*)"', field[0])
        return unescape(value[1]) if value else ""
    options = re.search(rf'<select[^>]*name="{name}"[^>]*>(.*?)</select>', page, re.S)
    assert options, name
    chosen = re.search(r"<option[^>]*selected[^>]*>", options[1])
    value = re.search(r'value="([^"]*)"', chosen[0]) if chosen else None
    return value[1] if value else ""


def refused(staff: Client, path: str, typed: dict[str, str], field: str | None) -> str:
    """Send what is refused; all of it stands there again, and the field that is wrong says why."""
    answer = staff.post_form(path, {**hidden(staff.get(path).text), **typed})
    assert answer.status_code == 422, answer.text
    page = answer.text
    assert {name: shown(page, name) for name in typed} == typed
    (said,) = re.findall(r'id="form-summary".*?</div>', page, re.S)
    if field is None:
        assert 'href="#' not in said and "correct one field" not in said
    else:
        assert set(re.findall(r'href="#([a-z_]+)"', said)) == {field}
        assert f'id="{field}-error"' in page
    return unescape(re.sub(r"<[^>]+>|\s+", " ", said))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"amount": "1.234,5x"}, "amount"),
        ({"amount": "1,234"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "999"}, "amount"),
        ({"reason": "  "}, "reason"),
    ],
)
def test_a_refund(paying: User, staff: Client, wrong: dict[str, str], field: str) -> None:
    payment = db.session.query(Payment.id).scalar()
    typed = {"amount": "5", "target": "wallet", "reason": WHY}
    refused(staff, f"/admin/payments/refund?id={payment}", typed | wrong, field)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"user_id": "999999"}, "user_id"),
        ({"amount": "x"}, "amount"),
        ({"amount": "0.001"}, "amount"),
        ({"description": "   "}, "description"),
        ({"days": "x"}, "days"),
        ({"reason": "   "}, "reason"),
    ],
)
def test_an_invoice(user: User, staff: Client, wrong: dict[str, str], field: str) -> None:
    typed = {
        "user_id": str(user.id), "kind": "other", "description": "Set-up", "amount": "12.50",
        "currency": "EUR", "days": "3", "reason": WHY,
    }  # fmt: skip
    refused(staff, "/admin/invoices/issue", typed | wrong, field)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"days": "x"}, "days"), ({"days": "99999"}, "days"), ({"reason": "   "}, "reason")],
)
def test_days(paying: User, staff: Client, wrong: dict[str, str], field: str) -> None:
    typed = {"plan": "pro", "days": "7", "reason": WHY}
    refused(staff, f"/admin/subscriptions/give?user={paying.id}", typed | wrong, field)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"until": "2020-01-01T00:00"}, "until"),
        ({"until": "soon"}, "until"),
        ({"reason": "   "}, "reason"),
        ({"plan": "pro"}, None),
    ],
)
def test_another_plan(
    paying: User, staff: Client, wrong: dict[str, str], field: str | None
) -> None:
    typed = {"plan": "premium", "until": "2090-01-01T00:00", "reason": WHY}
    refused(staff, f"/admin/subscriptions/change?user={paying.id}", typed | wrong, field)


def test_an_end_of_what_is_paid_for(paying: User, staff: Client) -> None:
    path = f"/admin/subscriptions/end-paid?user={paying.id}"
    refused(staff, path, {"how": "now", "reason": "   "}, "reason")


def test_what_is_settled(paying: User, staff: Client) -> None:
    payment = db.session.query(Payment.id).scalar()
    row = PaymentAlert(
        payment_id=payment, rail="demo", external_id="re_1", kind="refund_excess", told="pending",
        amount=Decimal(40), currency=CURRENCY,
    )  # fmt: skip
    with transaction():
        db.session.add(row)
    path = f"/admin/payment-alerts/settle?id={db.session.query(PaymentAlert.id).scalar()}"
    refused(staff, path, {"how": "loss", "reason": "   "}, "reason")
    refused(staff, path, {"how": "loss", "reason": WHY}, None)
    assert "/settle?" in staff.get("/admin/payment-alerts/").text
    for state, closed_at in (("settled", utc_now()), ("over", utc_now())):
        with transaction():
            row = db.session.query(PaymentAlert).one()
            row.state, row.closed_at = state, closed_at
            row.settlement = "noted" if state == "settled" else None
        assert "/settle?" not in staff.get("/admin/payment-alerts/").text


def test_days_that_were_given_meanwhile_are_shown_and_added_to(user: User, staff: Client) -> None:
    """The form is refused once; its page shows by then what it will be added to."""
    path = f"/admin/subscriptions/give?user={user.id}"
    typed = {"plan": "pro", "days": "7", "reason": WHY}

    def give(days: str) -> int:
        form = {**hidden(staff.get(path).text), **typed, "days": days}
        return staff.post_form(path, form).status_code

    assert give("3") == 303
    old = hidden(staff.get(path).text)
    assert give("4") == 303
    answer = staff.post_form(path, {**old, **typed})
    assert answer.status_code == 422
    assert staff.post_form(path, {**hidden(answer.text), **typed}).status_code == 303


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ru", ("Номер пользователя", "Такого пользователя нет.")),
        ("pt_BR", ("Número do usuário", "Esse usuário não existe.")),
    ],
)
def test_in_the_language_of_the_reader(
    database: None, login_as: Login, language: str, words: tuple[str, str]
) -> None:
    reader = make_user(Role.MANAGER)
    reader.profile.language = language
    db.session.commit()
    staff = login_as(reader)
    typed = {
        "user_id": "999999", "kind": "other", "description": "Set-up", "amount": "12,50",
        "currency": "USD", "days": "3", "reason": WHY,
    }  # fmt: skip
    said = refused(staff, "/admin/invoices/issue", typed, "user_id")
    assert all(one in said for one in words), said
    said = refused(staff, "/admin/invoices/issue", typed | {"days": "x"}, "days")
    assert not re.search("[Nn]ot a valid", said), said
