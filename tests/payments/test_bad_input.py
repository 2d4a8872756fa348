"""What comes wrong at Stripe's door and ours: never a failure of ours, never money moved twice."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts.models import Role, User
from app.adapters.payments import rails, use_rails
from app.db import db
from app.payments.models import Checkout, Payment, RailEvent
from app.subscriptions import service
from app.transactions import transaction
from app.wallet import check
from app.wallet.queries import available
from tests.client import Client
from tests.conftest import new_client
from tests.doubles.stripe import FakeStripe, signed
from tests.doubles.stripe.values import Json
from tests.factories import make_user
from tests.payments.stripe_world import SECRET, TAG, door, post, rail_over, settle
from tests.payments.world import issue, postings, state_of, work

Login = Callable[[User], Client]


@dataclass
class Scene:
    """A person with an open invoice, a Stripe behind the rail, and every answer of ours."""

    app: Flask
    fake: FakeStripe
    client: Client
    staff: Client
    user_id: int
    invoice_id: int
    answers: list[int] = field(default_factory=list)

    def post(self, raw: bytes, headers: dict[str, str]) -> int:
        """Deliver a callback; return the status."""
        self.answers.append(post(self.client, raw, headers))
        return self.answers[-1]

    def event(self, kind: str = "invoice.paid", thing: Json | None = None, **more: Any) -> Json:
        """Return an event about an object."""
        return {
            "id": f"evt_bad{len(self.answers)}",
            "object": "event",
            "type": kind,
            "api_version": "2026-10-28.endive",
            "created": int(time.time()),
            "livemode": False,
            "data": {"object": thing or {"id": "in_none", "object": "invoice"}},
            **more,
        }

    def send(self, event: Json) -> int:
        """Deliver an event with a right signature, and apply it."""
        status = self.post(*signed(event, [SECRET]))
        work()
        return status

    def press_pay(self, client: Client | None = None) -> str:
        """Press Pay and return the page at Stripe to which it leads."""
        form = {"rail": "stripe"}
        answer = (client or self.client).post_form(f"/invoices/{self.invoice_id}/pay", form)
        self.answers.append(answer.status_code)
        db.session.rollback()
        pages = select(Checkout.external_id).order_by(Checkout.id.desc())
        return str(db.session.scalars(pages).first())

    def pay(self, page: str) -> Json:
        """Pay on a page; return the payment at Stripe, itself and no copy."""
        intent = self.fake.checkout.pay(page, "4242424242424242")["payment_intent"]
        return self.fake.account.objects[intent]

    def tell(self) -> None:
        """Deliver and apply until nothing is left."""
        settle(self.fake)

    @property
    def purse(self) -> Decimal:
        return available(self.user_id, "USD")

    def last(self) -> tuple[str, str | None]:
        """Return what became of the newest callback."""
        db.session.rollback()
        event = db.session.scalars(select(RailEvent).order_by(RailEvent.id.desc())).first()
        assert event is not None
        return event.state, event.reason


@pytest.fixture
def scene(app: Flask, database: None, login_as: Login) -> Iterator[Scene]:
    before = dict(rails())
    fake = FakeStripe(now=int(time.time()))
    use_rails({**before, "stripe": rail_over(fake)})
    with transaction():
        service.seed_plans()
    user = make_user()
    client, staff = login_as(user), login_as(make_user(Role.ADMIN))
    fake.endpoint(door(client), [SECRET])
    yield Scene(app, fake, client, staff, user.id, issue(user.id))
    use_rails(before)


def bad_signature(scene: Scene) -> None:
    assert scene.post(*signed(scene.event(), ["whsec_of_another"])) == 400


def written_anew(scene: Scene) -> None:
    raw, headers = signed(scene.event(), [SECRET])
    assert scene.post(json.dumps(json.loads(raw)).encode(), headers) == 400


def too_old(scene: Scene) -> None:
    assert scene.post(*signed(scene.event(), [SECRET], int(time.time()) - 301)) == 400


def of_the_future(scene: Scene) -> None:
    assert scene.post(*signed(scene.event(), [SECRET], int(time.time()) + 400)) == 400


def thin(scene: Scene) -> None:
    assert scene.send(scene.event(object="v2.core.event")) == 400


def of_another_version(scene: Scene) -> None:
    page = scene.press_pay()
    scene.pay(page)
    old = {"id": page, "object": "checkout.session", "display_items": [{"amount": 1}]}
    assert (
        scene.send(scene.event("checkout.session.completed", old, api_version="2020-08-27")) == 200
    )
    assert scene.last()[0] == "processed"
    scene.tell()
    assert state_of(scene.invoice_id) == "paid"


def of_an_unknown_type(scene: Scene) -> None:
    assert scene.send(scene.event("meteor.fell", {"id": "met_1", "object": "meteor"})) == 200
    assert scene.last() == ("ignored", "no_object")


def about_nothing(scene: Scene) -> None:
    assert scene.send(scene.event()) == 200
    assert scene.last() == ("ignored", "unknown_object")


def of_an_unknown_price(scene: Scene) -> None:
    subscribe(scene, {"app": TAG, "user_id": str(scene.user_id)})
    assert scene.last()[0] == "processed"


def of_another_tenant(scene: Scene) -> None:
    subscribe(scene, {"app": "another", "user_id": str(scene.user_id)})
    assert scene.last() == ("ignored", "not_ours")


def of_nobody_here(scene: Scene) -> None:
    subscribe(scene, {"app": TAG, "user_id": "999999999"})
    assert scene.last() == ("ignored", "not_ours")


def subscribe(scene: Scene, marks: Json) -> None:
    v1: Any = scene.fake.client().v1
    product = v1.products.create({"name": "Something"}).id
    price = v1.prices.create(
        {
            "product": product,
            "currency": "usd",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
        }
    ).id
    customer = v1.customers.create({"email": "x@example.org", "metadata": marks}).id
    page = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer,
            "line_items": [{"price": price, "quantity": 1}],
            "success_url": "https://shop.example/done",
            "subscription_data": {"metadata": marks},
        }
    ).id
    scene.fake.checkout.pay(page, "4242424242424242")
    scene.tell()
    name = scene.fake.latest("subscription")["id"]
    thing = {"id": name, "object": "subscription", "customer": customer}
    assert scene.send(scene.event("customer.subscription.updated", thing)) == 200


def too_little(scene: Scene) -> None:
    paid = scene.pay(scene.press_pay())
    paid["amount"] = paid["amount_received"] = 2_000
    scene.tell()
    assert (state_of(scene.invoice_id), scene.purse) == ("open", Decimal(20))


def too_much(scene: Scene) -> None:
    paid = scene.pay(scene.press_pay())
    paid["amount"] = paid["amount_received"] = 3_000
    scene.tell()
    assert (state_of(scene.invoice_id), scene.purse) == ("paid", Decimal(1))


def in_another_currency(scene: Scene) -> None:
    paid = scene.pay(scene.press_pay())
    paid["currency"] = "eur"
    scene.tell()
    assert state_of(scene.invoice_id) == "open"
    assert available(scene.user_id, "EUR") == 29


def double_click(scene: Scene) -> None:
    first, second = scene.press_pay(), scene.press_pay()
    assert first == second
    scene.pay(first)
    scene.tell()
    assert state_of(scene.invoice_id) == "paid"


def two_browsers(scene: Scene) -> None:
    db.session.commit()
    person = db.session.get_one(User, scene.user_id)

    def press(_number: int) -> int:
        with scene.app.app_context():
            browser = new_client(scene.app)
            browser.sign_in(person)
            form = {"rail": "stripe"}
            return browser.post_form(f"/invoices/{scene.invoice_id}/pay", form).status_code

    db.session.expunge(person)
    with ThreadPoolExecutor(2) as pool:
        scene.answers += pool.map(press, range(2))
    db.session.rollback()
    pages = db.session.scalars(select(Checkout.external_id).where(Checkout.state == "open")).all()
    assert len(pages) == 1
    scene.pay(str(pages[0]))
    scene.tell()
    assert state_of(scene.invoice_id) == "paid"


def refund_too_large_here(scene: Scene) -> None:
    scene.pay(scene.press_pay())
    scene.tell()
    payment_id = db.session.scalars(select(Payment.id)).one()
    page = scene.staff.get(f"/admin/payments/refund?id={payment_id}")
    key = page.text.partition('name="key"')[2].partition('value="')[2].partition('"')[0]
    form = {"key": key, "amount": "29.01", "target": "rail", "reason": "by mistake"}
    answer = scene.staff.post_form(f"/admin/payments/refund?id={payment_id}", form)
    scene.answers += [page.status_code, answer.status_code]
    db.session.rollback()
    assert db.session.scalars(select(Payment.refunded)).one() == 0


def refund_too_large_there(scene: Scene) -> None:
    paid = scene.pay(scene.press_pay())
    scene.tell()
    v1: Any = scene.fake.client().v1
    made = v1.refunds.create({"payment_intent": paid["id"], "amount": 2_900}).id
    scene.fake.account.objects[made]["amount"] = 5_000
    scene.tell()
    assert scene.send(scene.event("refund.created", {"id": made, "object": "refund"})) == 200
    assert scene.last() == ("ignored", "refund_exceeds_payment")
    db.session.rollback()
    assert db.session.scalars(select(Payment.refunded)).one() == 0


CASES = (
    bad_signature, written_anew, too_old, of_the_future, thin, of_another_version,
    of_an_unknown_type, about_nothing, of_an_unknown_price, of_another_tenant, of_nobody_here,
    too_little, too_much, in_another_currency, double_click, two_browsers, refund_too_large_here,
    refund_too_large_there,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_comes_wrong_is_answered_and_moves_money_once_at_most(
    scene: Scene, case: Callable[[Scene], None]
) -> None:
    case(scene)
    assert all(200 <= status < 500 for status in scene.answers)
    # Once more, and nothing moves.
    before = postings()
    for event in scene.fake.events:
        scene.fake.send(event)
        scene.fake.send({**event, "id": f"{event['id']}again"})
    work()
    assert postings() == before and len(before) == len(set(before))
    payments = db.session.scalars(select(Payment.id)).all()
    assert [key for key in before if key.endswith(":settled")] == [
        f"payment:{number}:settled" for number in payments
    ]
    db.session.rollback()
    assert check.verify_now().is_whole
