"""Every field of every form of an account is sent what nobody should send: made from the routes.

A new form needs nothing here: its fields are found in the code of its route.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask_wtf import FlaskForm
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app.accounts.access import PUBLIC
from app.accounts.models import User
from tests.accounts.people import PASSWORD, make_person
from tests.client import Client
from tests.conftest import new_client
from tests.long import thinned
from tests.security.tenants import OWNED, SHARED, address, guard_of, methods, rules

Login = Callable[[User], Client]

pytestmark = pytest.mark.usefixtures("cheap_hashes")

FORM = "application/x-www-form-urlencoded"
HOSTILE = {
    "nothing": "",
    "blanks": " \t\n ",
    "NUL": "a\0b",
    "half of a pair": "\udcff",
    "emoji": "👩‍👩‍👧‍👦" * 20,
    "right to left": "\u202eabc\u2066",
    "markup": "<script>alert(1)</script>",
    "SQL": "' OR 1=1--",
    "long": "x" * 20_000,
    "huge number": "9" * 400,
    "template": "%(x)s {{ 7*7 }} %s",
}
# What fits the field, so that the one hostile value is not hidden behind other mistakes.
SENSIBLE = {
    "email": "new@example.org", "password": PASSWORD, "current": PASSWORD, "code": "123456",
    "name": "Ada", "language": "en", "timezone": "UTC", "experience": "expert", "theme": "dark",
    "palette": "default", "density": "compact", "phone": "+5511999990000", "label": "x",
    "days": "30", "scopes": "bots:read", "form_key": "abcdefghijklmnop", "coins": "keep",
    "contacts": "x", "invite": "x", "subject": "x", "topic": "bots", "bot": "", "text": "x",
}  # fmt: skip
# Each would only end the session of who sends the next value.
ENDS = {"accounts.logout"}
# Of the account, and where people write what they like.
OURS = {
    "accounts", "acting", "captcha", "credentials", "data", "deletion", "factors", "phone",
    "tokens", "passkeys", "openid", "support",
}  # fmt: skip


def form_routes(app: Flask) -> Iterator[tuple[Rule, set[str]]]:
    """Yield each route of an account that takes a form, with the names of its fields."""
    for rule in rules(app, desk=False):
        is_ours = rule.endpoint.partition(".")[0] in OURS and rule.endpoint not in ENDS
        if is_ours and "POST" in methods(rule):
            yield rule, _fields(app, rule)


def _fields(app: Flask, rule: Rule) -> set[str]:
    view = inspect.unwrap(app.view_functions[rule.endpoint])
    source, module = inspect.getsource(view), inspect.getmodule(view)
    named = set(re.findall(r"request\.form\.get\(\s*[\"'](\w+)", source))
    for name in re.findall(r"(\w*Form)\(", source):
        kind: Any = getattr(module, name, None)
        if inspect.isclass(kind) and issubclass(kind, FlaskForm):
            with app.test_request_context():
                build: Any = kind
                named |= set(build(meta={"csrf": False})._fields)
    return named | {"key"}


def test_every_form_of_an_account_is_found(app: Flask) -> None:
    found = {rule.endpoint: fields for rule, fields in form_routes(app)}
    assert len(found) > 20
    assert {"email", "password", "invite"} <= found["accounts.register"]
    assert {"name", "contacts", "timezone"} <= found["accounts.profile"]
    assert {"coins", "sure"} <= found["deletion.ask"]
    assert {"phone"} <= found["phone.index"]
    assert {"subject", "topic", "bot", "text"} <= found["support.new"]


def send(client: Client, path: str, form: dict[str, str]) -> TestResponse:
    """Send a form whose texts may be none."""
    body = urlencode({"csrf_token": client.csrf_token(), **form}, errors="surrogatepass")
    return client.post(path, data=body, content_type=FORM)


def hostile_forms(fields: set[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield forms with one kind of value in all fields, then in each alone, all kinds in turn."""
    for kind, value in HOSTILE.items():
        yield kind, dict.fromkeys(fields, value)
    kinds = cycle(HOSTILE)
    for field in sorted(fields):
        kind = next(kinds)
        sensible = {name: SENSIBLE.get(name, "") for name in fields}
        yield f"{field}: {kind}", sensible | {field: HOSTILE[kind]}


@thinned(16)
def test_hostile_values_in_any_field_are_answered_calmly(
    app: Flask, database: None, login_as: Login, step: int
) -> None:
    """Each form gets every so-manieth value; which one is first goes round."""
    person = make_person()
    signed_in, visitor = login_as(person), new_client(app)
    tried = 0
    for turn, (rule, fields) in enumerate(form_routes(app)):
        client = visitor if guard_of(app, rule) == PUBLIC else signed_in
        path = address(rule, {**SHARED, **dict.fromkeys(OWNED, 1)})
        for kind, form in islice(hostile_forms(fields), turn % step, None, step):
            answer = send(client, path, form)
            where = (rule.rule, kind, answer.status_code)
            assert answer.status_code < 500, where
            assert "<script>alert(1)" not in answer.text, where
            tried += 1
        if signed_in.get("/settings").status_code != 200:
            signed_in = login_as(person)
    assert tried > 300 // step


@pytest.mark.long
def test_ten_megabytes_are_refused_before_they_are_read(
    app: Flask, database: None, login_as: Login
) -> None:
    signed_in, visitor = login_as(make_person()), new_client(app)
    for rule, _ in form_routes(app):
        client = visitor if guard_of(app, rule) == PUBLIC else signed_in
        path = address(rule, {**SHARED, **dict.fromkeys(OWNED, 1)})
        answer = client.post(path, data=b"code=" + b"x" * 10_000_000, content_type=FORM)
        assert answer.status_code in (400, 413), (rule.rule, answer.status_code)
