"""The fake Stripe: the contract of its answers, and sequences of events, recorded and own."""

import copy
import json
from collections.abc import Callable

import pytest
import stripe

from tests.doubles.stripe import ContractBroken, FakeStripe, contract
from tests.doubles.stripe.departures import ASKED, DEPARTURES, NEWER
from tests.doubles.stripe.scenarios import SCENARIOS, Scenario, record
from tests.doubles.stripe.sequences import KINDS, EventSequence, SequenceStripe, shared_sequences
from tests.doubles.stripe.values import Json
from tests.long import few

SECRETS = ["whsec_a"]
by_name = pytest.mark.parametrize("scenario", few(SCENARIOS, 3), ids=lambda row: row.name)


def ends_as_told(sequence: EventSequence) -> None:
    """Check what a sequence expects against the objects it ends with."""
    final, expect = sequence.final, sequence.expect
    paid = sum(row["amount"] for row in final["charges"] if row["status"] == "succeeded")
    refunded = sum(row["amount_refunded"] for row in final["charges"])
    states = {row["status"] for row in final["subscriptions"]}
    if "ledger_paid_cents" in expect:
        assert paid == expect["ledger_paid_cents"]
    if "ledger_refunded_cents" in expect:
        assert refunded == expect["ledger_refunded_cents"]
    if "status" in expect:
        assert expect["status"] in states
    if expect.get("access") is True:
        # Who has subscribed again has an older one that is over.
        assert "active" in states and states <= {"active", "canceled"}
    if expect.get("access") is False:
        assert not states & {"active", "trialing"}


@by_name
def test_own_sequences_end_as_they_are_told(scenario: Scenario) -> None:
    sequence = record(scenario)
    assert sequence.events
    ends_as_told(sequence)


@pytest.mark.shared
def test_recorded_sequences_end_as_they_are_told() -> None:
    files = shared_sequences()
    assert len(files) >= 19
    for path in files:
        ends_as_told(EventSequence.read(path))


@pytest.mark.shared
def test_every_object_of_the_recordings_has_the_shape_of_its_kind() -> None:
    for path in shared_sequences():
        sequence = EventSequence.read(path)
        for event in sequence.events:
            contract.Contract().check_event(event)
        for kind in KINDS:
            for thing in sequence.final[kind]:
                contract.check_object(thing)
        contract.check_object(sequence.final["customer"])


@pytest.mark.shared
@by_name
def test_every_object_of_our_own_has_the_shape_of_its_kind(scenario: Scenario) -> None:
    # Its events were checked when they were made.
    sequence = record(scenario)
    for thing in [*sequence.others, sequence.final["customer"]]:
        contract.check_object(thing)


# Where our own leave the recordings, which say of themselves that Stripe does otherwise.
OTHERWISE = {
    "11-upgrade-declined-pending-update",
    "15-cancel-now-prorated",
    "24-month-to-year",
}


def outline(sequence: EventSequence) -> list[object]:
    """Return what a sequence ends with, without ids and times."""
    final = sequence.final
    told: list[object] = [row["status"] for row in final["subscriptions"]]
    told += sorted(
        (row["status"], row["billing_reason"], row["subtotal"], row["total"], row["amount_paid"])
        for row in final["invoices"]
    )
    return told + sorted(row["amount"] for row in final["charges"] if row["paid"])


@pytest.mark.shared
def test_our_own_sequences_end_like_the_recorded_ones() -> None:
    own = {scenario.name: scenario for scenario in SCENARIOS}
    unlike, compared = set(), 0
    for path in shared_sequences():
        recorded = EventSequence.read(path)
        if recorded.name not in own:
            continue
        compared += 1
        ours = record(own[recorded.name])
        lacks = {e["type"] for e in recorded.events} - {e["type"] for e in ours.events}
        if outline(ours) != outline(recorded) or lacks:
            unlike.add(recorded.name)
    assert unlike == OTHERWISE
    assert compared >= 19


@pytest.mark.shared
def test_departures_have_names_of_their_own_and_are_departures() -> None:
    names = [row.name for row in (*DEPARTURES, *NEWER, *ASKED)]
    assert len(names) == len(set(names))
    spec = contract.specification()
    assert spec is not None
    schemas = spec["components"]["schemas"]
    for row in NEWER:
        assert row.field not in schemas[row.schema]["properties"]
    operations = {
        operation["operationId"]: operation
        for methods in spec["paths"].values()
        for operation in methods.values()
    }
    for asked in ASKED:
        body = operations[asked.operation]["requestBody"]["content"][contract.FORM]["schema"]
        known = body["properties"].get(asked.param)
        # What is taken was not known, or had another shape; what is gone was known.
        assert (known is None or known["type"] != "object") if asked.taken else known


def break_field(thing: Json) -> None:
    thing["status"] = "nearly active"


def old_field(thing: Json) -> None:
    thing["current_period_end"] = 1


def lost_field(thing: Json) -> None:
    del thing["items"]


@pytest.mark.shared
@pytest.mark.parametrize("spoil", [break_field, old_field, lost_field])
def test_the_contract_finds_what_is_wrong(spoil: Callable[[Json], None]) -> None:
    thing = copy.deepcopy(record(SCENARIOS[0]).final["subscriptions"][0])
    contract.check_object(thing)
    spoil(thing)
    with pytest.raises(ContractBroken):
        contract.check_object(thing)


@pytest.mark.shared
def test_a_parameter_that_stripe_does_not_know_is_refused() -> None:
    fake = FakeStripe()
    with pytest.raises(stripe.InvalidRequestError) as told:
        fake.client().v1.customers.create({"nickname": "a"})  # type: ignore[arg-type]
    assert told.value.code == "parameter_unknown"
    assert fake.contract is not None
    assert fake.contract.broken
    with pytest.raises(stripe.InvalidRequestError):
        fake.client().v1.checkout.sessions.create(
            {"mode": "payment", "payment_method_types": ["card"]}  # type: ignore[arg-type]
        )


def test_without_the_specification_it_works_all_the_same() -> None:
    fake = FakeStripe(validate=False)
    assert fake.contract is None
    assert fake.client().v1.customers.create({"name": "a"}).name == "a"


def refetched(sequence: EventSequence) -> None:
    """Check that a face answers what a sequence ends with."""
    face = SequenceStripe(sequence)
    v1 = face.client().v1
    for row in sequence.final["subscriptions"]:
        told = v1.subscriptions.retrieve(
            row["id"], {"expand": ["latest_invoice", "items.data.price.product"]}
        )
        assert (told.status, told.customer) == (row["status"], row["customer"])
    for row in sequence.final["invoices"]:
        invoice = v1.invoices.retrieve(row["id"], {"expand": ["payments"]})
        assert invoice.amount_paid == row["amount_paid"]
        assert invoice.payments is not None
        off = row["amount_paid_off_stripe"] or not sequence.final["charges"]
        paid = [each for each in invoice.payments.data if each.status == "paid"]
        assert len(paid) == int(row["amount_paid"] > 0 and not off)
    for row in sequence.final["charges"]:
        assert v1.charges.retrieve(row["id"]).amount_refunded == row["amount_refunded"]
    for row in sequence.final["disputes"]:
        assert v1.disputes.retrieve(row["id"]).status == row["status"]
    events = list(v1.events.list({"limit": 100}).auto_paging_iter())
    assert {event.id for event in events} == {event["id"] for event in sequence.events}


@by_name
def test_a_face_answers_what_our_own_sequence_ends_with(scenario: Scenario) -> None:
    refetched(record(scenario))


@pytest.mark.shared
def test_a_face_answers_what_a_recording_ends_with() -> None:
    for path in shared_sequences():
        refetched(EventSequence.read(path))


def test_what_was_not_delivered_is_what_a_back_fill_finds() -> None:
    sequence = record(SCENARIOS[1])
    face = SequenceStripe(sequence)
    kept = sequence.deliveries(SECRETS, drop={2, 5, 7})
    face.delivered(json.loads(raw)["id"] for raw, _ in kept)
    lost = face.client().v1.events.list({"delivery_success": False, "limit": 100})
    assert {event.id for event in lost.data} == {
        sequence.events[number]["id"] for number in (2, 5, 7)
    }


def test_deliveries_are_signed_shuffled_and_duplicated() -> None:
    sequence = record(SCENARIOS[0])
    work = sequence.deliveries(SECRETS, shuffle=5, duplicate=2)
    assert len(work) == 2 * len(sequence.events)
    told = [json.loads(raw)["id"] for raw, _ in work]
    assert sorted(told) == sorted(2 * [event["id"] for event in sequence.events])
    assert told != sorted(told, key=[event["id"] for event in sequence.events].index)
    for raw, headers in work:
        assert stripe.WebhookSignature.verify_header(
            raw, headers["Stripe-Signature"], SECRETS[0], tolerance=300
        )
    assert (
        sequence.deliveries(SECRETS, shuffle=5)[0][0]
        == sequence.deliveries(SECRETS, shuffle=5)[0][0]
    )


def test_a_sequence_is_adapted_and_made_afresh() -> None:
    sequence = record(SCENARIOS[0])
    price = sequence.final["subscriptions"][0]["items"]["data"][0]["price"]["id"]
    told = sequence.adapted({"app": "ours", "user_id": "12"}, {price: "price_ours"})
    row = told.final["subscriptions"][0]
    assert row["metadata"] == {"app": "ours", "user_id": "12"}
    assert row["items"]["data"][0]["price"]["id"] == "price_ours"
    fresh = told.fresh(1)
    assert fresh.final["subscriptions"][0]["id"] != row["id"]
    assert fresh.final["subscriptions"][0]["items"]["data"][0]["price"]["id"] == "price_ours"
    assert not {e["id"] for e in fresh.events} & {e["id"] for e in told.events}
    refetched(fresh)


def test_a_sequence_is_moved_in_time_as_a_whole() -> None:
    sequence = record(SCENARIOS[1])
    now = 1_900_000_000
    told = sequence.moved(now)
    assert max(event["created"] for event in told.events) == now
    by = now - max(event["created"] for event in sequence.events)
    before, after = (s.final["subscriptions"][0]["items"]["data"][0] for s in (sequence, told))
    assert after["current_period_end"] == before["current_period_end"] + by
    assert after["price"]["unit_amount"] == before["price"]["unit_amount"]
    refetched(told)


def test_a_face_tells_what_a_session_sold() -> None:
    sequence = record(SCENARIOS[0])
    (session,) = (thing for thing in sequence.others if thing["object"] == "checkout.session")
    row = (
        SequenceStripe(sequence)
        .client()
        .v1.checkout.sessions.retrieve(session["id"], {"expand": ["line_items", "subscription"]})
    )
    assert row.line_items is not None
    assert [line.quantity for line in row.line_items.data] == [1]


def test_stale_events_come_under_ids_never_seen() -> None:
    sequence = record(SCENARIOS[2])
    stale = sequence.stale(1, {"invoice.payment_failed"})
    assert stale
    assert not {event["id"] for event in stale} & {event["id"] for event in sequence.events}
