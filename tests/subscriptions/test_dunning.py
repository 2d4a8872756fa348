"""Renewals, failed payments, recovery and the end, told by a Stripe whose clock goes on."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.adapters.payments import rails, use_rails
from app.db import db
from app.notifications.models import OutboxMessage
from app.payments.models import Invoice, Payment, RailCustomer
from app.subscriptions import service
from app.subscriptions.models import PlanPrice, RailPrice, RailSubscription
from app.subscriptions.periods import Period, Unit
from app.subscriptions.queries import limits_of
from app.transactions import transaction
from app.wallet.models import LedgerPosting
from tests.client import Client
from tests.conftest import new_client
from tests.doubles.stripe.scenarios import ALWAYS_ASKS, DECLINES_LATER, GOOD, Shop
from tests.factories import make_user
from tests.long import few
from tests.payments.stripe_world import SECRET, door, rail_over, settle
from tests.payments.world import work


class Story:
    """A shop at Stripe whose only customer is a person of ours."""

    def __init__(self, client: Client) -> None:
        self.shop = Shop(now=int(time.time()))
        self.fake = self.shop.fake
        with transaction():
            self.user_id = make_user().id
            db.session.add(
                RailCustomer(user_id=self.user_id, rail="stripe", external_id=self.shop.customer)
            )
            for plan, period, name in (
                ("pro", "month", self.shop.pro),
                ("premium", "month", self.shop.premium),
            ):
                price = select(PlanPrice.id).where(
                    PlanPrice.plan_code == plan, PlanPrice.period == period
                )
                price_id = db.session.scalars(price.limit(1)).one()
                db.session.add(RailPrice(rail="stripe", external_id=name, price_id=price_id))
        use_rails({**rails(), "stripe": rail_over(self.fake)})
        self.fake.endpoint(door(client), [SECRET])

    def tell(self, duplicate: int = 1) -> None:
        """Deliver and apply until nothing is left."""
        settle(self.fake, duplicate=duplicate)

    @property
    def state(self) -> str:
        return db.session.scalars(select(RailSubscription.state)).one()

    @property
    def plan(self) -> str:
        return limits_of(self.user_id).plan

    def invoices(self, state: str) -> list[Invoice]:
        query = select(Invoice).where(Invoice.state == state).order_by(Invoice.id)
        return list(db.session.scalars(query))

    def mails(self) -> int:
        query = select(func.count()).select_from(OutboxMessage)
        return db.session.scalar(query.where(OutboxMessage.template == "payment_failed")) or 0


@pytest.fixture
def story(app: Flask, database: None) -> Iterator[Story]:
    before = dict(rails())
    with transaction():
        service.seed_plans()
    yield Story(new_client(app))
    use_rails(before)


def fail_to_renew(story: Story) -> None:
    story.shop.subscribe()
    story.tell()
    story.fake.portal.new_card(story.shop.customer, DECLINES_LATER)
    story.shop.renew()
    story.tell()


def test_c24_a_trial_whose_card_declines_is_overdue_with_its_grace_and_one_mail(
    story: Story,
) -> None:
    session = story.shop.checkout(subscription_data={"trial_period_days": 14})
    story.fake.checkout.pay(session, DECLINES_LATER)
    story.tell()
    assert (story.state, story.plan) == ("trialing", "pro")
    story.fake.advance(days=14, hours=1)
    story.tell(duplicate=3)
    assert (story.state, story.plan, story.mails()) == ("past_due", "pro", 1)
    assert limits_of(story.user_id).until is not None
    assert story.invoices("open")[0].attempts == 1
    assert db.session.scalars(select(LedgerPosting.key)).all() == []


def test_c25_a_renewal_is_booked_once_though_two_events_tell_of_it(story: Story) -> None:
    name = story.shop.subscribe()
    story.tell()
    story.shop.renew()
    told = [event["type"] for event in story.fake.events]
    assert told.count("invoice.paid") == told.count("invoice.payment_succeeded") == 2
    story.tell(duplicate=2)
    paid = story.invoices("paid")
    assert len(paid) == 2
    assert len(db.session.scalars(select(Payment.id)).all()) == 2
    keys = db.session.scalars(select(LedgerPosting.key)).all()
    assert sorted(keys) == sorted(set(keys)) and len(keys) == 2
    (row,) = db.session.scalars(select(RailSubscription))
    there = story.fake.get(name)
    assert "current_period_end" not in there, "it is told by the items only"
    assert int(row.period_end.timestamp()) == there["items"]["data"][0]["current_period_end"]


def test_c26_each_failed_try_is_told_once_and_the_plan_stays_for_the_grace(story: Story) -> None:
    fail_to_renew(story)
    assert (story.state, story.plan, story.mails()) == ("past_due", "pro", 1)
    (waits,) = story.invoices("open")
    there = story.fake.get(str(waits.external_id))
    assert waits.next_attempt_at is not None
    assert int(waits.next_attempt_at.timestamp()) == there["next_payment_attempt"]
    old = [one for one in story.fake.events if one["type"] == "invoice.payment_failed"]
    for number, event in enumerate(old):
        story.fake.send({**event, "id": f"evt_again{number}"})
    work()
    assert story.mails() == 1
    story.fake.advance(days=1, hours=1)
    story.tell(duplicate=2)
    assert story.mails() == 2
    assert story.invoices("open")[0].attempts == 2


def test_the_grace_is_never_longer_than_the_period_that_stripe_sells(story: Story) -> None:
    name = story.shop.price("pro_weekly", 700, "week")
    with transaction():
        week = Period(1, Unit.WEEK)
        service.add_price(None, "pro", Decimal(7), period=week)
        price = db.session.scalars(select(PlanPrice.id).where(PlanPrice.period == week.code)).one()
        db.session.add(RailPrice(rail="stripe", external_id=name, price_id=price))
    story.fake.checkout.pay(story.shop.checkout(name), GOOD)
    story.tell()
    begins = db.session.scalars(select(RailSubscription.period_end)).one()
    story.fake.portal.new_card(story.shop.customer, DECLINES_LATER)
    story.shop.renew()
    story.tell()
    assert (story.state, story.plan) == ("past_due", "pro")
    db.session.rollback()
    assert db.session.scalars(select(RailSubscription.access_until)).one() == week.after(begins)


def test_who_ended_unpaid_and_subscribes_again_has_no_other_grace(story: Story) -> None:
    story.fake.settings.dunning_end = "cancel"
    fail_to_renew(story)
    story.fake.advance(days=20)
    story.tell()
    assert (story.state, story.plan) == ("canceled", "free")
    story.fake.portal.new_card(story.shop.customer, GOOD)
    fail_to_renew(story)
    newest = select(RailSubscription).order_by(RailSubscription.id.desc()).limit(1)
    db.session.rollback()
    row = db.session.scalars(newest).one()
    assert row.state == "past_due" and row.access_until is not None
    (waits,) = [one for one in story.invoices("open") if one.subscription_ref == row.external_id]
    begins = waits.lines[0].period_start
    assert begins is not None and row.access_until - begins < timedelta(hours=2)


def test_c27_a_new_card_and_a_payment_bring_the_plan_back_and_end_the_dunning(
    story: Story,
) -> None:
    fail_to_renew(story)
    (waits,) = story.invoices("open")
    story.fake.portal.new_card(story.shop.customer, GOOD)
    story.fake.hosted.pay_invoice(str(waits.external_id))
    story.tell()
    assert (story.state, story.plan) == ("active", "pro")
    assert limits_of(story.user_id).until is None
    assert story.invoices("open") == [] and len(story.invoices("paid")) == 2
    story.fake.advance(days=9)
    story.tell()
    assert story.mails() == 1


@pytest.mark.parametrize(
    ("end", "state", "plan"),
    few(
        [
            ("past_due", "past_due", "pro"),
            ("cancel", "canceled", "free"),
            ("unpaid", "unpaid", "free"),
        ],
        3,
    ),
)
def test_c28_after_the_last_try_the_setting_of_the_account_decides_and_nothing_is_lost(
    story: Story, end: str, state: str, plan: str
) -> None:
    story.fake.settings.dunning_end = end
    fail_to_renew(story)
    story.fake.advance(days=20)
    story.tell()
    # Overdue, the plan stays for the grace only, of which the end is known.
    assert (story.state, story.plan) == (state, plan)
    assert plan == "free" or limits_of(story.user_id).until is not None
    assert len(story.invoices("paid")) == 1 and len(story.invoices("open")) == 1
    assert story.mails() <= 8


def test_c29_a_payment_that_the_bank_asks_about_leads_to_the_page_of_stripe(story: Story) -> None:
    story.shop.subscribe()
    story.tell()
    story.fake.portal.new_card(story.shop.customer, ALWAYS_ASKS)
    story.shop.renew()
    assert story.fake.events_of("invoice.payment_action_required")
    story.tell()
    assert (story.state, story.mails()) == ("past_due", 1)
    (waits,) = story.invoices("open")
    there = story.fake.get(str(waits.external_id))["hosted_invoice_url"]
    assert re.match(r"https?://", there)
    story.fake.hosted.pay_invoice(str(waits.external_id), authenticate=True)
    story.tell()
    assert (story.state, story.plan) == ("active", "pro")


def test_c29_what_was_never_confirmed_gives_nothing_and_is_closed_after_a_day(
    story: Story,
) -> None:
    method = story.shop.v1.payment_methods.create(
        {"type": "card", "card": {"number": ALWAYS_ASKS, "exp_month": 12, "exp_year": 2034}}
    )
    story.shop.v1.payment_methods.attach(method.id, {"customer": story.shop.customer})
    story.shop.v1.subscriptions.create(
        {
            "customer": story.shop.customer,
            "items": [{"price": story.shop.pro}],
            "default_payment_method": method.id,
        }
    )
    story.tell()
    assert (story.state, story.plan) == ("incomplete", "free")
    story.fake.advance(hours=24)
    story.tell()
    assert (story.state, story.plan) == ("incomplete_expired", "free")
    assert story.invoices("open") == []
