"""Add-ons in what somebody may do, seats that may be sold, trials, and what happened."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.db import db, utc_now
from app.errors import InvalidInput
from app.money import Money
from app.payments import invoices
from app.payments import service as payments
from app.payments.rules import InvoiceState, Line, LineKind, NewInvoice
from app.subscriptions import history, queries, rights, seats, service
from app.subscriptions.models import (
    KeptState,
    KeptSubscription,
    PlanPrice,
    RailSubscription,
    SubscriptionChange,
    SubscriptionItem,
)
from app.subscriptions.periods import LIFETIME, MONTH
from app.subscriptions.rules import FREE_LIMITS, Allowance, Limits, with_addons
from app.subscriptions.seeds import PLANS
from app.transactions import transaction
from tests.factories import make_user

BOT = Limits("extra_bot", "Extra bot", 1, 1, 0, 60, {})


@pytest.fixture
def user_id(database: None) -> int:
    with transaction():
        service.seed_plans()
        return make_user().id


def price_of(plan: str) -> PlanPrice:
    found = queries.price_on_sale(plan, MONTH, "USD", utc_now())
    assert found is not None
    return found


def keep(user_id: int, state: KeptState, **values: object) -> int:
    """Store a subscription of ours with three extra bots."""
    now = utc_now()
    with transaction():
        fields: dict[str, object] = {
            "key": f"test:{user_id}:{state}",
            "rail": "wallet",
            "period": "month",
            "currency": "USD",
            "started_at": now,
            "period_start": now,
            "period_end": now + timedelta(days=30),
            "ended_at": now if state is KeptState.ENDED else None,
        }
        kept = KeptSubscription(user_id=user_id, state=state.value, **(fields | values))
        kept.items = [SubscriptionItem(price_id=price_of("extra_bot").id, quantity=3)]
        db.session.add(kept)
        db.session.flush()
        return kept.id


def test_add_ons_add_their_counts_and_leave_the_rest() -> None:
    pro = PLANS[1]
    more = with_addons(pro, [(BOT, 3)])
    assert (more.max_bots, more.max_live_bots, more.max_exchanges) == (23, 13, 5)
    assert (more.plan, more.tick_period_s, more.allowed) == ("pro", 15, pro.allowed)
    calls = Limits("calls", "Calls", 0, 0, 1, 60, {Allowance.API_CALLS: 50})
    both = with_addons(FREE_LIMITS, [(BOT, 1), (calls, 2)])
    assert (both.max_bots, both.max_exchanges) == (4, 4)
    assert both.allowed == {**FREE_LIMITS.allowed, Allowance.API_CALLS: 220}
    assert with_addons(pro, []) == pro


@pytest.mark.parametrize(
    ("state", "until", "extra"),
    [
        (KeptState.ACTIVE, None, 3),
        (KeptState.TRIALING, timedelta(days=3), 3),
        (KeptState.PAST_DUE, timedelta(days=3), 3),
        (KeptState.PAST_DUE, timedelta(seconds=-1), 0),
        (KeptState.INCOMPLETE, None, 0),
        (KeptState.ENDED, None, 0),
    ],
)
def test_rented_bots_count_while_their_subscription_gives_them(
    user_id: int, state: KeptState, until: timedelta | None, extra: int
) -> None:
    keep(user_id, state, access_until=utc_now() + until if until is not None else None)
    limits = queries.limits_of(user_id)
    assert (limits.plan, limits.max_bots) == ("free", 3 + extra)
    assert limits.max_live_bots == extra
    assert queries.limits_of(user_id + 1) == FREE_LIMITS


def test_rented_bots_of_a_provider_count_too(user_id: int) -> None:
    now = utc_now()
    with transaction():
        there = RailSubscription(
            user_id=user_id, rail="stripe", external_id="sub_1", state="active",
            price_ref="price_1", quantity=1, started_at=now, period_end=now,
            is_collection_paused=False,
            has_pending_update=False,
        )  # fmt: skip
        db.session.add(there)
        db.session.flush()
        db.session.add(
            SubscriptionItem(
                rail_subscription_id=there.id, price_id=price_of("extra_bot").id, quantity=2
            )
        )
    assert queries.limits_of(user_id).max_live_bots == 2
    with transaction():
        db.session.get_one(RailSubscription, there.id).state = "paused"
    assert queries.limits_of(user_id).max_live_bots == 0


def test_an_item_belongs_to_one_subscription_and_a_person_has_one_live(user_id: int) -> None:
    with pytest.raises(IntegrityError, match="one_owner"), transaction():
        db.session.add(SubscriptionItem(price_id=price_of("pro").id, quantity=1))
        db.session.flush()
    keep(user_id, KeptState.ENDED)
    keep(user_id, KeptState.ACTIVE)
    with pytest.raises(IntegrityError, match="one_live"):
        keep(user_id, KeptState.PAST_DUE)


def test_add_ons_are_offered_apart_and_given_to_nobody(user_id: int) -> None:
    assert [one.plan for one in queries.plans_on_offer()] == ["free", "pro", "premium"]
    assert [offer.limits.plan for offer in queries.price_list()] == ["free", "pro", "premium"]
    (extra,) = queries.addons_on_offer()
    assert (extra.limits.plan, extra.bot_kind) == ("extra_bot", "grid")
    assert extra.month == Money(Decimal(5), "USD")
    assert queries.addons_on_offer() == (extra,), "as it was kept"
    with pytest.raises(InvalidInput, match="unknown_plan"), transaction():
        rights.give_plan(None, user_id, "extra_bot", None, "a gift")


def test_a_plan_can_be_offered_to_try(user_id: int) -> None:
    with transaction():
        pro = queries.plans_on_offer()[1]
        service.change_plan(None, "pro", pro, visible=True, trial_days=14)
        service.change_plan(None, "pro", pro, visible=True)
    assert [offer.trial_days for offer in queries.price_list()] == [0, 14, 0]
    with pytest.raises(InvalidInput, match="bad_plan_limit"), transaction():
        service.change_plan(None, "pro", pro, visible=True, trial_days=366)


def test_an_invoice_holds_its_seat_until_it_is_taken_back(user_id: int) -> None:
    with transaction():
        service.add_price(None, "pro", Decimal(499), period=LIFETIME, seats=2)
    price = queries.price_on_sale("pro", LIFETIME, "USD", utc_now())
    assert price is not None
    assert seats.left_of_offer("pro", LIFETIME) == 2
    with transaction():
        line = Line(LineKind.PLAN, "Pro", Money(Decimal(499), "USD"), price_id=price.id)
        made = [payments.issue(NewInvoice(key, user_id, (line,)), "test") for key in "abc"]
    assert seats.left_of_offer("pro", LIFETIME) == 0
    with transaction():
        invoices.move_to(made[0], InvoiceState.PAID, "test")
        invoices.void(invoices.lock(made[1].id), "test")
    assert seats.left_of_offer("pro", LIFETIME) == 0
    with transaction():
        invoices.void(invoices.lock(made[2].id), "test")
    assert seats.left_of_offer("pro", LIFETIME) == 1
    assert seats.left_of_offer("pro", MONTH) is None


def test_seats_are_counted_in_whole_ones(user_id: int) -> None:
    for number in (0, -1, 1_000_001):
        with pytest.raises(InvalidInput, match="bad_plan_seats"), transaction():
            service.add_price(None, "pro", Decimal(499), period=LIFETIME, seats=number)


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(DBAPIError, match="permission denied"), transaction():
        yield


def test_what_happened_is_told_newest_first_and_never_changed(user_id: int) -> None:
    with transaction():
        history.note(user_id, "kept:1", "started", after={"plan": "pro"}, cause="asked")
        history.note(user_id, "kept:1", "changed", before={"plan": "pro"}, after={"plan": "pro"})
        history.note(
            user_id, "staff", "changed", before={"plan": "pro"}, after={"plan": "premium"},
            actor_id=7, cause="staff",
        )  # fmt: skip
    last, first = history.history_of(user_id)
    assert (last.source, last.actor_id, last.before) == ("staff", 7, {"plan": "pro"})
    assert (first.what, first.before, first.after) == ("started", None, {"plan": "pro"})
    assert history.history_of(user_id + 1) == ()
    with refused():
        db.session.execute(update(SubscriptionChange).values(cause="else"))
    with refused():
        db.session.execute(delete(SubscriptionChange))
    assert len(db.session.scalars(select(SubscriptionChange)).all()) == 2
