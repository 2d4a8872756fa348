"""Who leaves is charged no more: the subscription at Stripe ends, whatever goes wrong before."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.accounts.deletion import erasing
from app.accounts.deletion import service as leaving
from app.accounts.models import Role, User
from app.adapters.payments import rail_named
from app.adapters.payments.keeping import CommandOrder, Verb
from app.adapters.payments.port import RailSubscription as Seen
from app.db import db, utc_now
from app.errors import Conflict
from app.notifications.models import OutboxMessage
from app.payments.models import Invoice, Payment, RailCustomer
from app.subscriptions.provider import commands, jobs
from app.subscriptions.provider.models import RailCommand
from app.subscriptions.queries import limits_of
from app.transactions import transaction
from tests.client import Client
from tests.doubles.stripe import FakeStripe, Fault
from tests.factories import make_user
from tests.payments.stripe_world import settle
from tests.subscriptions.provider_world import (
    GOOD_CARD,
    mirrored,
    orders,
    price_of,
    subscribed,
)

DECLINES_LATER = "4000000000000341"


def set_out(user_id: int) -> None:
    """Let a person leave, and let the wait be over."""
    with transaction():
        leaving.ask(user_id, leaving.KEEP, "")
        due = utc_now() - timedelta(seconds=1)
        db.session.execute(update(User).where(User.id == user_id).values(leaves_at=due))


def erase(user_id: int) -> None:
    """Erase a person as far as that goes in one run, and again when it has been quiet."""
    set_out(user_id)
    erasing.erase(user_id)


def now_again() -> None:
    """Let the pause before the next try be over."""
    with transaction():
        db.session.execute(update(RailCommand).values(due_at=utc_now()))


def test_who_asks_to_leave_is_not_charged_again(fake: FakeStripe, user: User) -> None:
    name = subscribed(fake, user.id, price_of(fake))
    with transaction():
        leaving.ask(user.id, leaving.KEEP, "")
    jobs.send_due()
    assert fake.get(name)["cancel_at_period_end"] is True
    assert mirrored(user.id).cancel_at is not None
    jobs.send_due()
    assert [order.verb for order in orders()] == ["end_later"]
    fake.advance(days=32)
    settle(fake)
    assert fake.get(name)["status"] == "canceled" and len(fake.every("charge")) == 1


def test_who_is_erased_has_no_subscription_left(fake: FakeStripe, user: User) -> None:
    name = subscribed(fake, user.id, price_of(fake))
    erase(user.id)
    jobs.send_due()
    assert fake.get(name)["status"] == "canceled"
    assert [(order.verb, order.state) for order in orders()] == [
        ("end_later", "dropped"),
        ("end_now", "done"),
    ]
    settle(fake)
    assert mirrored(user.id).plan_code is None


def test_an_end_that_stripe_did_not_take_is_sent_until_it_does(
    fake: FakeStripe, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    name = subscribed(fake, user.id, price_of(fake))
    fake.faults.add(Fault(path=f"/v1/subscriptions/{name}", method="DELETE", status=503, times=5))
    erase(user.id)
    for _ in range(5):
        jobs.send_due()
        assert fake.get(name)["status"] == "active"
        pause = orders()[-1].due_at - utc_now()
        jobs.send_due()
        assert pause > timedelta(seconds=3), "it is not asked again at once"
        now_again()
    assert (orders()[-1].state, orders()[-1].error) == ("waiting", "rail_unavailable")
    assert "rail_command_stuck" in caplog.text
    jobs.send_due()
    assert fake.get(name)["status"] == "canceled" and orders()[-1].state == "done"


def test_an_end_whose_answer_was_lost_is_done_once(fake: FakeStripe, user: User) -> None:
    name = subscribed(fake, user.id, price_of(fake))
    path = f"/v1/subscriptions/{name}"
    fake.faults.add(Fault(path=path, method="DELETE", lost=True, acted=True))
    erase(user.id)
    jobs.send_due()
    assert orders()[-1].state == "waiting"
    now_again()
    jobs.send_due()
    assert orders()[-1].state == "done" and fake.get(name)["status"] == "canceled"
    assert len(fake.events_of("customer.subscription.deleted")) == 1


def test_killed_between_the_answer_and_its_note_the_end_is_noted_by_the_next_run(
    fake: FakeStripe, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = subscribed(fake, user.id, price_of(fake))
    erase(user.id)
    rail = rail_named("stripe")
    carry_out = rail.carry_out  # type: ignore[attr-defined]

    def die(order: CommandOrder) -> Seen | None:
        carry_out(order)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rail, "carry_out", die)
        with pytest.raises(KeyboardInterrupt):
            jobs.send_due()
    assert fake.get(name)["status"] == "canceled" and orders()[-1].state == "waiting"
    now_again()
    jobs.send_due()
    assert orders()[-1].state == "done"


def test_who_is_blocked_is_not_charged_again(fake: FakeStripe, user: User) -> None:
    name = subscribed(fake, user.id, price_of(fake))
    with transaction():
        values = {"blocked_at": utc_now(), "blocked_reason": "fraud"}
        db.session.execute(update(User).where(User.id == user.id).values(values))
    jobs.send_due()
    assert fake.get(name)["cancel_at_period_end"] is True
    assert mirrored(user.id).cancel_at is not None
    # Staff can see it, and nothing is asked twice.
    jobs.send_due()
    assert [(order.verb, order.state) for order in orders()] == [("end_later", "done")]


def test_what_begins_after_its_person_was_erased_gives_nothing_and_ends(
    fake: FakeStripe, user: User
) -> None:
    price = price_of(fake)
    erase(user.id)
    name = subscribed(fake, user.id, price)
    assert mirrored(user.id).plan_code is None
    assert limits_of(user.id).plan == "free"
    jobs.send_due()
    assert fake.get(name)["status"] == "canceled"
    assert db.session.scalars(select(RailCustomer)).all() == []


def test_late_news_of_somebody_erased_bring_no_card_page_or_mail_back(
    fake: FakeStripe, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In dunning while they are erased: Stripe tries and tells until it has taken the end."""
    subscribed(fake, user.id, price_of(fake))
    customer = db.session.scalars(select(RailCustomer.external_id)).one()
    fake.portal.new_card(customer, DECLINES_LATER)
    fake.advance(days=31, hours=2)
    settle(fake)
    renewal = db.session.scalars(select(Invoice).where(Invoice.state == "open")).one()
    before = renewal.attempts
    assert (bool(before), bool(renewal.pay_url), failed_mails()) == (True, True, 1)
    monkeypatch.setattr(erasing, "QUIET", timedelta(0))
    erase(user.id)
    fake.advance(days=9)
    settle(fake)
    db.session.refresh(renewal)
    assert (renewal.attempts > before, renewal.pay_url, failed_mails()) == (True, None, 0)
    fake.hosted.pay_invoice(str(renewal.external_id), GOOD_CARD)
    settle(fake)
    paid = db.session.scalars(select(Payment).order_by(Payment.id)).all()
    assert [(one.state, one.method, one.method_ref) for one in paid] == [("succeeded", "", "")] * 2


def failed_mails() -> int:
    query = select(OutboxMessage.id).where(OutboxMessage.template == "payment_failed")
    return len(db.session.scalars(query).all())


def test_others_keep_theirs(fake: FakeStripe, user: User) -> None:
    price = price_of(fake)
    name = subscribed(fake, user.id, price)
    erase(make_user().id)
    jobs.send_due()
    assert orders() == [] and fake.get(name)["status"] == "active"


def test_an_order_that_is_owed_does_not_give_way(fake: FakeStripe, user: User) -> None:
    subscribed(fake, user.id, price_of(fake))
    with transaction():
        leaving.ask(user.id, leaving.KEEP, "")
    (order,) = orders()
    with pytest.raises(Conflict, match="order_waits"), transaction():
        commands.order(user.id, "stripe", order.subscription_ref, Verb.PAUSE)
    assert [one.state for one in orders()] == ["waiting"]


@pytest.mark.long
def test_staff_see_what_a_provider_has_not_confirmed(
    fake: FakeStripe, user: User, login_as: Callable[[User], Client]
) -> None:
    name = subscribed(fake, user.id, price_of(fake))
    fake.faults.add(Fault(path=f"/v1/subscriptions/{name}", method="DELETE", status=503))
    erase(user.id)
    jobs.send_due()
    staff = login_as(make_user(Role.MANAGER))
    page = staff.get("/admin/provider-orders/").text
    assert name in page and "rail_unavailable" in page
    assert login_as(make_user()).get("/admin/provider-orders/").status_code == 404
