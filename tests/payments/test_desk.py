"""The billing desk: what staff may do with invoices and payments, and what is refused."""

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from app.accounts.models import AuditEntry, Role, User
from app.adapters.payments.port import RailRefund, RailState
from app.db import db, utc_now
from app.notifications.models import OutboxMessage
from app.payments import jobs, refunds
from app.payments.demo import provider
from app.payments.models import CreditNote, Dispute, Invoice, Payment, PaymentAlert, Refund
from app.payments.rules import RefundTarget
from app.payments.settling import take
from app.transactions import transaction
from app.wallet import ledger
from app.wallet.rules import wallet_of
from tests.client import Client
from tests.factories import make_user
from tests.long import few
from tests.payments import world
from tests.payments.world import issue, open_page, pay, settle, state_of

Login = Callable[[User], Client]
FORM = {
    "kind": "other", "description": "Настройка бота", "amount": "12.50", "currency": "USD",
    "days": "14", "reason": "asked for it by phone",
}  # fmt: skip


@pytest.fixture
def user(database: None) -> User:
    return make_user()


@pytest.fixture
def client(user: User, login_as: Login) -> Client:
    return login_as(user)


@pytest.fixture
def staff(database: None, login_as: Login) -> Client:
    return login_as(make_user(Role.MANAGER))


def key_of(page: str) -> str:
    found = re.search(r'name="key"[^>]*value="([0-9a-f]{32})"', page)
    assert found, page
    return found[1]


def balance(user_id: int) -> Decimal:
    db.session.rollback()
    return ledger.lock_available(ledger.account(wallet_of(user_id), "USD").id)


def audited(action: str) -> int:
    query = select(func.count()).select_from(AuditEntry).where(AuditEntry.action == action)
    return db.session.scalar(query) or 0


def give_back(staff: Client, payment_id: int, amount: str, target: str, key: str = "") -> str:
    """Send the form of a refund as its page offered it; return what the desk says."""
    path = f"/admin/payments/refund?id={payment_id}"
    key = key or key_of(staff.get(path).text)
    form = {"amount": amount, "target": target, "reason": "was not what they meant", "key": key}
    answer = staff.post_form(path, form, follow_redirects=True)
    assert answer.status_code in {200, 422}
    return answer.text


@pytest.fixture
def paid(user: User, client: Client) -> tuple[int, int]:
    """Return an invoice over 29.00 that was paid by card, and its payment."""
    invoice_id = issue(user.id, tax="0")
    pay(client, open_page(client, invoice_id))
    settle(client)
    return invoice_id, world.payments()[0].id


def test_an_issued_invoice_reaches_its_person_once_and_is_audited(
    user: User, client: Client, staff: Client
) -> None:
    path = f"/admin/invoices/issue?user={user.id}"
    form = FORM | {"user_id": str(user.id), "key": key_of(staff.get(path).text)}
    for _ in range(2):
        assert staff.post_form(path, form).status_code == 303
    invoice = db.session.scalars(select(Invoice)).one()
    assert (invoice.number, invoice.state, invoice.total) == ("INV-000001", "open", Decimal("12.5"))
    assert "INV-000001" in client.get("/invoices").text
    assert "Настройка бота" in client.get(f"/invoices/{invoice.id}").text
    assert db.session.scalars(select(OutboxMessage.template)).all() == ["invoice_issued"]
    assert audited("invoice.issued") == 1
    assert "Настройка бота" in staff.get(f"/admin/invoices/page?id={invoice.id}").text
    assert staff.get("/admin/invoices/").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    few([
        {"amount": "-1"}, {"amount": "0.001"}, {"amount": "1e9"}, {"amount": "NaN"},
        {"amount": "x"},
        {"description": "  "}, {"description": "x" * 300}, {"description": "\x00"}, {"days": "-1"},
        {"user_id": "999999999"}, {"user_id": "0"}, {"currency": "ABC"}, {"reason": ""},
        {"key": "x"},
    ], 3),
)  # fmt: skip
def test_an_absurd_invoice_is_refused(user: User, staff: Client, wrong: dict[str, str]) -> None:
    form = FORM | {"user_id": str(user.id), "key": "0" * 32} | wrong
    answer = staff.post_form("/admin/invoices/issue", form)
    assert answer.status_code in {200, 422}
    assert db.session.scalars(select(Invoice)).all() == []


def test_a_void_invoice_can_not_be_paid_and_a_paid_one_not_voided(
    user: User, client: Client, staff: Client, paid: tuple[int, int]
) -> None:
    other = issue(user.id, key="two")
    page = open_page(client, other)
    form = {"how": "void", "reason": "a mistake"}
    assert staff.post_form(f"/admin/invoices/close?id={other}", form).status_code == 303
    assert staff.post_form(f"/admin/invoices/close?id={paid[0]}", form).status_code == 422
    assert (state_of(other), state_of(paid[0])) == ("void", "paid")
    for rail in ("demo", "wallet", "saved:demo"):
        client.post_form(f"/invoices/{other}/pay", {"rail": rail})
    told = client.get(f"/invoices/{other}").text
    assert "can&#39;t be paid any more" in told
    # Why is between the staff and the log, as it is with a refund.
    assert "Void" in told and "by staff" in told and "a mistake" not in told
    assert "a mistake" in staff.get(f"/admin/invoices/page?id={other}").text
    pay(client, page)
    settle(client)
    assert state_of(other) == "void"
    assert balance(user.id) == 29, "money that came too late is in the wallet"
    assert "after the invoice was done with" in client.get(f"/invoices/{other}").text
    assert audited("invoice.voided") == 1


def test_an_invoice_that_was_given_up_may_still_be_paid(
    user: User, client: Client, staff: Client
) -> None:
    invoice_id = issue(user.id)
    form = {"how": "write_off", "reason": "never answered"}
    staff.post_form(f"/admin/invoices/close?id={invoice_id}", form)
    assert state_of(invoice_id) == "uncollectible"
    pay(client, open_page(client, invoice_id))
    settle(client)
    assert state_of(invoice_id) == "paid"


def test_parts_go_back_to_the_card_and_to_the_wallet_and_never_more_than_was_paid(
    user: User, client: Client, staff: Client, paid: tuple[int, int]
) -> None:
    invoice_id, payment_id = paid
    give_back(staff, payment_id, "9.00", "rail")
    settle_refunds(client)
    assert "Partly refunded" in client.get(f"/invoices/{invoice_id}").text
    give_back(staff, payment_id, "5.00", "wallet")
    assert balance(user.id) == 5
    said = give_back(staff, payment_id, "15.01", "rail")
    assert "At most 15.00 USD" in said
    give_back(staff, payment_id, "15.00", "wallet")
    assert balance(user.id) == 20
    (payment,) = world.payments()
    assert payment.refunded == payment.amount
    page = client.get(f"/invoices/{invoice_id}").text
    assert "Refunded" in page and "CN-000003" in page
    numbers = db.session.scalars(select(CreditNote.number).order_by(CreditNote.id)).all()
    assert numbers == ["CN-000001", "CN-000002", "CN-000003"]
    assert state_of(invoice_id) == "paid"
    assert audited("payment.refunded") == 3


def settle_refunds(client: Client) -> None:
    for refund_id in db.session.scalars(select(Refund.id)).all():
        db.session.rollback()
        jobs.send_refund(refund_id)
    settle(client)


def test_the_same_form_twice_gives_back_once(
    client: Client, staff: Client, paid: tuple[int, int]
) -> None:
    key = key_of(staff.get(f"/admin/payments/refund?id={paid[1]}").text)
    for _ in range(3):
        give_back(staff, paid[1], "4.00", "rail", key)
    for _ in range(2):
        settle_refunds(client)
    refund = db.session.scalars(select(Refund)).one()
    assert (refund.state, refund.amount) == ("succeeded", Decimal(4))
    assert len(provider.newest("refund")) == 1
    assert world.postings()[1:] == [f"refund:{refund.id}"]


@pytest.mark.long
def test_a_refund_that_the_card_does_not_take_frees_the_money_again(
    user: User, client: Client, staff: Client
) -> None:
    invoice_id = issue(user.id)
    pay(client, open_page(client, invoice_id), world.REFUND_FAILS)
    settle(client)
    payment_id = world.payments()[0].id
    give_back(staff, payment_id, "29.00", "rail")
    settle_refunds(client)
    (payment,) = world.payments()
    assert payment.refunded == 0
    assert "The card takes no money back" in client.get(f"/invoices/{invoice_id}").text
    give_back(staff, payment_id, "29.00", "wallet")
    assert balance(user.id) == 29


@pytest.mark.long
def test_a_top_up_goes_back_to_the_card_only_while_it_is_not_spent(
    user: User, client: Client, staff: Client
) -> None:
    form = {"amount": "30.00", "currency": "USD", "rail": "demo"}
    location = client.post_form("/wallet/top-up", form).location
    pay(client, location.removeprefix("http://localhost"))
    settle(client)
    client.post_form(f"/invoices/{issue(user.id)}/pay", {"rail": "wallet"})
    assert balance(user.id) == 1
    payment_id = world.payments()[0].id
    assert "1.00 USD free" in give_back(staff, payment_id, "30.00", "rail")
    give_back(staff, payment_id, "1.00", "rail")
    settle_refunds(client)
    assert balance(user.id) == 0
    assert [one.refunded for one in world.payments()] == [1, 0]


def test_the_desk_shows_callbacks_and_lets_them_be_applied_again(
    client: Client, staff: Client, paid: tuple[int, int]
) -> None:
    before = world.picture(paid[0])
    event = world.events()[0]
    assert event.external_id in staff.get("/admin/callbacks/").text
    assert staff.get(f"/admin/callbacks/details/?id={event.id}").status_code == 200
    path = f"/admin/callbacks/replay?id={event.id}"
    assert staff.get(path).status_code == 200
    assert staff.post_form(path, {"reason": "to be sure"}).status_code == 303
    assert world.events()[0].state == "received"
    world.work()
    assert world.picture(paid[0]) == before
    assert audited("rail_event.replayed") == 1


def test_the_desk_plays_the_bank_in_a_dispute(user: User, client: Client, staff: Client) -> None:
    pay(client, open_page(client, issue(user.id)), world.DISPUTED)
    settle(client)
    assert "ddp_" in staff.get("/admin/disputes/").text
    dispute = db.session.scalars(select(Dispute)).one()
    path = f"/admin/disputes/decide?id={dispute.id}"
    assert staff.post_form(path, {"won": "yes", "reason": "proved it"}).status_code == 303
    settle(client)
    assert db.session.scalars(select(Dispute.state)).one() == "won"


def test_support_sees_and_may_not_act(
    user: User, login_as: Login, client: Client, paid: tuple[int, int]
) -> None:
    support = login_as(make_user(Role.SUPPORT))
    assert support.get(f"/admin/invoices/page?id={paid[0]}").status_code == 200
    assert support.get("/admin/payments/").status_code == 200
    for path in (
        "invoices/issue",
        f"invoices/close?id={paid[0]}",
        f"payments/refund?id={paid[1]}",
        "callbacks/replay?id=1",
    ):
        assert support.get(f"/admin/{path}").status_code == 403


def test_whoever_acts_reads_what_they_act_on(
    staff: Client, user: User, paid: tuple[int, int]
) -> None:
    refund = staff.get(f"/admin/payments/refund?id={paid[1]}").text
    close = staff.get(f"/admin/invoices/close?id={paid[0]}").text
    for page in (refund, close):
        assert user.email in page and "29.00" in page and "INV-" in page
    assert "Test card (demonstration)" in refund and f"/admin/invoices/page?id={paid[0]}" in refund
    for path in ("payments/refund", "invoices/close", "payment-alerts/settle", "callbacks/replay"):
        assert staff.get(f"/admin/{path}?id=999999").status_code == 404


def test_the_desk_shows_by_how_much_a_refund_is_too_large_and_settles_it_with_one_press(
    staff: Client, paid: tuple[int, int]
) -> None:
    payment = db.session.get_one(Payment, paid[1])
    name, user_id = payment.external_id, payment.user_id
    with transaction():
        refunds.ask("a", paid[1], Decimal(20), RefundTarget.WALLET, None, "wished")
    whole = RailRefund("re_1", name, RailState.SUCCEEDED, world.usd("29.00"), utc_now())
    with transaction():
        assert not take("demo", whole).applied
    alert = db.session.scalars(select(PaymentAlert)).one()
    seen = staff.get("/admin/payment-alerts/").text.replace("\xa0", " ")
    address = db.session.get_one(User, user_id).email
    assert '29.00 USD <small class="d-block">20.00 USD is too much<' in seen
    assert f">{address}</a>" in seen
    path = f"/admin/payment-alerts/settle?id={alert.id}"
    page = staff.get(path).text.replace("\xa0", " ")
    chosen = '<option selected value="wallet">Take 20.00 USD from the wallet, nothing is lost<'
    assert chosen in page and f">{address}</a>" in page
    reason = re.search(r'name="reason"[^>]*value="([^"]+)"', page)
    assert reason
    assert staff.post_form(path, {"how": "wallet", "reason": reason[1]}).status_code == 303
    db.session.rollback()
    assert (alert.state, alert.settlement, balance(user_id)) == ("settled", "wallet", Decimal(0))
    assert audited("payment.alert_settled") == 1
    assert "too much" not in staff.get("/admin/payment-alerts/").text


def test_a_form_that_comes_back_with_other_values_is_not_said_to_be_done(
    client: Client, user: User, staff: Client
) -> None:
    """Somebody goes back in the browser, corrects the sum and sends the old form again."""
    invoice_id = issue(user.id)
    pay(client, open_page(client, invoice_id))
    settle(client)
    payment_id = world.payments()[0].id
    key = key_of(staff.get(f"/admin/payments/refund?id={payment_id}").text)
    assert "Done." in give_back(staff, payment_id, "5", "wallet", key)
    said = give_back(staff, payment_id, "7", "wallet", key)
    assert "sent before with other values" in said and "Done." not in said
    assert balance(user.id) == 5
    path = f"/admin/invoices/issue?user={user.id}"
    form = {**FORM, "user_id": str(user.id), "key": key_of(staff.get(path).text)}
    for amount, word in (("12.50", "is issued"), ("12.50", "is issued"), ("99", "sent before")):
        answer = staff.post_form(path, {**form, "amount": amount}, follow_redirects=True)
        assert word in answer.text
    assert db.session.scalar(select(func.count()).select_from(Invoice)) == 2
