"""The test client: its requests share nothing with the test but the database."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import globals as flask_globals
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from app.accounts.models import User
from app.accounts.server_session import current_session
from app.accounts.session_cookies import LOCAL_COOKIE, LOCAL_REFRESH
from app.accounts.sessions import sign_in
from app.db import db


class Client(FlaskClient):
    """Runs each request in an app context of its own, as a server would.

    Flask would let it share the test's context, and with it `g`, the signed-in user and the
    database session: a route that forgets its commit would then pass its test. `with client:`
    is not for this client.
    """

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Commit what the test prepared, run the request, let the test see the outcome."""
        with _outside_the_tests_context():
            return super().open(*args, **kwargs)

    def sign_in(self, user: User) -> None:
        """Give this client a session of the user, as a log-in with all factors would."""
        user_id = user.id
        with _outside_the_tests_context(), self.application.test_request_context():
            found = db.session.get(User, user_id)
            assert found is not None, "the user must be stored"
            sign_in(found, second_factor=True)
            pair = current_session().pair
        assert pair.refresh is not None
        self.set_cookie(LOCAL_COOKIE, pair.access)
        self.set_cookie(LOCAL_REFRESH, pair.refresh)

    def csrf_token(self) -> str:
        """Return a token for the session of this client."""
        with self.session_transaction() as session:
            raw = session.setdefault(
                "csrf_token", hashlib.sha256(secrets.token_bytes(64)).hexdigest()
            )
        key = str(self.application.secret_key)
        return str(URLSafeTimedSerializer(key, salt="wtf-csrf-token").dumps(raw))

    def post_form(
        self, path: str, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> TestResponse:
        """Send a form as a page of ours would, with its token."""
        return self.post(path, data={"csrf_token": self.csrf_token(), **(data or {})}, **kwargs)


@contextmanager
def _outside_the_tests_context() -> Iterator[None]:
    if flask_globals._cv_app.get(None) is None:
        yield
        return
    db.session.commit()
    token = flask_globals._cv_app.set(None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        flask_globals._cv_app.reset(token)
        db.session.expire_all()
