"""Programs that call the API, and their tokens."""

import secrets
from datetime import timedelta
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.accounts.models import AccessToken
from app.accounts.tokens import PREFIX, Scope, _hash, new_form_key
from app.db import db, utc_now
from app.transactions import transaction
from tests.conftest import new_client

ALL = tuple(scope.value for scope in Scope)
API = "/api/v1"


def give_token(user_id: int, *scopes: str, **values: Any) -> str:
    """Store a token of a person and return it; without scopes it has all."""
    secret = PREFIX + secrets.token_urlsafe(32)
    fields: dict[str, Any] = {
        "label": "a program",
        "token_hash": _hash(secret),
        "last_four": secret[-4:],
        "scopes": list(scopes or ALL),
        "form_key": new_form_key(),
        "expires_at": utc_now() + timedelta(days=1),
    }
    with transaction():
        db.session.add(AccessToken(user_id=user_id, **(fields | values)))
    return secret


class Program:
    """Sends requests with one token, without cookies."""

    def __init__(self, app: Flask, secret: str = "") -> None:
        self.client = new_client(app)
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    def call(self, method: str, path: str, **more: Any) -> TestResponse:
        """Send a request to a path below /api/v1."""
        headers = self.headers | more.pop("headers", {})
        return self.client.open(API + path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.call("GET", path, **more)

    def post(self, path: str, json: object = None, **more: Any) -> TestResponse:
        return self.call("POST", path, json=json, **more)

    def patch(self, path: str, json: object) -> TestResponse:
        return self.call("PATCH", path, json=json)

    def delete(self, path: str) -> TestResponse:
        return self.call("DELETE", path)

    def send(self, path: str, raw: bytes, method: str = "POST", **headers: str) -> TestResponse:
        """Send bytes as they are, said to be JSON."""
        own = {"Content-Type": "application/json", **headers}
        return self.call(method, path, data=raw, headers=own)


def code_of(answer: TestResponse) -> str:
    """Return the code of a problem document, after looking at its form."""
    assert answer.content_type == "application/problem+json", answer.text
    body = answer.get_json(force=True)
    assert body["status"] == answer.status_code
    assert body["title"] and body["request_id"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["API-Version"] == "1"
    return str(body["code"])


def field_of(answer: TestResponse) -> str | None:
    """Return which field a problem document names."""
    found: str | None = answer.get_json(force=True).get("field")
    return found
