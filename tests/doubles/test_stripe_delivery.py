"""The fake Stripe: its postman, and its face over HTTP."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from dev import processes
from tests.doubles.stripe import Control, FakeStripe, serve, signed
from tests.doubles.stripe.scenarios import START, Shop
from tests.doubles.stripe.server import StripeServer
from tests.doubles.stripe.values import Json

SECRETS = ["whsec_old", "whsec_new"]


class Box:
    """An endpoint that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Json] = []
        self.status = 200
        self._lock = threading.Lock()

    def __call__(self, body: bytes, headers: dict[str, str]) -> int:
        stripe.WebhookSignature.verify_header(
            body, headers["Stripe-Signature"], SECRETS[0], tolerance=300
        )
        with self._lock:
            self.got.append(json.loads(body))
        return self.status

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.got]


def shop_with(box: Box) -> Shop:
    shop = Shop()
    shop.fake.endpoint(box, SECRETS[:1])
    shop.subscribe()
    return shop


def test_events_come_signed_and_once() -> None:
    box = Box()
    shop = shop_with(box)
    done = shop.fake.deliver()
    assert box.got == shop.fake.events
    assert all(each.ok for each in done)
    assert shop.fake.deliver() == []


def test_a_refused_event_stays_pending_until_it_is_taken() -> None:
    box = Box()
    box.status = 500
    shop = shop_with(box)
    shop.fake.deliver()
    assert len(shop.fake.pump.pending()) == len(shop.fake.events)
    box.status = 200
    shop.fake.deliver_all()
    assert shop.fake.pump.pending() == []


def test_knobs_shuffle_duplicate_and_drop() -> None:
    box = Box()
    shop = shop_with(box)
    shop.fake.deliver(
        shuffle=7, duplicate=3, parallel=4, drop=lambda event: event["type"] == "invoice.paid"
    )
    counts = Counter(box.ids)
    assert set(counts.values()) == {3}
    assert box.ids != sorted(box.ids, key=[e["id"] for e in shop.fake.events].index)
    assert {event["type"] for event in shop.fake.events} - {e["type"] for e in box.got} == {
        "invoice.paid"
    }
    shop.fake.deliver()
    assert "invoice.paid" not in {event["type"] for event in box.got}
    shop.fake.deliver(retry_dropped=True)
    assert "invoice.paid" in {event["type"] for event in box.got}


def test_an_old_event_can_be_sent_again_under_another_id() -> None:
    box = Box()
    shop = shop_with(box)
    shop.fake.send({**shop.fake.events[0], "id": "evt_again"})
    assert box.ids == ["evt_again"]


def test_several_secrets_are_several_marks_of_one_second() -> None:
    raw, headers = signed({"a": "Ё"}, SECRETS, timestamp=int(time.time()))
    for secret in SECRETS:
        assert stripe.WebhookSignature.verify_header(
            raw, headers["Stripe-Signature"], secret, tolerance=300
        )
    assert headers["Stripe-Signature"].count("v1=") == 2
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(raw, headers["Stripe-Signature"], "whsec_x", 300)


def test_an_endpoint_made_over_the_api_gets_what_it_asked_for(server: StripeServer) -> None:
    client = over_http(server)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.webhook_endpoints.create({"url": server.url, "enabled_events": []})
    made = client.v1.webhook_endpoints.create(
        {"url": f"{server.url}/nowhere", "enabled_events": ["customer.created"]}
    )
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    client.v1.customers.create({"name": "a"})
    client.v1.products.create({"name": "a"})
    tried = server.fake.deliver()
    assert [(each.event["type"], each.status) for each in tried] == [("customer.created", 404)]
    client.v1.webhook_endpoints.delete(made.id)
    assert server.fake.deliver() == []


@pytest.mark.long
def test_it_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    ready = tmp_path / "address"
    command = [sys.executable, "-m", "tests.doubles.stripe", "--ready", str(ready), "--unchecked"]
    written = tmp_path / "written"
    with written.open("w") as output:
        process = subprocess.Popen(command, stdout=output)
    try:
        deadline = time.monotonic() + 60
        while not (url := written.read_text()).endswith("\n"):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert ready.read_text() == url.strip()
        assert Control(url.strip()).do("pending") == []
    finally:
        processes.stop(process, (signal.SIGTERM, signal.SIGKILL), 10)


def test_what_falls_due_happens_by_itself_where_the_clock_runs() -> None:
    fake = FakeStripe(live=True)
    served = serve(fake)
    try:
        session = sell(over_http(served))
        fake.account.objects[session.id]["expires_at"] = fake.now + 1
        deadline = time.monotonic() + 10
        while fake.get(session.id)["status"] == "open" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert fake.get(session.id)["status"] == "expired"
    finally:
        served.close()


@pytest.fixture
def server() -> Iterator[StripeServer]:
    served = serve(FakeStripe(now=START))
    yield served
    served.close()


def over_http(server: StripeServer) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_x", base_addresses={"api": server.url}, max_network_retries=0
    )


def sell(client: stripe.StripeClient, **more: object) -> stripe.checkout.Session:
    product = client.v1.products.create({"name": "Pro <b>"})
    customer = client.v1.customers.create({"email": "a@example.com"})
    price = {"currency": "usd", "unit_amount": 2_900, "product": product.id}
    sessions: Any = client.v1.checkout.sessions
    made: stripe.checkout.Session = sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [
                {"quantity": 1, "price_data": {**price, "recurring": {"interval": "month"}}}
            ],
            "success_url": "https://shop.example/done?s={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://shop.example/pricing",
            **more,
        }
    )
    return made


def test_the_library_talks_to_it_over_http_and_a_test_controls_it(server: StripeServer) -> None:
    client = over_http(server)
    session = sell(client)
    control = Control(server.url)
    control.do("settings", draft_seconds=0, tax_percent="20", retry_days=[1])
    done = control.do("pay", session=session.id, card="4242424242424242")
    assert done["status"] == "complete"
    now = control.do("advance", days=32)
    assert now == START + 32 * 86_400
    assert len(client.v1.charges.list().data) == 2
    control.do("fault", path="/v1/charges", lost=True)
    with pytest.raises(stripe.APIConnectionError):
        client.v1.charges.list()
    assert client.v1.subscriptions.cancel(done["subscription"]).status == "canceled"
    assert {call["method"] for call in control.do("calls")} == {"GET", "POST", "DELETE"}


def test_a_mistake_of_the_fake_is_told_over_http_too(server: StripeServer) -> None:
    made = over_http(server).v1.customers.create({"name": "a"})
    del server.fake.account.objects[made.id]["object"]
    with pytest.raises(stripe.APIError, match="KeyError"):
        over_http(server).v1.customers.retrieve(made.id)


def test_a_customer_pays_at_the_page(server: StripeServer) -> None:
    session = sell(over_http(server))
    url = str(session.url)
    assert url.startswith(server.url)
    page = requests.get(url, timeout=5).text
    assert "Pro &lt;b&gt;" in page
    assert "29.00 USD" in page

    page = requests.post(url, {"card": "4000 0000 0000 0002"}, timeout=5).text
    assert "Your card was declined." in page

    asked = requests.post(url, {"card": "4000000000003220"}, timeout=5, allow_redirects=False)
    secure = server.url + asked.headers["Location"]
    assert "3-D Secure" in requests.get(secure, timeout=5).text
    assert "unable to authenticate" in requests.post(secure, {"ok": "0"}, timeout=5).text

    done = requests.post(url, {"card": "4242424242424242"}, timeout=5, allow_redirects=False)
    assert done.headers["Location"] == f"https://shop.example/done?s={session.id}"
    assert "closed" in requests.get(url, timeout=5).text


def test_a_customer_pays_an_invoice_and_uses_the_portal(server: StripeServer) -> None:
    client = over_http(server)
    fake = server.fake
    fake.settings.draft_seconds = 0
    done = fake.checkout.pay(sell(client).id, "4000002760003184")
    fake.advance(days=31)
    invoice = fake.latest("invoice")
    assert fake.get(done["subscription"])["status"] == "past_due"
    url = invoice["hosted_invoice_url"]
    assert "open" in requests.get(url, timeout=5).text
    asked = requests.post(url, {"card": "4000002760003184"}, timeout=5, allow_redirects=False)
    back = requests.post(server.url + asked.headers["Location"], {"ok": "1"}, timeout=5)
    assert "paid" in back.text
    assert fake.get(done["subscription"])["status"] == "active"

    portal = client.v1.billing_portal.sessions.create({"customer": str(done["customer"])})
    page = requests.post(
        portal.url, {"do": "cancel", "subscription": done["subscription"]}, timeout=5
    ).text
    assert "Don&#x27;t cancel" in page or "Don't cancel" in page
    assert fake.get(done["subscription"])["cancel_at_period_end"] is True
    page = requests.post(portal.url, {"do": "card", "card": "4000000000000002"}, timeout=5).text
    assert "declined" in page
    requests.post(portal.url, {"do": "card", "card": "4242424242424242"}, timeout=5)
    requests.post(portal.url, {"do": "undo", "subscription": done["subscription"]}, timeout=5)
    product = fake.latest("product")["id"]
    dearer = client.v1.prices.create(
        {
            "product": product,
            "currency": "usd",
            "unit_amount": 9_900,
            "recurring": {"interval": "month"},
        }
    )
    form = {"do": "plan", "subscription": done["subscription"], "price": dearer.id}
    requests.post(portal.url, form, timeout=5)
    row = fake.get(done["subscription"])
    assert row["cancel_at_period_end"] is False
    assert row["items"]["data"][0]["price"]["id"] == dearer.id
    assert fake.latest("charge")["payment_method_details"]["card"]["last4"] == "4242"
    assert requests.get(server.url + "/nowhere", timeout=5).status_code == 404


def test_events_are_delivered_by_itself_until_they_are_taken(server: StripeServer) -> None:
    box = Box()
    box.status = 503
    server.fake.endpoint(box, SECRETS[:1])
    server.fake.pump.start(first_wait_s=0.05)
    over_http(server).v1.customers.create({"name": "a"})
    deadline = time.monotonic() + 10
    while len(box.got) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    box.status = 200
    while server.fake.pump.pending() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.fake.pump.pending() == []
    assert len(set(box.ids)) == 1
