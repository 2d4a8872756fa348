"""Whether Stripe sends us all callbacks that we need: the command, the nightly job, the page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.accounts.models import Role, User
from app.adapters.payments.stripe.endpoints import EVENTS
from app.payments.books import jobs
from app.payments.books.endpoints import address_of
from tests.client import Client
from tests.doubles.stripe import FakeStripe
from tests.factories import make_user

Login = Callable[[User], Client]
DOCS = Path(__file__).resolve().parents[3] / "docs" / "billing.md"


def sends(fake: FakeStripe, *events: str, url: str = "") -> str:
    v1: Any = fake.client().v1
    params = {"url": url or address_of("stripe"), "enabled_events": list(events)}
    return str(v1.webhook_endpoints.create(params).id)


def check(app: Flask) -> tuple[int, str]:
    answer = app.test_cli_runner().invoke(args=["stripe", "check"])
    return answer.exit_code, answer.output


def test_the_command_names_each_event_that_is_not_sent(app: Flask, fake: FakeStripe) -> None:
    sends(fake, "*", url="https://elsewhere.example/webhooks/stripe")
    code, told = check(app)
    assert code == 1 and "switched on" in told
    lacking = {"charge.updated", "refund.failed"}
    sends(fake, *(event for event in EVENTS if event not in lacking))
    code, told = check(app)
    assert code == 1
    assert {line for line in told.splitlines() if line.startswith("missing ")} == {
        f"missing {event}" for event in lacking
    }
    sends(fake, *lacking)
    assert check(app)[0] == 0, "two endpoints for one address count together"


def test_the_page_of_services_says_what_was_found_at_night(
    app: Flask, fake: FakeStripe, login_as: Login, caplog: pytest.LogCaptureFixture
) -> None:
    staff = login_as(make_user(Role.ADMIN))
    assert "callbacks to our address" not in staff.get("/admin/health/").text
    jobs.check_endpoints()
    assert "sends no callbacks to our address" in staff.get("/admin/health/").text
    sends(fake, *(event for event in EVENTS if event != "charge.updated"))
    jobs.check_endpoints()
    assert "does not send these callbacks: charge.updated" in staff.get("/admin/health/").text
    assert "callbacks_missing rail=stripe types=charge.updated" in caplog.text
    sends(fake, "*")
    jobs.check_endpoints()
    assert "sends all callbacks that are needed" in staff.get("/admin/health/").text


def test_the_manual_names_the_same_events() -> None:
    """Each group of the list begins with a whole name, of which others tell the last word."""
    _, _, rest = DOCS.read_text().partition("\nEvents: ")
    listed, about = set(), ""
    for word in re.findall(r"`([a-z_.]+)`", rest.partition("More do no harm")[0]):
        if not word.startswith("."):
            about = word.rpartition(".")[0]
        listed.add(f"{about}.{word.rpartition('.')[2]}")
    assert listed == set(EVENTS)
