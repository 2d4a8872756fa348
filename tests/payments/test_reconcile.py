"""Our books and those of providers: compared, brought in line, and what is left is listed."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, select, text, update

from app import health
from app.accounts.models import Role, User
from app.adapters.payments import rails, use_rails
from app.adapters.payments.stripe import books as stripe_books
from app.db import db, utc_now
from app.errors import Conflict, Unavailable
from app.payments.books import jobs, pace, queries, reconcile
from app.payments.books.models import Reconciliation, ReconciliationAwaited
from app.payments.demo import provider
from app.payments.models import Payment
from app.subscriptions import rights, service
from app.subscriptions.models import RailSubscription
from app.transactions import transaction
from tests.client import Client
from tests.conftest import new_client
from tests.doubles.stripe.protocol import Answer
from tests.doubles.stripe.scenarios import own_sequences
from tests.factories import make_user
from tests.long import thinned
from tests.payments import world
from tests.payments.stripe_world import SECRET, post_all
from tests.payments.world import work
from tests.subscriptions.provider_world import price_of, stand_in, subscribed
from tests.subscriptions.stripe_replay import Stage, check_expected, stage
from tests.wallet.books import sums

Login = Callable[[User], Client]
LONG_AGO = timedelta(days=3_650)
# Recordings that end with live, past, refunded and disputed money of one person each.
NAMES = ("02-", "10-", "18-", "19b-", "20-", "23-", "25-")


@pytest.fixture
def client(app: Flask, database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    before = dict(rails())
    monkeypatch.setattr(pace, "CALLS_A_SECOND", 10_000)
    monkeypatch.setattr(pace, "PAUSES_S", (0, 0))
    with transaction():
        service.seed_plans()
    yield new_client(app)
    use_rails(before)


def played(client: Client, name: str = "02-", seed: int = 1) -> Stage:
    """Play a sequence to its end."""
    ready = stage(next(one for one in own_sequences() if one.name.startswith(name)), seed)
    post_all(client, ready.sequence.deliveries([SECRET]))
    work()
    check_expected(ready)
    return ready


def compare(rail: str = "stripe", *, awaited: bool = True) -> Reconciliation:
    """Compare everything at once; not `awaited`: what is there of other runs is left alone."""
    with transaction():
        run_id = reconcile.begin(rail, utc_now() - LONG_AGO)
        if not awaited:
            db.session.execute(delete(ReconciliationAwaited))
    assert reconcile.go_on(rail, 60)
    db.session.rollback()
    return queries.run_of(run_id)


def listed(run: Reconciliation) -> list[tuple[str, str, str, str, bool]]:
    return [
        (one.kind, one.field, one.here, one.there, one.is_fixed)
        for one in queries.differences_of(run.id)
    ]


@thinned(4)
def test_c40_after_every_event_the_books_agree(client: Client, step: int) -> None:
    for seed, name in enumerate(NAMES[::step]):
        played(client, name, seed)
        run = compare(awaited=False)
        assert (run.fixed, run.differences, listed(run)) == (0, 0, []), name
        assert run.compared >= 2 and run.ended_at is not None


@thinned(4)
def test_c40_without_a_single_event_the_books_are_brought_in_line(
    client: Client, step: int
) -> None:
    for seed, name in enumerate(NAMES[::step]):
        ready = stage(next(one for one in own_sequences() if one.name.startswith(name)), seed)
        run = compare(awaited=False)
        assert run.fixed and run.differences == 0, listed(run)
        check_expected(ready)
        again = compare(awaited=False)
        assert (again.fixed, again.differences) == (0, 0), name


def test_c40_what_drifted_here_is_brought_in_line_and_listed(client: Client) -> None:
    ready = played(client)
    with transaction():
        row = db.session.scalars(select(RailSubscription)).one()
        row.state, row.period_end = "past_due", utc_now()
    run = compare()
    told = {field: (here, fixed) for _, field, here, _, fixed in listed(run)}
    assert (run.fixed, run.differences) == (2, 0)
    assert told.keys() == {"state", "period_end"} and told["state"] == ("past_due", True)
    check_expected(ready)


def test_c40_a_fee_that_nobody_has_told_us_is_found_at_night(app: Flask, client: Client) -> None:
    with stand_in(app) as fake:
        fake.settings.fees_come_late = True
        subscribed(fake, make_user().id, price_of(fake))
        fake.bank.tell_fees()
        run = compare(awaited=False)
        assert listed(run) == [("payment", "fee", "0.00", "1.14", True)]
        assert db.session.scalars(select(Payment.fee)).one() == Decimal("1.14")
        assert sums()["expense:fees", "USD"] == Decimal("1.14")
        again = compare(awaited=False)
        assert (again.fixed, again.differences) == (0, 0)


def test_c40_what_cannot_be_brought_in_line_stays_listed_and_is_told(
    app: Flask, client: Client, login_as: Login, caplog: pytest.LogCaptureFixture
) -> None:
    played(client, "04-")
    # As if our own books said something that a final state does not take back.
    with transaction():
        payment_id = db.session.scalars(select(Payment.id)).first()
        db.session.execute(
            update(Payment).where(Payment.id == payment_id).values(amount=Payment.amount + 5)
        )
        wrong = db.session.get_one(Payment, payment_id).external_id
    told = app.test_cli_runner().invoke(args=["stripe", "reconcile", "--since", "2016-01-01"])
    assert told.exit_code == 1
    assert f"DIFFERS payment {wrong} amount: here" in told.output
    assert "books_differ" in caplog.text
    (check,) = (one for one in health.overview().services if one.name == "books:stripe")
    assert (check.grade, check.figures["differences"]) == (health.Grade.DOWN, 1)
    desk = login_as(make_user(Role.ADMIN))
    assert 'botyard_books_differences{rail="stripe"} 1' in desk.get("/metrics").text
    assert wrong in desk.get("/admin/differences/").text
    run = db.session.scalars(select(Reconciliation.id)).one()
    assert desk.get(f"/admin/comparisons/differences?id={run}").status_code == 303
    assert "objects compared, brought in line: 0, differences: 1" in desk.get("/admin/health/").text


@pytest.mark.long
def test_a_row_that_the_provider_does_not_know_is_a_difference(client: Client) -> None:
    ready = played(client)
    with transaction():
        row = db.session.scalars(select(RailSubscription)).one()
        ghost = {
            column.name: getattr(row, column.name)
            for column in RailSubscription.__table__.columns
            if column.name != "id"
        }
        db.session.add(RailSubscription(**{**ghost, "external_id": "sub_ghost"}))
    run = compare()
    assert listed(run) == [("subscription", "object", "active", "", False)]
    with transaction():
        db.session.execute(
            delete(RailSubscription).where(RailSubscription.external_id == "sub_ghost")
        )
    check_expected(ready)
    assert compare().differences == 0


@pytest.mark.long
def test_what_belongs_to_others_is_counted_and_nothing_else(client: Client) -> None:
    ready = played(client)
    for thing in ready.face.account.objects.values():
        if thing.get("metadata"):
            thing["metadata"] = {"app": "another"}
    with transaction():
        for table in ("subscription_items", "rail_subscriptions", "rail_customers"):
            db.session.execute(text(f"delete from {table}"))  # noqa: S608 - fixed names
        rights.hold_best_paid(ready.user_id)
    run = compare()
    assert run.others and run.differences == 0
    assert db.session.scalars(select(RailSubscription.id)).all() == []


@pytest.mark.long
def test_a_stopped_comparison_goes_on_with_its_page(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(client)
    monkeypatch.setattr(stripe_books, "PAGE", 1)
    with transaction():
        run_id = reconcile.begin("stripe", utc_now() - LONG_AGO)
    assert not reconcile.go_on("stripe", -1)
    first = queries.run_of(run_id)
    assert first.compared == 1 and first.ended_at is None
    with transaction():
        assert reconcile.begin("stripe", utc_now()) == run_id, "it is the same one"
    asked: list[str] = []
    monkeypatch.setattr(jobs, "_ask_to_go_on", asked.append)
    with transaction():
        db.session.execute(update(Reconciliation).values(moved_at=utc_now() - LONG_AGO))
    jobs.look_after()
    assert asked == ["stripe"]
    jobs.go_on("stripe")
    run = queries.run_of(run_id)
    assert run.ended_at is not None and run.differences == 0


@pytest.mark.long
def test_a_silent_provider_leaves_the_run_for_later(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = played(client)
    with transaction():
        run_id = reconcile.begin("stripe", utc_now() - LONG_AGO)
    with monkeypatch.context() as patch:
        patch.setattr(ready.face.protocol, "answer", _silent)
        with pytest.raises(Unavailable):
            reconcile.go_on("stripe", 60)
        jobs.go_on("stripe")
    assert queries.run_of(run_id).ended_at is None
    assert reconcile.go_on("stripe", 60)
    assert queries.run_of(run_id).ended_at is not None


def _silent(*_args: Any, **_kwargs: Any) -> Any:
    return Answer(503, {"error": {"type": "api_error", "message": "away"}})


@pytest.mark.long
def test_one_process_at_a_time_compares(app: Flask, client: Client) -> None:
    played(client)
    with transaction():
        reconcile.begin("stripe", utc_now() - LONG_AGO)
    with reconcile._alone("stripe") as is_mine:
        assert is_mine
        left: list[bool] = []

        def other() -> None:
            with app.app_context():
                left.append(reconcile.go_on("stripe", 60))
                db.session.remove()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
    assert left == [True]
    assert db.session.scalars(select(Reconciliation.compared)).one() == 0


def test_wal_05_a_day_of_the_demonstration_shows_no_difference(
    client: Client, login_as: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user()
    person = login_as(user)
    one, two, three = (world.issue(user.id, "29.00", key) for key in ("a", "b", "c"))
    world.pay(person, world.open_page(person, one))
    world.pay(person, world.open_page(person, two), world.DISPUTED)
    world.settle(person)
    # The news of the third never come.
    world.pay(person, world.open_page(person, three))
    world.outbox()
    monkeypatch.setattr(jobs, "_ask_to_go_on", lambda rail: None)
    jobs.reconcile_nightly()
    assert reconcile.go_on("demo", 60)
    run = db.session.scalars(select(Reconciliation)).one()
    assert (run.compared, run.fixed, run.differences) == (4, 1, 0)
    assert world.state_of(three) == "paid"
    assert provider.newest("payment")
    assert compare("demo").fixed == 0


def test_a_rail_without_books_is_refused(client: Client) -> None:
    class Bookless:
        name = "bookless"

    use_rails({**rails(), "bookless": Bookless()})  # type: ignore[dict-item]
    with pytest.raises(Conflict, match="rail_shows_no_books"):
        reconcile.begin("bookless", utc_now())
    jobs.look_after()
