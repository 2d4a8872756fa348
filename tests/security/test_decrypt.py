"""Exchange keys are opened by workers and by the check of a key, and by no page besides."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import pytest
from cryptography.hazmat.primitives.ciphers import aead
from flask import Flask
from sqlalchemy import text

from app import encryption
from app.accounts.keys import seal_for
from app.accounts.models import Role, User
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.transactions import transaction
from tests.answering import answering
from tests.client import Client
from tests.factories import make_user
from tests.long import few
from tests.security.tenants import Owner, address, make_owner, methods, rules

Login = Callable[[User], Client]
Opened = dict[int, list[str]]

# What a request may open besides: each person's data key (which seals and opens), the secret of an
# authenticator while its owner proves who they are, and what owners typed about themselves, shown
# to themselves.
OWN_DATA = frozenset({"owner_keys", "second_factors", "profiles"})
KEY_CHECK = "exchanges.recheck"
ABOUT_KEYS = ("exchanges.", "bots.", "admin_unresolved.")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Collect what is opened, by thread: table, column, row and owner."""
    seen: Opened = defaultdict(list)
    real = aead.AESGCM

    class Spy:
        def __init__(self, key: bytes) -> None:
            self._cipher = real(key)

        def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
            return self._cipher.encrypt(nonce, data, bound)

        def decrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
            seen[threading.get_ident()].append(bound.decode())
            return self._cipher.decrypt(nonce, data, bound)

    monkeypatch.setattr(encryption, "AESGCM", Spy)
    yield seen


class Planted:
    """A person whose account has real keys, so to say; put back as it was before each request."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.sealed = {
            column: seal_for(
                owner.user_id,
                b"planted-key",
                table="exchange_accounts",
                column=column,
                row=owner.shop.account_id,
            )
            for column in ("sealed_key", "sealed_secret")
        }
        db.session.commit()

    def restore(self, state: str) -> None:
        """Undo what a route did to the account and its bot."""
        with transaction():
            account = db.session.get_one(ExchangeAccount, self.owner.shop.account_id)
            account.mode, account.exchange, account.deleted_at = "live", "bybit", None
            account.active = True
            account.sealed_key = self.sealed["sealed_key"]
            account.sealed_secret = self.sealed["sealed_secret"]
            db.session.execute(
                text(
                    "update bots set deleted_at = null, state = :state, stop_request = null,"
                    " mode = 'live'"
                ),
                {"state": state},
            )
            db.session.execute(text("update orders set status = 'UNRESOLVED', settled = false"))


@pytest.fixture
def planted(database: None) -> Planted:
    return Planted(make_owner())


def tables_of(places: list[str]) -> set[str]:
    return {place.partition("|")[0] for place in places}


@pytest.mark.parametrize(("state", "step"), few([("stopped", 8), ("stopped", 1), ("active", 1)], 3))
def test_no_request_opens_an_exchange_key_but_the_check_of_the_key(
    app: Flask, planted: Planted, login_as: Login, opened: Opened, state: str, step: int
) -> None:
    """Routes of accounts and bots are all asked, of the others every so-manieth."""
    owner = planted.owner
    here = threading.get_ident()
    by_request: Mapping[str, set[str]] = defaultdict(set)
    with answering(app) as asked:
        for desk, role in ((False, None), (True, Role.ADMIN)):
            person = make_user(role) if role else db.session.get_one(User, owner.user_id)
            client = login_as(person)
            for turn, rule in enumerate(rules(app, desk=desk)):
                if turn % step and not rule.endpoint.startswith(ABOUT_KEYS):
                    continue
                if rule.endpoint in {"pages.events", "accounts.logout"}:
                    continue
                if state == "active" and not rule.endpoint.startswith("bots."):
                    continue
                for method in methods(rule):
                    planted.restore(state)
                    opened[here].clear()
                    answer = call(client, owner, address(rule, owner.ids), method)
                    assert "planted-key" not in answer, rule.rule
                    by_request[rule.endpoint].update(tables_of(opened[here]))
    others = set().union(*(places for thread, places in opened.items() if thread != here))
    found = {name for name, tables in by_request.items() if "exchange_accounts" in tables}
    assert found == ({KEY_CHECK} if state == "stopped" else set())
    assert set().union(*by_request.values()) <= OWN_DATA | {"exchange_accounts"}
    # The worker did open them, for what the pages asked.
    assert any(place.startswith("exchange_accounts|") for place in others)
    assert "app.exchanges.jobs.read_balances" in asked
    assert ("app.bots.jobs.look_up_order" in asked) is (state == "stopped")


def call(client: Client, owner: Owner, path: str, method: str) -> str:
    """Send a request as the owner's browser would, with every id it may want."""
    shop = owner.shop
    sent = {
        "csrf_token": client.csrf_token(),
        "account_id": shop.account_id,
        "market_id": shop.market_id,
        "understood": "y",
        "way": "in",
        "amount": "10",
        "confirmed": "1",
    }
    query = {
        "account": shop.account_id,
        "market": shop.market_id,
        "id": owner.ids["order_id"] if "unclear-orders" in path else owner.ids["bot_id"],
    }
    answer = client.open(
        path,
        method=method,
        data=sent if method == "POST" else None,
        query_string=query,
        buffered=True,
    )
    # A file is no text.
    return bytes(answer.data).decode(errors="replace")
