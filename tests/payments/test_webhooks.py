"""Callbacks: what is taken, what is refused, and that each has its effect once."""

import dataclasses
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from redis.exceptions import ConnectionError as RedisDown
from sqlalchemy import update

from app import config as configuration
from app import queues
from app.accounts.models import User
from app.adapters.payments import rail_named, rails, use_rails
from app.adapters.payments.demo import HEADER
from app.adapters.payments.port import Ref
from app.db import db, utc_now
from app.errors import Unavailable
from app.payments import checkouts, drain, intake, invoices, jobs, paying, webhook_routes
from app.payments.demo import provider
from app.payments.demo.cards import CARDS
from app.payments.models import RailEvent
from app.transactions import transaction
from tests.at_once import at_once
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user
from tests.long import few
from tests.payments import world
from tests.payments.world import deliver, issue, open_page, outbox, pay, post, signed, state_of

Login = Callable[[User], Client]
SECRET_OLD, SECRET_NEW = "whsec_old", "whsec_new"


@pytest.fixture
def user(database: None) -> User:
    return make_user()


@pytest.fixture
def client(user: User, login_as: Login) -> Client:
    return login_as(user)


@pytest.fixture
def paid(user: User, client: Client) -> tuple[int, list[world.Sent]]:
    """Return an invoice that was paid at the provider, and the callbacks of that."""
    invoice_id = issue(user.id)
    pay(client, open_page(client, invoice_id))
    return invoice_id, outbox()


def test_c01_only_the_raw_bytes_that_were_signed_just_now_are_taken(
    client: Client, paid: tuple[int, list[world.Sent]]
) -> None:
    raw = paid[1][0][1].encode()
    now = int(time.time())
    refused = {
        "nothing": {},
        "empty": {HEADER: ""},
        "wrong secret": signed(raw, secret="another"),
        "other body": signed(raw + b" "),
        "too old": signed(raw, now - 301),
        "from the future": signed(raw, now + 360),
        "no time": {HEADER: signed(raw)[HEADER].partition(",")[2]},
        "other scheme": {HEADER: signed(raw)[HEADER].replace("v1=", "v0=")},
        "stamp swapped": {HEADER: signed(raw)[HEADER].replace(f"t={now}", f"t={now - 5}")},
        "huge stamp": {HEADER: "t=" + "9" * 400 + ",v1=00"},
        "strange digits": {HEADER: "t=١٢٣,v1=00"},
    }
    for name, headers in refused.items():
        assert post(client, raw, headers) == 400, name
    redumped = json.dumps(json.loads(raw), indent=1).encode()
    assert post(client, redumped, signed(raw)) == 400
    assert world.events() == []
    assert post(client, raw, signed(raw, now - 290)) == 200


def test_c02_any_of_several_secrets_is_good_while_one_replaces_the_other(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rail_named("demo"), "_secrets", (SECRET_OLD, SECRET_NEW))
    raws = [body.encode() for _id, body in paid[1]]
    assert post(client, raws[0], signed(raws[0], secret=SECRET_OLD)) == 200
    assert post(client, raws[1], signed(raws[1], secret=SECRET_NEW)) == 200
    assert post(client, raws[1], signed(raws[1], secret="neither")) == 400
    assert post(client, raws[1], signed(raws[1], secret="")) == 400


def test_c03_a_callback_is_kept_before_anything_is_done_and_with_redis_away_too(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice_id, sent = paid

    class Away:
        def enqueue(self, *_args: object, **_kwargs: object) -> None:
            raise RedisDown("away")

    monkeypatch.setattr(queues, "queue", lambda _name: Away())
    monkeypatch.setattr(intake._LastAsked, "at", float("-inf"))
    stranger = new_client(client.application)
    for _event_id, body in sent:
        assert post(stranger, body.encode()) == 200
    assert {event.state for event in world.events()} == {"received"}
    assert state_of(invoice_id) == "open"
    world.work()
    assert state_of(invoice_id) == "paid"


def test_c03_a_flood_asks_for_one_worker_and_the_sweep_asks_for_what_was_lost(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(intake, "enqueue_once", lambda *_args, key, **_: asked.append(key))
    monkeypatch.setattr(intake._LastAsked, "at", float("-inf"))
    deliver(client, paid[1])
    assert asked == ["drain-events"]
    jobs.sweep_events()
    assert len(asked) == 2
    world.work()
    jobs.sweep_events()
    assert len(asked) == 2


def test_c04_the_same_callbacks_again_change_nothing(
    client: Client, paid: tuple[int, list[world.Sent]]
) -> None:
    invoice_id, sent = paid
    deliver(client, sent)
    world.work()
    before = world.picture(invoice_id)
    deliver(client, sent)
    assert world.work() == 0
    assert world.picture(invoice_id) == before
    assert len(world.events()) == len(sent)


def test_c05_twenty_at_once_are_one(app: Flask, paid: tuple[int, list[world.Sent]]) -> None:
    invoice_id, sent = paid
    db.session.commit()

    def send(_: int) -> list[int]:
        one = new_client(app)
        statuses = [post(one, body.encode()) for _event_id, body in sent]
        world.work()
        return statuses

    answers = [status for statuses in at_once(app, 20, send) for status in statuses]
    assert set(answers) == {200} and len(answers) == 20 * len(sent)
    world.work()
    assert len(world.events()) == len(sent)
    assert state_of(invoice_id) == "paid"
    (payment,) = world.payments()
    assert world.postings() == [f"payment:{payment.id}:settled"]


@pytest.mark.parametrize("seed", few(range(5), 3))
def test_c06_any_order_ends_the_same(user: User, client: Client, seed: int) -> None:
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    pay(client, page, world.DECLINED)
    pay(client, page, world.DISPUTED)
    (dispute,) = provider.newest("dispute")
    provider.close_dispute(str(dispute["id"]), won=bool(seed % 2))
    sent = outbox()
    random.Random(seed).shuffle(sent)
    for one in sent:
        deliver(client, [one])
        world.work()
    state, tries, booked = world.picture(invoice_id)
    assert (state, len(tries), len(booked)) == ("paid", 2, 4)  # type: ignore[arg-type]
    assert {event.state for event in world.events()} == {"processed"}


def test_c07_old_news_under_new_ids_change_nothing(user: User, client: Client) -> None:
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    pay(client, page, world.DECLINED)
    pay(client, page)
    sent = outbox()
    deliver(client, sent)
    world.work()
    before = world.picture(invoice_id)
    for number, (_event_id, body) in enumerate(sent):
        raw = world.renamed(body, f"dev_again{number}")
        assert post(client, raw) == 200
    world.work()
    assert world.picture(invoice_id) == before


def test_c08_what_a_callback_says_is_never_believed(
    client: Client, paid: tuple[int, list[world.Sent]], user: User
) -> None:
    other = issue(user.id, "500.00", "big")
    page = open_page(client, other)
    lie = json.loads(paid[1][0][1])
    lie |= {"id": "dev_lie", "type": "payment.succeeded", "state": "succeeded", "amount": "500.00"}
    lie["data"]["objects"] = [{"object": "checkout", "id": page.rpartition("/")[2]}]
    assert post(client, json.dumps(lie).encode()) == 200
    world.work()
    assert state_of(other) == "open"
    assert world.events()[-1].state == "processed"


def test_c10_news_that_are_faster_than_our_own_commit_find_home(user: User, client: Client) -> None:
    """The answer of the provider was lost, so we never learned the id of its page."""
    invoice_id = issue(user.id)
    with transaction():
        want = checkouts.want_invoice(user.id, invoice_id)
        step = checkouts.prepare(user.id, "demo", want)
    order = paying._order(user, step, want, "/invoices", save_method=False)
    page = rail_named("demo").create(order)
    provider.pay(page.external_id, CARDS[0])
    deliver(client)
    assert world.work() == 2
    assert state_of(invoice_id) == "paid"
    assert {event.state for event in world.events()} == {"processed"}


def test_callbacks_of_long_ago_are_forgotten_unless_they_need_a_person(
    client: Client, paid: tuple[int, list[world.Sent]]
) -> None:
    for number in range(3):
        assert post(client, world.renamed(paid[1][0][1], f"dev_{number}")) == 200
    deliver(client, paid[1])
    world.work()
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    with transaction():
        first, second, third, *_rest = db.session.query(RailEvent).order_by(RailEvent.id)
        first.processed_at = second.processed_at = third.processed_at = long_ago
        second.state, third.state = "dead", "failed"
    jobs.prune_events()
    assert [event.external_id for event in world.events()][:2] == ["dev_1", "dev_2"]
    assert len(world.events()) == 2 + len(paid[1])


def test_c11_unknown_objects_and_other_tenants_are_ignored_with_a_reason(
    client: Client, paid: tuple[int, list[world.Sent]]
) -> None:
    known = json.loads(paid[1][0][1])
    foreign = provider.create_checkout(
        "foreign",
        {
            "reference": "somebody-else:7", "user": 1, "email": "x@example.org", "amount": "5",
            "currency": "USD", "customer": None, "save": False,
        },
    )  # fmt: skip
    for number, objects in enumerate(
        (
            [{"object": "payment", "id": "dpy_nobody"}],
            [{"object": "meteor", "id": "m_1"}],
            [{"object": "checkout", "id": foreign["id"]}],
        )
    ):
        body = known | {"id": f"dev_{number}", "type": "what.ever", "data": {"objects": objects}}
        assert post(client, json.dumps(body).encode()) == 200
    world.work()
    assert [(event.state, event.reason) for event in world.events()] == [
        ("ignored", "unknown_object"),
        ("ignored", "unknown_object"),
        ("ignored", "not_ours"),
    ]
    counts = client.get("/metrics", headers={"Accept": "text/plain"})
    assert counts.status_code == 404, "metrics are not for customers"


def test_c12_a_crash_in_the_middle_leaves_nothing_and_is_tried_again(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice_id, sent = paid
    deliver(client, sent)

    def explode(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(invoices, "move_to", explode)
        assert world.work() < len(sent)
    assert state_of(invoice_id) == "open"
    assert world.postings() == [] and world.payments() == []
    failed = [event for event in world.events() if event.state == "failed"]
    assert failed and all("ZeroDivisionError" in str(event.error) for event in failed)
    assert all(event.attempts == 1 and event.due_at > event.received_at for event in failed)
    assert world.work() == 0, "not before its pause is over"
    staff = make_user()
    with transaction():
        for event in failed:
            drain.replay(event.id, staff.id, "looked into it")
    world.work()
    assert state_of(invoice_id) == "paid"


def test_c12_what_fails_again_and_again_is_given_up_for_a_person(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(client, paid[1])
    monkeypatch.setattr(rail_named("demo"), "fetch", _unavailable)
    for _ in range(drain.MOST_TRIES):
        with transaction():
            for event in db.session.query(RailEvent):
                event.due_at = datetime(2020, 1, 1, tzinfo=UTC)
        world.work()
    assert {event.state for event in world.events()} == {"dead"}
    assert {event.reason for event in world.events()} == {"provider_silent"}


def kill(sent: list[world.Sent], client: Client) -> None:
    """Let callbacks come that are given up."""
    deliver(client, sent)
    with transaction():
        for event in db.session.query(RailEvent):
            event.state, event.attempts = "dead", drain.MOST_TRIES


def test_what_was_given_up_is_applied_by_itself_once_its_fault_is_repaired(
    client: Client, paid: tuple[int, list[world.Sent]]
) -> None:
    invoice_id, sent = paid
    kill(sent, client)
    assert world.work() == 0 and state_of(invoice_id) == "open"
    jobs.try_dead_events()
    world.work()
    assert state_of(invoice_id) == "paid"
    assert {event.state for event in world.events()} <= {"processed", "ignored"}
    jobs.try_dead_events()
    assert world.work() == 0


def test_what_was_given_up_has_one_try_a_time_and_not_for_ever(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(paid[1], client)
    monkeypatch.setattr(rail_named("demo"), "fetch", _unavailable)
    jobs.try_dead_events()
    world.work()
    found = {(event.state, event.attempts) for event in world.events()}
    assert found == {("dead", drain.MOST_TRIES)}
    monkeypatch.undo()
    with transaction():
        db.session.execute(update(RailEvent).values(received_at=utc_now() - timedelta(days=31)))
    jobs.try_dead_events()
    assert world.work() == 0


def _unavailable(_ref: Ref) -> object:
    raise Unavailable("provider_silent")


def test_a_bad_callback_does_not_hold_up_the_others_of_its_customer(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice_id, sent = paid
    bad = json.loads(sent[0][1]) | {"id": "dev_bad"}
    bad["data"] = {"objects": [{"object": "payment", "id": "dpy_bad"}]}
    assert post(client, json.dumps(bad).encode()) == 200
    deliver(client, sent)
    rail = rail_named("demo")
    fetch = rail.fetch

    def fail_for_bad(ref: Ref) -> object:
        return _unavailable(ref) if ref.id == "dpy_bad" else fetch(ref)

    monkeypatch.setattr(rail, "fetch", fail_for_bad)
    world.work()
    assert state_of(invoice_id) == "paid"
    assert [event.state for event in world.events()] == ["failed"] + ["processed"] * len(sent)


def test_one_object_is_fetched_once_for_all_callbacks_of_a_customer(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        assert post(client, world.renamed(paid[1][0][1], f"dev_{number}")) == 200
    deliver(client, paid[1])
    rail = rail_named("demo")
    fetch, asked = rail.fetch, []

    def count(ref: Ref) -> object:
        asked.append(ref)
        return fetch(ref)

    monkeypatch.setattr(rail, "fetch", count)
    assert world.work() == 10 + len(paid[1])
    assert len(asked) == len(set(asked)) == 2


def test_c15_test_mode_rests_in_production_and_thin_events_are_refused(
    client: Client, paid: tuple[int, list[world.Sent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.loads(paid[1][0][1])
    thin = body | {"object": "v2.core.event"}
    assert post(client, json.dumps(thin).encode()) == 400
    present = configuration.current_config()
    production = dataclasses.replace(present, environment="production")
    monkeypatch.setattr(configuration._Current, "config", production)
    raw = json.dumps(body | {"id": "dev_test", "livemode": False}).encode()
    with transaction():
        known = rail_named("demo").verify(signed(raw), raw, datetime.now(UTC))
        assert intake.insert(db.session.connection(), [intake.row_of("demo", known, raw)])
    monkeypatch.undo()
    assert [(event.state, event.reason) for event in world.events()] == [("ignored", "test_mode")]


@pytest.mark.parametrize(
    ("seconds", "groups", "callbacks", "rest"),
    [
        (2.0, 50, 50, 0.0), (0.4, 50, 200, 0.3), (0.02, 1, 5, 0.016), (9.0, 50, 10_000, 1.0),
        (0.5, 50, 20, 0.0), (0.5, 1, 0, 0.0),
    ],
)  # fmt: skip
def test_callbacks_gather_for_as_long_as_that_has_saved(
    seconds: float, groups: int, callbacks: int, rest: float
) -> None:
    assert drain.rest_after(seconds, groups, callbacks) == pytest.approx(rest)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"object":"event"}', b"1e999",
        b'{"object":"event","data":{"objects":[]}}',
    ],
)  # fmt: skip
def test_signed_nonsense_is_refused_without_a_row(client: Client, raw: bytes) -> None:
    assert post(client, raw) == 400
    assert world.events() == []


@pytest.mark.parametrize(
    "change",
    few([
        {"id": ""}, {"id": "x" * 101}, {"id": "\x00"}, {"id": 5}, {"type": None},
        {"created": "now"}, {"created": 10**30}, {"created": -(10**30)}, {"livemode": "yes"},
        {"group": []}, {"data": {"objects": [{"object": "payment", "id": {}}]}}, {"data": None},
    ], 3),
)  # fmt: skip
def test_signed_absurd_values_are_refused_without_a_row(
    client: Client, paid: tuple[int, list[world.Sent]], change: dict[str, object]
) -> None:
    raw = json.dumps(json.loads(paid[1][0][1]) | change).encode()
    assert post(client, raw) == 400
    assert world.events() == []


def test_a_body_that_is_too_big_is_refused(client: Client) -> None:
    assert post(client, b"x" * 300_000) == 413


def test_a_rail_that_is_not_set_up_has_no_door(client: Client) -> None:
    assert client.post("/webhooks/nobody", data=b"{}").status_code == 404
    assert client.get("/webhooks/demo").status_code == 405


def test_the_door_needs_no_session_and_looks_at_no_cookie(app: Flask, database: None) -> None:
    answer = new_client(app).post("/webhooks/demo", data=b"{}", headers={"Cookie": "session=x"})
    assert answer.status_code == 400


def test_refused_calls_of_one_address_end_as_too_many(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_routes._Refused, "minute", 0)
    monkeypatch.setattr(webhook_routes._Refused, "by_address", Counter())
    statuses = [post(client, b"{}", {}) for _ in range(70)]
    assert set(statuses) == {400, 429} and statuses[-1] == 429


def test_callbacks_of_a_rail_without_keys_wait_until_it_has_them_again(
    client: Client, paid: tuple[int, list[world.Sent]]
) -> None:
    invoice_id, sent = paid
    deliver(client, sent)
    here = dict(rails())
    use_rails({name: rail for name, rail in here.items() if name != "demo"})
    try:
        assert world.work() == 0
    finally:
        use_rails(here)
    assert {(one.state, one.reason) for one in world.events()} == {("failed", "rail_switched_off")}
    assert {one.attempts for one in world.events()} == {0}
    with transaction():
        db.session.execute(update(RailEvent).values(due_at=utc_now()))
    world.settle(client)
    assert state_of(invoice_id) == "paid"
    assert {one.state for one in world.events()} == {"processed"}
