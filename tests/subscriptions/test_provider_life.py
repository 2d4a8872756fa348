"""A subscription that Stripe keeps, from the page on which it begins to its end."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from app.accounts.models import Role, User
from app.bots.models import Bot, BotState
from app.db import db, utc_now
from app.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.money import Money
from app.notifications.models import OutboxMessage
from app.notifications.sealing import open_text
from app.payments import jobs as payments
from app.payments import wallet_rail
from app.payments.models import Checkout, Invoice, Payment, RailCustomer
from app.payments.queries import own_checkout
from app.settings import service as settings
from app.subscriptions import seats
from app.subscriptions import service as plans
from app.subscriptions.kept import service as kept
from app.subscriptions.models import Plan
from app.subscriptions.periods import MONTH, YEAR
from app.subscriptions.provider import service as provider
from app.subscriptions.queries import limits_of
from app.subscriptions.terms import Choice, Verb
from app.transactions import transaction
from app.wallet import service as wallet
from tests.at_once import at_once
from tests.client import Client
from tests.doubles.stripe import FakeStripe, Fault
from tests.factories import make_account, make_bot, make_market, make_user
from tests.long import few
from tests.payments import world
from tests.payments.stripe_world import settle
from tests.subscriptions.provider_world import GOOD_CARD, begin, mirrored, orders, session_of

Login = Callable[[User], Client]
PRO, PREMIUM = Choice("pro", MONTH), Choice("premium", MONTH)
DECLINES_LATER = "4000000000000341"
ASKS_ALWAYS = "4000002760003184"


def subscribe(
    fake: FakeStripe, user: User, choice: Choice = PRO, card: str | None = GOOD_CARD
) -> str:
    """Begin a subscription to Pro, unless another choice is made."""
    return begin(fake, user, choice, card)


def plan_of(user_id: int) -> str:
    db.session.rollback()
    return limits_of(user_id).plan


def try_for(days: int) -> None:
    """Let the plan pro be tried for some days."""
    with transaction():
        db.session.execute(update(Plan).where(Plan.code == "pro").values(trial_days=days))


def test_a_plan_and_bots_are_sold_on_one_page_and_each_is_given(
    fake: FakeStripe, user: User
) -> None:
    url = provider.start(user, Choice("pro", MONTH, {"extra_bot": 3}), "/pricing")
    assert url.startswith("https://checkout.stripe.com/")
    page = fake.get(session_of(user.id))
    reference = page["client_reference_id"]
    assert page["metadata"] == {"app": "botyard", "user_id": str(user.id), "reference": reference}
    assert page["success_url"].endswith(f"/checkouts/{reference.removeprefix('checkout:')}")
    assert fake.get(page["customer"])["preferred_locales"] == ["en"]
    assert page["locale"] == "en" and page["amount_total"] == 2_900 + 3 * 500
    before = limits_of(user.id)
    fake.checkout.pay(page["id"])
    settle(fake)
    own = limits_of(user.id)
    assert (own.plan, own.max_live_bots) == ("pro", 13) and before.plan == "free"
    there = fake.latest("subscription")
    assert there["metadata"]["user_id"] == str(user.id)
    standing = provider.standing(user.id)
    assert standing is not None
    assert (standing.plan_code, standing.addons) == ("pro", {"extra_bot": 3})
    assert standing.next_charge == Money(Decimal(44), "USD") and standing.has_portal
    (invoice,) = db.session.scalars(select(Invoice))
    subjects = {(line.subject, line.quantity) for line in invoice.lines}
    assert subjects == {("plan:pro", 1), ("addon:extra_bot", 3)}
    assert all(line.price_id for line in invoice.lines)
    assert invoice.subscription_ref == there["id"]


def test_a_bot_is_rented_without_a_plan_and_goes_when_it_is_not_paid(
    fake: FakeStripe, user: User
) -> None:
    name = subscribe(fake, user, Choice(None, MONTH, {"extra_bot": 2}))
    own = limits_of(user.id)
    assert (own.plan, own.max_live_bots) == ("free", 2)
    fake.client().v1.subscriptions.cancel(name)
    settle(fake)
    assert limits_of(user.id).max_live_bots == 0


def test_c16_two_clicks_at_once_make_one_customer_and_one_page(
    app: Flask, fake: FakeStripe, user: User
) -> None:
    provider.start(make_user(), PRO, "/pricing")
    person = db.session.get_one(User, user.id)
    db.session.expunge_all()
    db.session.rollback()

    urls = at_once(app, 2, lambda _: provider.start(person, PRO, "/pricing"))
    assert len(urls) == 2 and len(set(urls)) == 1
    mine = [row for row in fake.every("customer") if row["metadata"]["user_id"] == str(person.id)]
    assert len(mine) == 1
    assert len(fake.every("checkout.session", customer=mine[0]["id"])) == 1


def test_c16_another_choice_takes_the_place_of_the_open_page(fake: FakeStripe, user: User) -> None:
    first = provider.start(user, PRO, "/pricing")
    old = session_of(user.id)
    assert provider.start(user, PREMIUM, "/pricing") != first
    db.session.rollback()
    ids = db.session.scalars(select(Checkout.id).where(Checkout.external_id == old)).one()
    db.session.rollback()
    payments.close_page(ids)
    assert fake.get(old)["status"] == "expired"


def test_c16_who_begins_elsewhere_can_not_pay_the_open_page_too(
    fake: FakeStripe, user: User
) -> None:
    provider.start(user, PRO, "/pricing")
    page = session_of(user.id)
    with transaction():
        wallet.top_up("gift", user.id, "demo", Money(Decimal(100), "USD"))
        invoice_id = kept.start(user.id, PRO, "wallet", "one")
    assert invoice_id is not None
    with transaction():
        wallet_rail.pay_invoice(user.id, invoice_id)
    assert plan_of(user.id) == "pro"
    (number,) = db.session.scalars(select(Checkout.id).where(Checkout.external_id == page))
    db.session.rollback()
    payments.close_page(number)
    assert fake.get(page)["status"] == "expired"
    with pytest.raises(Conflict, match="subscription_exists"):
        provider.start(user, PRO, "/pricing")


@pytest.mark.parametrize("card", few([DECLINES_LATER, "4242424242424242"], 2))
def test_c16_who_has_a_subscription_gets_no_second_page(
    fake: FakeStripe, user: User, card: str
) -> None:
    subscribe(fake, user)
    if card == DECLINES_LATER:
        fake.portal.new_card(fake.latest("customer")["id"], card)
        fake.advance(days=32)
        settle(fake)
        standing = provider.standing(user.id)
        assert standing is not None and standing.state == "past_due" and standing.is_past_due
        assert standing.pay_url and Verb.PAY in standing.may and standing.next_attempt_at
    with pytest.raises(Conflict, match="subscription_exists"):
        provider.start(user, PREMIUM, "/pricing")
    assert len(fake.every("checkout.session")) == 1


@pytest.mark.long
def test_the_open_page_of_a_limited_price_has_its_seat_and_who_pays_there_keeps_it(
    fake: FakeStripe, user: User
) -> None:
    with transaction():
        plans.add_price(None, "pro", Decimal(19), seats=1)
    provider.start(user, PRO, "/pricing")
    other = make_user()
    with pytest.raises(Conflict, match="sold_out"):
        provider.start(other, PRO, "/pricing")
    provider.start(user, Choice("pro", MONTH, {"extra_bot": 1}), "/pricing")
    fake.checkout.pay(session_of(user.id))
    settle(fake)
    fake.advance(days=32)
    settle(fake)
    db.session.rollback()
    assert seats.left_of_offer("pro", MONTH) == 0
    with transaction(), pytest.raises(Conflict, match="sold_out"):
        kept.start(other.id, PRO, "wallet", "one")


def test_c17_the_page_to_which_stripe_leads_back_proves_nothing(
    fake: FakeStripe, user: User, login_as: Login
) -> None:
    provider.start(user, PRO, "/pricing")
    fake.checkout.pay(session_of(user.id))
    (number,) = db.session.scalars(select(Checkout.id))
    db.session.rollback()
    browser = login_as(user)
    page = browser.get(f"/checkouts/{number}")
    assert page.status_code == 200 and "Waiting for the provider" in page.text
    assert plan_of(user.id) == "free"
    # The page asks, and the callbacks come all the same: it is given once.
    assert browser.post_form(f"/checkouts/{number}/check").status_code == 303
    assert plan_of(user.id) == "pro"
    assert own_checkout(user.id, number).paid
    settle(fake, duplicate=2)
    assert plan_of(user.id) == "pro"
    counted = [db.session.scalar(select(func.count()).select_from(t)) for t in (Payment, Invoice)]
    assert counted == [1, 1]
    with pytest.raises(NotFound):
        own_checkout(make_user().id, number)


@pytest.mark.parametrize(("ok", "plan"), few([(True, "pro"), (False, "free")], 2))
def test_c18_money_under_way_gives_no_plan(
    fake: FakeStripe, user: User, ok: bool, plan: str
) -> None:
    provider.start(user, PRO, "/pricing")
    session = session_of(user.id)
    fake.checkout.pay(session, delayed=True)
    settle(fake)
    assert plan_of(user.id) == "free"
    fake.checkout.settle(session, ok=ok)
    settle(fake)
    assert plan_of(user.id) == plan


def test_c19_an_abandoned_page_lets_somebody_begin_anew(fake: FakeStripe, user: User) -> None:
    first = provider.start(user, PRO, "/pricing")
    fake.advance(days=1, hours=1)
    settle(fake)
    db.session.rollback()
    assert db.session.scalars(select(Checkout.state)).all() == ["expired"]
    db.session.rollback()
    assert provider.start(user, PRO, "/pricing") != first
    assert len(fake.every("customer")) == 1


def test_c20_answers_that_were_lost_make_nothing_twice(fake: FakeStripe, user: User) -> None:
    for path in ("/v1/prices", "/v1/customers", "/v1/checkout/sessions"):
        fake.faults.add(Fault(path=path, method="POST", lost=True, acted=True))
        with pytest.raises(Unavailable, match="rail_unavailable"):
            provider.start(user, PRO, "/pricing")
    provider.start(user, PRO, "/pricing")
    made = [len(fake.every(kind)) for kind in ("price", "customer", "checkout.session")]
    assert made == [1, 1, 1]


@pytest.mark.long
def test_c20_a_customer_whose_answer_was_lost_for_days_is_found_by_its_mark(
    fake: FakeStripe, user: User
) -> None:
    fake.faults.add(Fault(path="/v1/customers", method="POST", lost=True, acted=True))
    with pytest.raises(Unavailable):
        provider.start(user, PRO, "/pricing")
    fake.advance(days=3)
    provider.start(user, PRO, "/pricing")
    assert len(fake.every("customer")) == 1


def test_c20_a_fault_that_stripe_keeps_does_not_stay_in_the_way(
    fake: FakeStripe, user: User
) -> None:
    for path in ("/v1/customers", "/v1/checkout/sessions"):
        fake.faults.add(Fault(path=path, method="POST", status=500))
    with pytest.raises(Unavailable):
        provider.start(user, PRO, "/pricing")
    assert provider.start(user, PRO, "/pricing")


def test_c35_a_customer_who_was_deleted_there_is_made_anew(fake: FakeStripe, user: User) -> None:
    subscribe(fake, user)
    old = fake.latest("customer")["id"]
    fake.client().v1.customers.delete(old)
    settle(fake)
    assert plan_of(user.id) == "free"
    assert db.session.scalars(select(RailCustomer)).all() == []
    db.session.rollback()
    subscribe(fake, user)
    assert plan_of(user.id) == "pro" and fake.latest("customer")["id"] != old


def test_c21_a_portal_opens_for_its_own_customer_only(
    fake: FakeStripe, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe(fake, user)
    url = provider.portal_url(user, "/subscriptions")
    session = fake.latest("billing_portal.session")
    assert (session["url"], session["customer"]) == (url, mirrored_customer(user.id))
    assert session["return_url"].endswith("/subscriptions")
    with pytest.raises(NotFound, match="unknown_customer"):
        provider.portal_url(make_user(), "/subscriptions")
    assert url not in caplog.text
    # What is changed there is heard of by callbacks only.
    fake.portal.cancel(fake.latest("subscription")["id"])
    assert mirrored(user.id).cancel_at is None
    settle(fake)
    assert mirrored(user.id).cancel_at is not None


def test_plans_are_not_changed_in_the_portal(fake: FakeStripe, user: User) -> None:
    """There nobody asks for seats or for bots beyond the other plan: our own pages do."""
    subscribe(fake, user)
    for _ in range(2):
        provider.portal_url(user, "/subscriptions")
    (made,) = fake.every("billing_portal.configuration")
    on = {name for name, feature in made["features"].items() if feature["enabled"]}
    assert on == {
        "customer_update", "invoice_history", "payment_method_update", "subscription_cancel",
    }  # fmt: skip
    assert made["features"]["subscription_cancel"]["mode"] == "at_period_end"
    assert fake.latest("billing_portal.session")["configuration"] == made["id"]


def told_of_switch() -> list[str]:
    db.session.rollback()
    query = select(OutboxMessage).where(OutboxMessage.template == "plan_switched")
    found = db.session.scalars(query.order_by(OutboxMessage.id))
    return [open_text(message, "sealed_body") for message in found]


def test_a_smaller_plan_that_was_chosen_at_the_provider_is_told_with_the_bots_that_stop(
    fake: FakeStripe, user: User
) -> None:
    there = subscribe(fake, user, PREMIUM)
    subscribe(fake, make_user())
    prices = {row["unit_amount"]: row["id"] for row in fake.every("price")}
    with transaction():
        db.session.execute(update(Plan).where(Plan.code == "pro").values(max_bots=1))
        account, market = make_account(user), make_market()
        for number in range(3):
            name = f"Grid {number}"
            make_bot(user, account, market, state=BotState.ACTIVE.value, name=name)
    fake.portal.change_plan(there, prices[2_900])
    settle(fake, duplicate=2)
    assert plan_of(user.id) == "pro"
    (letter,) = told_of_switch()
    assert "from Premium to Pro" in letter
    assert "Grid 1, Grid 2." in letter and "Grid 0" not in letter
    running = db.session.scalars(select(Bot.name).where(Bot.state == BotState.ACTIVE.value)).all()
    assert running == ["Grid 0"]
    fake.portal.change_plan(there, prices[7_900])
    settle(fake)
    assert plan_of(user.id) == "premium"
    assert len(told_of_switch()) == 1, "more is no bad news"


def test_a_seat_too_many_that_was_taken_at_the_provider_is_logged(
    fake: FakeStripe, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_user()
    names = [subscribe(fake, person) for person in (other, user)]
    with transaction():
        plans.add_price(None, "premium", Decimal(50), seats=1)
    provider.change(other.id, PREMIUM, provider.preview_change(other.id, PREMIUM).token)
    settle(fake)
    assert "seats_oversold" not in caplog.text
    (limited,) = (row["id"] for row in fake.every("price") if row["unit_amount"] == 5_000)
    fake.portal.change_plan(names[1], limited)
    settle(fake)
    assert plan_of(user.id) == "premium", "it is paid for"
    assert "seats_oversold" in caplog.text


def mirrored_customer(user_id: int) -> str:
    db.session.rollback()
    query = select(RailCustomer.external_id).where(RailCustomer.user_id == user_id)
    return str(db.session.scalars(query).one())


def test_c22_a_trial_is_given_once_and_then_paid_for(fake: FakeStripe, user: User) -> None:
    try_for(14)
    name = subscribe(fake, user)
    assert plan_of(user.id) == "pro" and fake.get(name)["status"] == "trialing"
    standing = provider.standing(user.id)
    assert standing is not None and standing.trial_end is not None
    assert standing.next_charge == Money(Decimal(29), "USD")
    assert standing.next_at == standing.trial_end
    fake.advance(days=14, hours=1)
    settle(fake)
    assert plan_of(user.id) == "pro" and len(fake.every("charge")) == 1
    provider.cancel(user.id)
    fake.advance(days=32)
    settle(fake)
    # Who has tried pays at once the next time.
    assert fake.get(subscribe(fake, user))["status"] == "active"


@pytest.mark.long
def test_what_is_chosen_within_a_trial_begins_when_it_is_paid(fake: FakeStripe, user: User) -> None:
    try_for(14)
    name = subscribe(fake, user)
    more = Choice("premium", MONTH, {"extra_bot": 50})
    shown = provider.preview_change(user.id, more)
    assert shown.due_now.amount == 0 and shown.takes_effect == mirrored(user.id).trial_end
    assert provider.change(user.id, more, shown.token) is None
    settle(fake)
    limits = limits_of(user.id)
    assert (limits.plan, limits.max_live_bots) == ("pro", 10), "nothing is had for nothing"
    assert fake.get(name)["status"] == "trialing"
    fake.advance(days=15)
    settle(fake)
    limits = limits_of(user.id)
    assert (limits.plan, limits.max_live_bots) == ("premium", 100)
    assert sum(one.amount for one in world.payments()) == Decimal(329)


@pytest.mark.long
def test_a_change_there_takes_no_seat_that_is_sold(fake: FakeStripe, user: User) -> None:
    with transaction():
        plans.add_price(None, "premium", Decimal(50), seats=1)
    other = make_user()
    for person in (other, user):
        subscribe(fake, person)
    tokens = [provider.preview_change(one.id, PREMIUM).token for one in (other, user)]
    provider.change(other.id, PREMIUM, tokens[0])
    with pytest.raises(Conflict, match="sold_out"):
        provider.change(user.id, PREMIUM, tokens[1])
    settle(fake)
    assert (plan_of(other.id), plan_of(user.id)) == ("premium", "pro")


@pytest.mark.parametrize(("ends", "state"), few([("pause", "paused"), ("cancel", "canceled")], 2))
def test_c23_a_trial_without_a_card_ends_as_staff_have_set(
    fake: FakeStripe, user: User, ends: str, state: str
) -> None:
    try_for(7)
    with transaction():
        settings.change("trial_card", ends)
    name = subscribe(fake, user, card=None)
    assert plan_of(user.id) == "pro"
    fake.advance(days=8)
    settle(fake)
    assert plan_of(user.id) == "free" and fake.get(name)["status"] == state
    if ends == "pause":
        fake.portal.new_card(fake.latest("customer")["id"])
        provider.resume(user.id)
        settle(fake)
        assert plan_of(user.id) == "pro" and len(fake.every("charge")) == 1


def test_c31_an_upgrade_costs_what_was_shown_and_is_given_when_it_is_paid(
    fake: FakeStripe, user: User
) -> None:
    name = subscribe(fake, user)
    shown = provider.preview_change(user.id, PREMIUM)
    assert shown.due_now.amount == sum(line.money.amount for line in shown.lines) > 0
    assert shown.next_charge == Money(Decimal(79), "USD")
    fake.advance(seconds=40)
    assert provider.change(user.id, PREMIUM, shown.token) is None
    paid = fake.latest("invoice")
    assert Money(Decimal(paid["amount_paid"]).scaleb(-2), "USD") == shown.due_now
    assert plan_of(user.id) == "premium", "what was paid is known at once"
    settle(fake)
    assert plan_of(user.id) == "premium"
    update_call = [
        one
        for one in fake.calls
        if one.path == f"/v1/subscriptions/{name}" and one.method == "POST"
    ][-1]
    assert update_call.params["proration_date"] == int(shown.takes_effect.timestamp())
    with pytest.raises(Conflict, match="nothing_changes"):
        provider.change(user.id, PREMIUM, shown.token)


@pytest.mark.long
def test_c31_a_price_that_moved_is_shown_again_before_it_is_charged(
    fake: FakeStripe, user: User
) -> None:
    subscribe(fake, user)
    shown = provider.preview_change(user.id, PREMIUM)
    with pytest.raises(Conflict, match="preview_changed"):
        provider.change(user.id, Choice("premium", MONTH, {"extra_bot": 1}), shown.token)
    for token in ("", "x", "1.abc", f"{int(shown.takes_effect.timestamp())}.{'0' * 32}"):
        with pytest.raises(Conflict, match="preview_changed"):
            provider.change(user.id, PREMIUM, token)
    assert plan_of(user.id) == "pro" and len(fake.every("invoice")) == 1


def test_c20_an_upgrade_whose_answer_was_lost_is_charged_once(fake: FakeStripe, user: User) -> None:
    name = subscribe(fake, user)
    shown = provider.preview_change(user.id, PREMIUM)
    path = f"/v1/subscriptions/{name}"
    fake.faults.add(Fault(path=path, method="POST", lost=True, acted=True))
    with pytest.raises(Unavailable):
        provider.change(user.id, PREMIUM, shown.token)
    settle(fake)
    assert plan_of(user.id) == "premium" and len(fake.every("charge")) == 2


@pytest.mark.parametrize("card", few([DECLINES_LATER, ASKS_ALWAYS], 2))
def test_c32_an_upgrade_that_is_not_paid_leaves_the_old_plan(
    fake: FakeStripe, user: User, login_as: Login, card: str
) -> None:
    subscribe(fake, user)
    fake.portal.new_card(fake.latest("customer")["id"], card)
    shown = provider.preview_change(user.id, PREMIUM)
    where = provider.change(user.id, PREMIUM, shown.token)
    settle(fake)
    open_invoice = fake.latest("invoice")
    assert where == open_invoice["hosted_invoice_url"]
    standing = provider.standing(user.id)
    assert standing is not None and standing.state == "active" and standing.pay_url == where
    assert plan_of(user.id) == "pro" and Verb.CHANGE not in standing.may
    page = login_as(user).get(f"/invoices/{standing.pay_invoice_id}").text
    assert str(where) in page and "Pay from the wallet" not in page
    fake.hosted.pay_invoice(open_invoice["id"], "4242424242424242")
    settle(fake)
    assert plan_of(user.id) == "premium"
    db.session.rollback()
    assert set(db.session.scalars(select(Invoice.pay_url))) == {None}


@pytest.mark.long
def test_c32_an_upgrade_that_nobody_pays_is_dropped_after_a_day(
    fake: FakeStripe, user: User
) -> None:
    subscribe(fake, user)
    fake.portal.new_card(fake.latest("customer")["id"], DECLINES_LATER)
    provider.change(user.id, PREMIUM, provider.preview_change(user.id, PREMIUM).token)
    fake.advance(days=1)
    settle(fake)
    assert plan_of(user.id) == "pro" and not mirrored(user.id).has_pending_update


def test_c33_a_smaller_plan_begins_when_the_paid_period_ends(fake: FakeStripe, user: User) -> None:
    name = subscribe(fake, user, PREMIUM)
    shown = provider.preview_change(user.id, PRO)
    end = datetime.fromtimestamp(fake.get(name)["items"]["data"][0]["current_period_end"], UTC)
    assert shown.due_now.amount == 0 and shown.takes_effect == end
    assert shown.next_charge == Money(Decimal(29), "USD")
    provider.change(user.id, PRO, shown.token)
    settle(fake)
    assert plan_of(user.id) == "premium"
    standing = provider.standing(user.id)
    assert standing is not None and standing.next_charge == Money(Decimal(29), "USD")
    fake.advance_to(int(end.timestamp()) + 60)
    settle(fake)
    assert plan_of(user.id) == "pro"
    assert told_of_switch() == [], "that was ordered here"
    assert [row["amount"] for row in fake.every("charge")] == [7_900, 2_900]
    assert fake.every("refund") == []


@pytest.mark.long
def test_c33_a_smaller_plan_that_waits_can_be_taken_back(fake: FakeStripe, user: User) -> None:
    subscribe(fake, user, PREMIUM)
    provider.change(user.id, PRO, provider.preview_change(user.id, PRO).token)
    with pytest.raises(Conflict, match="nothing_changes"):
        provider.preview_change(user.id, PRO)
    provider.undo_cancel(user.id)
    standing = provider.standing(user.id)
    assert standing is not None and standing.next_charge == Money(Decimal(79), "USD")
    fake.advance(days=32)
    settle(fake)
    assert plan_of(user.id) == "premium"


def test_c34_a_cancelled_plan_says_what_would_go_on_there(fake: FakeStripe, user: User) -> None:
    """A change that waits there can't stand beside an end: it is dropped, and not promised."""
    subscribe(fake, user, PREMIUM)
    provider.change(user.id, PRO, provider.preview_change(user.id, PRO).token)
    provider.cancel(user.id)
    standing = provider.standing(user.id)
    assert standing is not None and standing.if_kept is not None
    promised = standing.if_kept.charge
    assert (standing.if_kept.names, promised) == ("Premium", Money(Decimal(79), "USD"))
    provider.undo_cancel(user.id)
    standing = provider.standing(user.id)
    assert standing is not None and standing.next_charge == promised
    assert standing.if_kept is None


@pytest.mark.long
def test_c33_another_period_begins_when_the_paid_one_ends(fake: FakeStripe, user: User) -> None:
    subscribe(fake, user)
    year = Choice("pro", YEAR)
    shown = provider.preview_change(user.id, year)
    assert shown.due_now.amount == 0
    provider.change(user.id, year, shown.token)
    fake.advance(days=32)
    settle(fake)
    assert plan_of(user.id) == "pro"
    assert [row["amount"] for row in fake.every("charge")] == [2_900, 29_000]
    standing = provider.standing(user.id)
    assert standing is not None and standing.period == YEAR


@pytest.mark.parametrize("seed", few(range(3), 3))
def test_c06_a_life_heard_of_in_any_order_ends_the_same(
    fake: FakeStripe, user: User, seed: int
) -> None:
    subscribe(fake, user)
    provider.change(user.id, PREMIUM, provider.preview_change(user.id, PREMIUM).token)
    provider.change(user.id, PRO, provider.preview_change(user.id, PRO).token)
    fake.advance(days=32)
    provider.cancel(user.id)
    fake.deliver(shuffle=seed, duplicate=2)
    world.work()
    row = mirrored(user.id)
    assert (row.plan_code, row.state, row.cancel_at) == ("pro", "active", row.period_end)
    totals = sorted(db.session.scalars(select(Invoice.total)))
    assert totals == [
        Decimal(amount) / 100
        for amount in sorted(invoice["total"] for invoice in fake.every("invoice"))
    ]
    assert set(db.session.scalars(select(Invoice.state))) == {"paid"}


def test_c34_an_end_with_the_period_is_taken_back_or_comes(fake: FakeStripe, user: User) -> None:
    name = subscribe(fake, user)
    for _ in range(2):
        provider.cancel(user.id)
    standing = provider.standing(user.id)
    assert standing is not None and standing.cancel_at and standing.next_charge is None
    assert Verb.UNDO in standing.may and plan_of(user.id) == "pro"
    for _ in range(2):
        provider.undo_cancel(user.id)
    assert fake.get(name)["cancel_at"] is None and mirrored(user.id).cancel_at is None
    fake.portal.cancel(name, by="cancel_at")
    settle(fake)
    assert mirrored(user.id).cancel_at is not None
    provider.undo_cancel(user.id)
    assert fake.get(name)["cancel_at"] is None
    provider.cancel(user.id)
    fake.advance(days=32)
    settle(fake)
    assert plan_of(user.id) == "free" and provider.standing(user.id) is None
    with pytest.raises(Conflict, match="no_subscription"):
        provider.cancel(user.id)


@pytest.mark.long
def test_c34_an_end_after_a_change_that_waited_drops_the_change(
    fake: FakeStripe, user: User
) -> None:
    name = subscribe(fake, user, PREMIUM)
    provider.change(user.id, PRO, provider.preview_change(user.id, PRO).token)
    provider.cancel(user.id)
    assert fake.get(name)["schedule"] is None and fake.get(name)["cancel_at_period_end"]


def test_c36_a_pause_gives_what_is_paid_and_no_more(fake: FakeStripe, user: User) -> None:
    subscribe(fake, user)
    provider.pause(user.id)
    standing = provider.standing(user.id)
    assert standing is not None and Verb.RESUME in standing.may and standing.next_charge is None
    own = limits_of(user.id)
    assert own.plan == "pro" and own.until is not None
    fake.advance(days=32)
    settle(fake)
    assert len(fake.every("charge")) == 1 and mirrored(user.id).state == "active"
    assert mirrored(user.id).access_until == own.until
    provider.resume(user.id)
    assert mirrored(user.id).is_collection_paused is False


@pytest.mark.long
def test_c36_a_pause_that_outlasts_the_paid_period_gives_no_other_one_for_nothing(
    fake: FakeStripe, user: User
) -> None:
    name = subscribe(fake, user)
    fake.advance(days=27)
    settle(fake)
    provider.pause(user.id)
    paid_until = mirrored(user.id).access_until
    fake.advance(days=5)
    settle(fake)
    # Somebody of us lets it go on at Stripe's own desk.
    fake.client().v1.subscriptions.update(name, {"pause_collection": ""})
    settle(fake)
    assert mirrored(user.id).access_until == paid_until is not None
    provider.pause(user.id)
    fake.portal.new_card(fake.latest("customer")["id"], DECLINES_LATER)
    with pytest.raises(Conflict, match="card_refused"):
        provider.resume(user.id)
    settle(fake)
    row = mirrored(user.id)
    assert row.is_collection_paused and row.access_until == paid_until
    fake.portal.new_card(fake.latest("customer")["id"])
    provider.resume(user.id)
    settle(fake)
    row = mirrored(user.id)
    assert (row.is_collection_paused, row.access_until, row.plan_code) == (False, None, "pro")
    paid = [charge["amount"] for charge in fake.every("charge") if charge["paid"]]
    assert paid == [2_900, 2_900]


def test_c30_a_first_payment_that_fails_gives_nothing_and_can_be_dropped(
    fake: FakeStripe, user: User
) -> None:
    provider.start(user, PRO, "/pricing")
    session = session_of(user.id)
    with pytest.raises(FakeStripe.CardDeclined):
        fake.checkout.pay(session, "4000000000000002")
    settle(fake)
    assert plan_of(user.id) == "free"
    assert provider.start(user, PRO, "/pricing") == fake.get(session)["url"]


@pytest.mark.long
def test_the_card_that_is_shown_is_the_one_that_stripe_keeps(fake: FakeStripe, user: User) -> None:
    subscribe(fake, user)
    fake.portal.new_card(fake.latest("customer")["id"], "4000002500003155")
    card = fake.latest("payment_method")["card"]
    settle(fake)
    db.session.rollback()
    words = db.session.scalars(select(RailCustomer.method)).one()
    assert words == f"{card['brand'].title()} {card['last4']}"


def test_what_is_not_sold_there_is_refused(fake: FakeStripe, user: User) -> None:
    for choice, code in (
        (Choice("free", MONTH), "not_sold"),
        (Choice(None, MONTH), "nothing_chosen"),
        (Choice("pro\x00", MONTH), "not_sold"),
        (Choice("pro", MONTH, {"extra_bot": 10**9}), "bad_addon_count"),
    ):
        with pytest.raises(InvalidInput, match=code):
            provider.start(user, choice, "/pricing")
    assert fake.every("checkout.session") == []


@pytest.mark.long
def test_two_subscriptions_of_one_person_are_told(
    fake: FakeStripe, user: User, login_as: Login, caplog: pytest.LogCaptureFixture
) -> None:
    name = subscribe(fake, user)
    v1: Any = fake.client().v1
    first = fake.get(name)
    price = first["items"]["data"][0]["price"]["id"]
    v1.subscriptions.create(
        {
            "customer": first["customer"],
            "items": [{"price": price}],
            "default_payment_method": first["default_payment_method"],
            "metadata": first["metadata"],
        }
    )
    settle(fake)
    assert f"two_subscriptions user={user.id}" in caplog.text
    page = login_as(make_user(Role.MANAGER)).get("/admin/provider-orders/").text
    assert "They pay for more than one subscription" in page
    assert plan_of(user.id) == "pro"


@pytest.mark.long
def test_orders_of_people_are_done_once_and_stay_known(fake: FakeStripe, user: User) -> None:
    subscribe(fake, user)
    provider.pause(user.id)
    provider.resume(user.id)
    assert [(order.verb, order.state) for order in orders()] == [
        ("pause", "done"),
        ("resume", "done"),
    ]
    assert utc_now() - orders()[0].created_at < timedelta(minutes=5)
