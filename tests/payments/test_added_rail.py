"""A way to pay of somebody else: its class and its path are all that is needed."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlparse

import pytest
from flask import Flask
from sqlalchemy import select

from app import create_app
from app.accounts.models import Role, User
from app.adapters.payments import rail_named, rails, use_rails
from app.config import current_config, load_config, use_config
from app.db import db
from app.errors import ConfigError
from app.payments import jobs
from app.payments.added import added_rails
from app.payments.models import Refund
from app.settings import rules
from app.settings import texts as settings_texts
from app.wallet import check
from app.wallet.texts import RAIL_LABELS
from tests.client import Client
from tests.doubles.acme import AcmeRail
from tests.factories import make_user
from tests.payments.world import issue, payments, state_of, work

Login = Callable[[User], Client]
PATH = "tests.doubles.acme:AcmeRail"


@pytest.fixture
def acme(
    environment: dict[str, str], database: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AcmeRail]:
    """Start a product that has the rail; afterwards nobody knows it any more."""
    before, here = current_config(), dict(rails())
    for known in (
        RAIL_LABELS, rules.RAIL_SWITCHES, rules.SETTINGS, settings_texts.NAMES,
        settings_texts.HELPS,
    ):  # fmt: skip
        for name in ("acme", "rail_acme"):
            # Noted before it is there, it goes away with the test.
            monkeypatch.setitem(known, name, None)
            known.pop(name)
    try:
        made = create_app(load_config({**environment, "PAYMENT_RAILS": PATH}))
        with made.app_context():
            db.engine.dispose()
        rail = rail_named("acme")
        assert isinstance(rail, AcmeRail)
        yield rail
    finally:
        use_config(before)
        use_rails(here)


def test_staff_turn_it_on_and_people_pay_and_get_their_money_back(
    app: Flask, acme: AcmeRail, login_as: Login
) -> None:
    staff, user = login_as(make_user(Role.MANAGER)), make_user()
    client = login_as(user)
    invoice_id = issue(user.id)
    page = f"/invoices/{invoice_id}"
    assert "Acme Pay" not in client.get(page).text, "staff have not chosen it yet"
    refused = client.post_form(f"{page}/pay", {"rail": "acme"})
    assert "pay.acme.example" not in refused.headers.get("Location", "")

    assert "Let people pay by Acme Pay" in staff.get("/admin/settings/").text
    staff.post_form("/admin/settings/change", {"name": "rail_acme", "value": "1"})
    assert "Acme Pay" in client.get(page).text
    sent_to = urlparse(client.post_form(f"{page}/pay", {"rail": "acme"}).location)
    assert sent_to.hostname == "pay.acme.example"

    raw, headers = acme.hands_over(sent_to.path.strip("/"))
    assert client.post("/webhooks/acme", data=raw, headers={}).status_code == 400
    for _ in range(2):
        assert client.post("/webhooks/acme", data=raw, headers=headers).status_code == 200
    assert work() == 1
    assert state_of(invoice_id) == "paid"
    assert "Acme Pay" in client.get(page).text and "Acme 77" in client.get(page).text

    (payment,) = payments()
    ask = f"/admin/payments/refund?id={payment.id}"
    (key,) = re.findall(r'name="key"[^>]*value="([^"]*)"', staff.get(ask).text)
    form = {"amount": "9.00", "target": "rail", "reason": "was not what they meant", "key": key}
    assert staff.post_form(ask, form).status_code in {302, 303}
    jobs.send_refund(db.session.scalars(select(Refund.id)).one())
    db.session.rollback()
    assert "Partly refunded" in client.get(page).text
    assert "Acme Pay" in staff.get(f"/admin/invoices/page?id={invoice_id}").text
    assert check.verify().is_whole


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("tests.doubles.nobody:Rail", "No module named"),
        ("tests.doubles.acme:Nobody", "Nobody"),
        ("tests.doubles.acme", "has no attribute"),
        ("tests.doubles.acme:Halfway", "it lacks charge, close, create, fetch, hosts, refund"),
        ("tests.doubles.acme:Misnamed", "its name must be"),
        ("tests.doubles.acme:Usurper", "the name wallet is taken"),
    ],
)
def test_the_start_says_what_is_wrong_with_it(path: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        added_rails([path])
    assert caught.value.field == "PAYMENT_RAILS"
    assert told in str(caught.value)
