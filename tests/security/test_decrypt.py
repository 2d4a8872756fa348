"""Exchange keys are opened where the exchange is asked, and by no page besides."""

from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.ciphers import aead
from flask import Flask

from app import encryption
from app.accounts.keys import seal_for
from app.accounts.models import Role, User
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.transactions import transaction
from tests.client import Client
from tests.factories import make_user
from tests.security.tenants import Owner, address, make_owner, methods, rules

Login = Callable[[User], Client]

# Each asks the exchange for something while a person waits for the answer.
ASKS_THE_EXCHANGE = {
    "exchanges.balances": "what the account holds, as the exchange says now",
    "exchanges.recheck": "the check of the key",
    "bots.create": "how much money is free for the new bot",
    "bots.form": "how much money is free for the new bot",
    "bots.preview": "how much money is free for the new bot",
    "bots.past": "how much money is free for the new bot",
    "bots.edit": "how much money is free for the bot",
    "bots.change": "how much money is free for the bot",
    "bots.money": "how much money is free for the bot",
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect what is opened: table, column, row and owner."""
    seen: list[str] = []

    real = aead.AESGCM

    class Spy:
        def __init__(self, key: bytes) -> None:
            self._cipher = real(key)

        def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
            return self._cipher.encrypt(nonce, data, bound)

        def decrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
            seen.append(bound.decode())
            return self._cipher.decrypt(nonce, data, bound)

    monkeypatch.setattr(encryption, "AESGCM", Spy)
    yield seen


@pytest.fixture
def live_owner(database: None) -> Owner:
    """Return a person whose account has real keys, so to say."""
    owner = make_owner()
    with transaction():
        account = db.session.get_one(ExchangeAccount, owner.shop.account_id)
        account.mode, account.exchange = "live", "bybit"
        for column in ("sealed_key", "sealed_secret"):
            sealed = seal_for(
                owner.user_id,
                b"planted-key",
                table="exchange_accounts",
                column=column,
                row=account.id,
            )
            setattr(account, column, sealed)
    return owner


def test_no_page_opens_an_exchange_key_but_those_that_ask_the_exchange(
    app: Flask, live_owner: Owner, login_as: Login, opened: list[str]
) -> None:
    customer = login_as(db.session.get_one(User, live_owner.user_id))
    staff = login_as(make_user(Role.ADMIN))
    found: set[str] = set()
    for desk, client in ((False, customer), (True, staff)):
        for rule in rules(app, desk=desk):
            if rule.endpoint in {"pages.events", "accounts.logout"}:
                continue
            for method in methods(rule):
                opened.clear()
                data = {"csrf_token": client.csrf_token()} if method == "POST" else None
                query = {"account": live_owner.shop.account_id, "id": live_owner.ids["bot_id"]}
                answer = client.open(
                    address(rule, live_owner.ids),
                    method=method,
                    data=data,
                    query_string=query,
                    buffered=True,
                )
                assert "planted-key" not in answer.text, rule.rule
                if any(place.startswith("exchange_accounts|") for place in opened):
                    found.add(rule.endpoint)
    assert found <= set(ASKS_THE_EXCHANGE), found - set(ASKS_THE_EXCHANGE)
    # The spy sees what is opened.
    assert "exchanges.balances" in found
