"""Recorded and own sequences of Stripe's events end the same, however they come."""

import os
import random
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from app.adapters.payments import rails, use_rails
from app.db import db, utc_now
from app.errors import Conflict
from app.notifications.sealing import open_text
from app.payments import checkouts, wallet_rail
from app.payments import service as payments
from app.payments.books import backfill, pace
from app.payments.books.models import RailBackfill
from app.payments.jobs import write_receipts
from app.payments.models import Invoice
from app.subscriptions import jobs, rights, service
from app.subscriptions.models import RailPrice, Subscription
from app.subscriptions.queries import limits_of
from app.subscriptions.rules import access_of
from app.transactions import transaction
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.doubles.stripe import signed
from tests.doubles.stripe.scenarios import own_sequences
from tests.doubles.stripe.sequences import EventSequence, SequenceStripe, shared_sequences
from tests.long import few, thinned, twin
from tests.payments.stripe_world import SECRET, post_all
from tests.payments.world import work
from tests.subscriptions.many_replays import (
    Template,
    Theatre,
    doubled,
    in_order,
    play,
    play_at_once,
    shuffled,
)
from tests.subscriptions.stripe_replay import (
    check_expected,
    letters,
    lose,
    picture,
    rail_of,
    stage,
    stage_lately,
    unfinished,
)

# `make check-billing` asks for more, of our own ones too.
SHUFFLES = int(os.environ.get("BILLING_SHUFFLES", "10"))
OWN_SHUFFLES = int(os.environ.get("BILLING_SHUFFLES", "1"))
# Many shuffles are played in parts, by several processes, each part over empty tables.
PARTS = 1 if SHUFFLES <= 10 else 8
parted = pytest.mark.parametrize("part", range(PARTS))
THREADS, LOST = 20, 5
NO_ACCESS = ("incomplete", "incomplete_expired", "unpaid", "paused", "canceled")


@pytest.fixture
def client(app: Flask, database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    before = dict(rails())
    monkeypatch.setattr(pace, "CALLS_A_SECOND", 10_000)
    with transaction():
        service.seed_plans()
    yield new_client(app)
    use_rails(before)


def recorded() -> list[EventSequence]:
    files = shared_sequences()
    assert len(files) >= 19
    return [EventSequence.read(path) for path in files]


def all_ways(client: Client, sequences: Iterable[EventSequence], shuffles: int) -> None:
    """Deliver each sequence in order, doubled and shuffled: it ends as it expects, and the same."""
    theatre = Theatre()
    theatre.open()
    for sequence in sequences:
        orders = [in_order, doubled, *([shuffled] * (shuffles - 1))]
        ends = play(client, theatre, Template(sequence), orders)
        assert len(ends) == 1, (sequence.name, ends)


# It takes as long as there are recordings.
@pytest.mark.timeout(1800)
@pytest.mark.shared
@parted
def test_c06_recorded_sequences_end_as_expected_in_any_order(client: Client, part: int) -> None:
    all_ways(client, recorded()[part::PARTS], SHUFFLES)


def of_own_alone() -> list[EventSequence]:
    """Return the sequences made here of stories that no recording tells."""
    told = {path.name.partition("-")[0] for path in shared_sequences()}
    return [one for one in own_sequences() if one.name.partition("-")[0] not in told]


@thinned(4)
def test_c06_stories_of_no_recording_end_as_expected_in_any_order(
    client: Client, step: int
) -> None:
    all_ways(client, of_own_alone()[::step], OWN_SHUFFLES)


@twin
@parted
def test_c06_own_sequences_end_as_expected_in_any_order(client: Client, part: int) -> None:
    all_ways(client, own_sequences()[part::PARTS], OWN_SHUFFLES)


def in_threads(app: Flask, sequences: Iterable[EventSequence]) -> None:
    theatre = Theatre()
    theatre.open()
    play_at_once(app, theatre, [Template(one) for one in sequences], THREADS)


@pytest.mark.shared
@thinned(3)
def test_c05_recorded_sequences_in_twenty_threads_end_as_expected(
    app: Flask, client: Client, step: int
) -> None:
    in_threads(app, recorded()[::step])


@twin
@thinned(3)
def test_c05_own_sequences_in_twenty_threads_end_as_expected(
    app: Flask, client: Client, step: int
) -> None:
    in_threads(app, own_sequences()[::step])


def fetched_afterwards(client: Client, sequences: Iterable[EventSequence]) -> None:
    """Lose five events of each, or half of a short one, and fetch them: all ends as it expects."""
    for seed, sequence in enumerate(sequences):
        ready = stage_lately(sequence, seed)
        count = len(ready.sequence.events)
        lost = set(random.Random(seed).sample(range(count), min(LOST, count // 2)))
        post_all(client, ready.sequence.deliveries([SECRET], drop=lost))
        lose(ready, lost)
        work()
        with transaction():
            db.session.execute(delete(RailBackfill))
        assert backfill.run("stripe").listed == len(lost), sequence.name
        work()
        check_expected(ready)


@pytest.mark.shared
@thinned(3)
def test_c13_recorded_sequences_with_lost_events_end_as_expected(client: Client, step: int) -> None:
    fetched_afterwards(client, recorded()[::step])


@twin
@thinned(3)
def test_c13_own_sequences_with_lost_events_end_as_expected(client: Client, step: int) -> None:
    fetched_afterwards(client, own_sequences()[::step])


def named(name: str) -> EventSequence:
    return next(one for one in own_sequences() if one.name.startswith(name))


def test_c07_old_news_under_new_ids_change_nothing(client: Client) -> None:
    ready = stage(named("03-"), 1)
    post_all(client, ready.sequence.deliveries([SECRET]))
    work()
    before = check_expected(ready)
    old = ready.sequence.stale(1, {"invoice.payment_failed", "customer.subscription.updated"})
    assert len(old) > 1
    post_all(client, [signed(event, [SECRET]) for event in old])
    work()
    assert check_expected(ready) == before


def test_what_stripe_keeps_is_mailed_by_us_once_and_tells_what_comes_next(client: Client) -> None:
    ready = stage(named("19-"), 9)
    post_all(client, ready.sequence.deliveries([SECRET]))
    work()
    write_receipts()
    kinds = {event["type"] for event in ready.sequence.events}
    post_all(client, [signed(event, [SECRET]) for event in ready.sequence.stale(1, kinds)])
    work()
    write_receipts()
    told = letters(ready.user_id)
    assert [one.template for one in told] == ["payment_received", "refund_made", "refund_made"]
    paid, *back = (open_text(one, "sealed_body").replace("\xa0", " ") for one in told)
    assert "Paid by: Bank card (Stripe), Visa 4242" in paid and "Next charge: 29.00 USD" in paid
    assert "Credit note: CN-000001" in back[0] and "Credit note: CN-000002" in back[1]


@pytest.mark.long
def test_c08_events_that_tell_nothing_but_an_id_do_as_well(client: Client) -> None:
    ready = stage(named("02-"), 2)
    for event in ready.sequence.events:
        thing = event["data"]["object"]
        bare = {name: thing[name] for name in ("id", "object") if name in thing}
        post_all(client, [signed({**event, "data": {"object": bare}}, [SECRET])])
        work()
    check_expected(ready)


def test_c08_events_that_say_active_do_not_bring_back_what_was_cancelled(client: Client) -> None:
    ready = stage(named("15-"), 6)
    post_all(client, ready.sequence.deliveries([SECRET]))
    work()
    before = check_expected(ready)
    told = ready.sequence.stale(6, {"customer.subscription.created"})
    for event in told:
        event["data"] = {"object": {**event["data"]["object"], "status": "active"}}
    assert told and before["plan"] == "free"
    post_all(client, [signed(event, [SECRET]) for event in told])
    work()
    assert check_expected(ready) == before
    assert unfinished() == []


def as_of_2020(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event in the shape of Stripe's version 2020-08-27."""
    thing = {**event["data"]["object"]}
    if thing["object"] == "invoice":
        parent = thing.pop("parent", None) or {}
        thing["subscription"] = (parent.get("subscription_details") or {}).get("subscription")
        thing["paid"] = thing["status"] == "paid"
    if thing["object"] == "subscription":
        del thing["items"]
        thing |= {"current_period_end": 1, "plan": {"object": "plan", "id": "gold"}}
    return {**event, "api_version": "2020-08-27", "data": {"object": thing}}


def test_c14_events_in_the_shape_of_2020_end_as_those_of_today(client: Client) -> None:
    ready = stage(named("02-"), 7)
    post_all(client, [signed(as_of_2020(one), [SECRET]) for one in ready.sequence.events])
    work()
    assert check_expected(ready)["plan"] != "free"


def test_c09_events_of_one_person_in_parallel_end_as_in_order(app: Flask, client: Client) -> None:
    ready = stage(named("10-"), 3)
    post_all(client, ready.sequence.deliveries([SECRET]))

    at_once(app, 4, lambda _number: work())
    work()
    check_expected(ready)


def test_c37_an_unknown_price_takes_no_plan_away_and_is_told(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    ready = stage(named("02-"), 4)
    post_all(client, ready.sequence.deliveries([SECRET]))
    work()
    with transaction():
        db.session.execute(delete(RailPrice))
    old = ready.sequence.stale(2, {"customer.subscription.updated"})
    post_all(client, [signed(event, [SECRET]) for event in old])
    work()
    check_expected(ready)
    assert "unknown_rail_price" in caplog.text


def test_c11_what_another_app_sells_gives_no_plan_here(client: Client) -> None:
    ready = stage(named("01-"), 5)
    foreign = ready.sequence.adapted({"app": "another"})
    use_rails({**rails(), "stripe": rail_of(SequenceStripe(foreign, validate=False))})
    post_all(client, foreign.deliveries([SECRET]))
    work()
    seen = picture(ready.user_id)
    assert (seen["plan"], seen["invoices"], seen["paid"]) == ("free", [], 0)
    assert unfinished() == []


@pytest.mark.parametrize(
    ("given", "after_sale", "after_gift"),
    few([("premium", "premium", "pro"), ("pro", "pro", "pro")], 2),
)
def test_a_gift_of_staff_stays_and_what_is_paid_for_holds_after_it(
    client: Client, given: str, after_sale: str, after_gift: str
) -> None:
    ready = stage(named("01-"), 6)
    until = utc_now() + timedelta(days=3)
    with transaction():
        rights.give_plan(None, ready.user_id, given, until, "a gift")
    post_all(client, ready.sequence.deliveries([SECRET]))
    work()
    assert limits_of(ready.user_id).plan == after_sale
    with transaction():
        db.session.execute(update(Subscription).values(ends_at=utc_now() - timedelta(seconds=1)))
    jobs.end_expired()
    assert limits_of(ready.user_id).plan == after_gift


def test_a_paid_plan_is_not_ended_here_while_its_provider_takes_money(client: Client) -> None:
    ready = stage(named("01-"), 7)
    post_all(client, ready.sequence.deliveries([SECRET]))
    work()
    with pytest.raises(Conflict, match="plan_is_paid_for"):
        rights.end_plan(None, ready.user_id, "no reason")


def test_a_mirrored_invoice_is_neither_paid_nor_voided_here(client: Client) -> None:
    ready = stage(named("04-"), 8)
    post_all(client, ready.sequence.deliveries([SECRET]))
    work()
    db.session.rollback()
    query = select(Invoice.id).where(Invoice.user_id == ready.user_id, Invoice.state == "open")
    invoice_id = db.session.scalars(query).first()
    assert invoice_id is not None
    for refused in (
        lambda: checkouts.want_invoice(ready.user_id, invoice_id),
        lambda: wallet_rail.pay_invoice(ready.user_id, invoice_id),
        lambda: payments.void_invoice(1, invoice_id, "no reason"),
        lambda: payments.write_off(1, invoice_id, "no reason"),
    ):
        with pytest.raises(Conflict, match="invoice_at_provider"):
            refused()
        db.session.rollback()


@pytest.mark.parametrize(
    ("state", "price", "waits_days", "cancels_days", "expected"),
    [
        ("active", "p", None, None, "endless"),
        ("trialing", "p", None, None, "endless"),
        ("active", None, None, None, None),
        ("active", "p", None, 3, "until"),
        ("active", "p", None, -1, None),
        ("past_due", "p", 1, None, "until"),
        ("past_due", "p", 15, None, None),
        ("past_due", None, 1, None, None),
        *((state, "p", None, None, None) for state in NO_ACCESS),
    ],
)
def test_c22_to_c36_what_a_subscription_gives_by_its_state(
    state: str,
    price: str | None,
    waits_days: int | None,
    cancels_days: int | None,
    expected: str | None,
) -> None:
    now, day = utc_now(), timedelta(days=1)
    grace_end = now - (waits_days or 0) * day + 14 * day
    cancel = None if cancels_days is None else now + cancels_days * day
    access = access_of(state, price, cancel, grace_end, now)
    told = None if access is None else "until" if access.until else "endless"
    assert told == expected
