"""An OpenID provider (and a GitHub) for tests on loopback, honest or bent as asked."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from app.config import SignInProvider

CLIENT_ID = "botyard-test"
CLIENT_SECRET = "known-to-the-provider-and-us-only"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Provider:
    """What the provider says; a path in `broken` answers with what stands there."""

    port: int = 0
    subject: str = "subject-1"
    email: str = "ada@example.org"
    email_verified: Any = True
    # Beside or instead of the right claims; None leaves one out.
    claims: dict[str, Any] = field(default_factory=dict)
    sign: Callable[[dict[str, Any]], str] | None = None
    told: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    emails: list[dict[str, Any]] = field(default_factory=list)
    # A provider of its own for each test: what is kept of one is not used for another.
    path: str = field(default_factory=lambda: f"/{secrets.token_hex(6)}")
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def configured(self, name: str = "company") -> SignInProvider:
        """Return what the operator would configure."""
        issuer = f"{self.issuer}/gh" if name == "github" else self.issuer
        return SignInProvider(name, name.capitalize(), issuer, CLIENT_ID, CLIENT_SECRET)

    def answer(self, method: str, target: str, body: str, headers: Any) -> Answer:
        """Answer a request."""
        parts = urlsplit(target)
        path = parts.path.removeprefix(self.path)
        self.seen.append(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        form = {name: values[0] for name, values in parse_qs(body).items()}
        ways: dict[str, Callable[[], Answer]] = {
            "/.well-known/openid-configuration": lambda: as_json(
                {**self._endpoints(), **self.told}
            ),
            "/authorize": lambda: self._authorize(query),
            "/token": lambda: self._token(form, headers),
            "/keys": lambda: as_json({"keys": [KEY.as_dict(private=False)]}),
            "/userinfo": lambda: as_json({"sub": self.subject, **self.user_info}),
            "/gh/login/oauth/authorize": lambda: self._authorize(query),
            "/gh/login/oauth/access_token": lambda: self._token(form, headers),
            "/gh/api/v3/user": lambda: as_json({"id": 4711, "login": "ada", "name": "Ada"}),
            "/gh/api/v3/user/emails": lambda: as_json(self.emails),
        }
        ways.update(self.broken)
        return ways[path]() if path in ways else (404, {}, b"")

    def _endpoints(self) -> dict[str, Any]:
        places = {
            "authorization_endpoint": "authorize", "token_endpoint": "token",
            "jwks_uri": "keys", "userinfo_endpoint": "userinfo",
        }  # fmt: skip
        found = {name: f"{self.issuer}/{place}" for name, place in places.items()}
        return {"issuer": self.issuer, **found}

    def _authorize(self, query: dict[str, str]) -> Answer:
        code = secrets.token_urlsafe(12)
        self.codes[code] = query
        back = urlencode({"code": code, "state": query["state"]})
        return 302, {"Location": f"{query['redirect_uri']}?{back}"}, b""

    def _token(self, form: dict[str, str], headers: Any) -> Answer:
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        is_client = headers.get("Authorization") == f"Basic {basic}" or (
            form.get("client_secret") == CLIENT_SECRET and form.get("client_id") == CLIENT_ID
        )
        if asked is None or asked.get("code_challenge") != challenge or not is_client:
            return as_json({"error": "invalid_grant"}, 400)
        token = {"access_token": "access", "token_type": "Bearer"}
        if "openid" in asked.get("scope", ""):
            token["id_token"] = self._id_token(asked)
        return as_json(token)

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "sub": self.subject, "aud": CLIENT_ID, "iat": now,
            "exp": now + 300, "nonce": asked.get("nonce"), "email": self.email,
            "email_verified": self.email_verified, "name": "Ada", **self.claims,
        }  # fmt: skip
        kept = {name: value for name, value in claims.items() if value is not None}
        return (self.sign or signed)(kept)


def signed(claims: dict[str, Any], key: RSAKey = KEY) -> str:
    """Sign claims as the provider does."""
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)


def unsigned(claims: dict[str, Any]) -> str:
    """Write claims without a signature."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(claims)}."


def as_json(value: Any, status: int = 200) -> Answer:
    """Answer with JSON."""
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Serve a provider on loopback."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1

        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self._answer(self.rfile.read(length).decode())

        def _answer(self, body: str) -> None:
            status, headers, content = provider.answer(self.command, self.path, body, self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
