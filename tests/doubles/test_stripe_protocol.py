"""The fake Stripe: keys, errors, faults, lists and events, seen through the real library."""

import pytest
import stripe

from tests.doubles.stripe import FakeStripe, Fault
from tests.doubles.stripe.clock import DAY
from tests.doubles.stripe.scenarios import START, Shop


@pytest.fixture
def fake() -> FakeStripe:
    return FakeStripe(now=START)


def names(rows: stripe.ListObject[stripe.Customer]) -> list[str]:
    return [str(row.name) for row in rows.data]


def test_the_pinned_version_is_sent(fake: FakeStripe) -> None:
    fake.client().v1.customers.create({"name": "a"})
    assert fake.calls[0].version == "2026-10-28.endive"
    assert fake.events[0]["api_version"] == "2026-10-28.endive"


def test_a_repeated_key_gives_the_same_answer_for_a_day(fake: FakeStripe) -> None:
    customers = fake.client().v1.customers
    first = customers.create({"name": "a"}, {"idempotency_key": "row-1"})
    again = customers.create({"name": "a"}, {"idempotency_key": "row-1"})
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert again.last_response.request_id
    assert len(fake.every("customer")) == 1
    with pytest.raises(stripe.IdempotencyError):
        customers.create({"name": "b"}, {"idempotency_key": "row-1"})
    fake.advance(days=1, seconds=1)
    assert customers.create({"name": "a"}, {"idempotency_key": "row-1"}).id != first.id
    assert fake.events[0]["request"]["idempotency_key"] == "row-1"


def test_a_refusal_of_a_bad_request_is_not_kept_for_its_key(fake: FakeStripe) -> None:
    coupons = fake.client().v1.coupons
    with pytest.raises(stripe.InvalidRequestError):
        coupons.create({"duration": "once"}, {"idempotency_key": "k"})
    assert coupons.create({"percent_off": 5}, {"idempotency_key": "k"}).valid


def test_what_was_done_before_the_connection_broke_is_found_by_its_key(fake: FakeStripe) -> None:
    customers = fake.client().v1.customers
    fake.faults.add(Fault("/v1/customers", lost=True, acted=True))
    with pytest.raises(stripe.APIConnectionError):
        customers.create({"name": "a"}, {"idempotency_key": "k"})
    (made,) = fake.every("customer")
    assert customers.create({"name": "a"}, {"idempotency_key": "k"}).id == made["id"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, stripe.RateLimitError), (500, stripe.APIError), (503, stripe.APIError)],
)
def test_faults_are_errors_of_the_library(
    fake: FakeStripe, status: int, error: type[Exception]
) -> None:
    fake.faults.add(Fault("/v1/customers", status=status))
    with pytest.raises(error):
        fake.client().v1.customers.create({"name": "a"})
    assert not fake.every("customer")
    assert fake.client().v1.customers.create({"name": "a"}).id


def test_a_stored_500_is_answered_again(fake: FakeStripe) -> None:
    customers = fake.client().v1.customers
    fake.faults.add(Fault("/v1/customers", status=500))
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            customers.create({"name": "a"}, {"idempotency_key": "k"})
    assert customers.create({"name": "a"}, {"idempotency_key": "other"}).id


def test_the_library_tries_again_by_itself(
    fake: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe.HTTPClient, "_sleep_time_seconds", lambda *_: 0.0)
    client = stripe.StripeClient("sk_x", http_client=fake.http_client, max_network_retries=2)
    fake.faults.add(Fault("/v1/customers", status=503, lost=True, acted=True))
    client.v1.customers.create({"name": "a"})
    assert len(fake.every("customer")) == 1
    assert len({call.idempotency_key for call in fake.calls}) == 1


def test_another_key_is_not_let_in(fake: FakeStripe) -> None:
    fake.settings.api_key = "sk_live_right"
    with pytest.raises(stripe.AuthenticationError):
        fake.client("sk_live_wrong").v1.customers.list()
    assert fake.client("sk_live_right").v1.customers.list().data == []


def test_what_is_not_there_is_told_as_stripe_does(fake: FakeStripe) -> None:
    with pytest.raises(stripe.InvalidRequestError) as told:
        fake.client().v1.subscriptions.retrieve("sub_nothing")
    assert (told.value.http_status, told.value.code, told.value.param) == (
        404, "resource_missing", "id",
    )  # fmt: skip
    with pytest.raises(stripe.InvalidRequestError) as told:
        fake.client().v1.subscriptions.create({"customer": "cus_nobody", "items": []})
    assert told.value.http_status == 400


def test_a_request_that_fails_changes_nothing() -> None:
    shop = Shop()
    name = shop.subscribe()
    before, events = shop.fake.get(name), len(shop.fake.events)
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.subscriptions.update(
            name, {"metadata": {"a": "b"}, "items": [{"id": "si_wrong", "quantity": 2}]}
        )
    assert shop.fake.get(name) == before
    assert len(shop.fake.events) == events


def test_pages_go_both_ways(fake: FakeStripe) -> None:
    customers = fake.client().v1.customers
    made = [customers.create({"name": str(number)}).id for number in range(5)]
    page = customers.list({"limit": 2})
    assert (names(page), page.has_more) == (["4", "3"], True)
    page = customers.list({"limit": 2, "starting_after": page.data[-1].id})
    assert names(page) == ["2", "1"]
    page = customers.list({"limit": 2, "ending_before": made[0]})
    assert (names(page), page.has_more) == (["2", "1"], True)
    assert len(list(customers.list({"limit": 2}).auto_paging_iter())) == 5
    with pytest.raises(stripe.InvalidRequestError):
        customers.list({"limit": 101})


def test_events_are_listed_by_type_time_and_delivery(fake: FakeStripe) -> None:
    client = fake.client()
    for number in range(4):
        client.v1.customers.create({"name": str(number)})
        client.v1.products.create({"name": str(number)})
        fake.advance(days=1)
    fake.endpoint(lambda body, headers: 200, ["whsec_a"])
    fake.deliver(drop=lambda event: event["data"]["object"]["name"] == "2")

    events = client.v1.events
    lost = events.list({"delivery_success": False})
    assert [event.type for event in lost.data] == ["product.created", "customer.created"]
    assert lost.data[0].pending_webhooks == 1
    told = events.list({"types": ["customer.created"], "limit": 100})
    assert len(told.data) == 4
    since = events.list({"created": {"gte": START + DAY, "lt": START + 3 * DAY}})
    assert len(since.data) == 4
    newer = events.list({"ending_before": told.data[2].id, "types": ["customer.created"]})
    assert [event.id for event in newer.data] == [event.id for event in told.data[:2]]
    fake.advance(days=28)
    assert len(events.list({"types": ["customer.created"]}).data) == 2
    with pytest.raises(stripe.InvalidRequestError):
        events.retrieve(fake.events[0]["id"])


def test_an_event_keeps_the_shape_it_was_made_in(fake: FakeStripe) -> None:
    made = fake.client().v1.customers.create({"name": "before"})
    fake.settings.api_version = "2020-08-27"
    fake.client().v1.customers.update(made.id, {"name": "after"})
    first, second = fake.events
    assert first["data"]["object"]["name"] == "before"
    assert (first["api_version"], second["api_version"]) == ("2026-10-28.endive", "2020-08-27")
    assert second["data"]["previous_attributes"] == {"name": "before"}


def test_metadata_changes_key_by_key(fake: FakeStripe) -> None:
    customers = fake.client().v1.customers
    made = customers.create({"metadata": {"a": "1", "b": "2"}})
    row = customers.update(made.id, {"metadata": {"b": "", "c": "3"}})
    assert row.metadata is not None
    assert row.metadata.to_dict() == {"a": "1", "c": "3"}


def test_nothing_else_can_be_expanded(fake: FakeStripe) -> None:
    made = fake.client().v1.customers.create({"name": "a"})
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        fake.client().v1.customers.retrieve(made.id, {"expand": ["friends"]})


def test_the_same_seed_makes_the_same_ids() -> None:
    first, second = (FakeStripe(now=START, seed=3) for _ in range(2))
    assert (
        first.client().v1.customers.create({"name": "a"}).id
        == second.client().v1.customers.create({"name": "a"}).id
    )
