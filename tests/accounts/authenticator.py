"""A small authenticator for tests: key pairs, counters and signatures, right or wrong as asked."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from werkzeug.test import TestResponse

from tests.client import Client

UP, UV, AT = 0x01, 0x04, 0x40
ORIGIN = "http://localhost"


@dataclass
class Authenticator:
    """One device with one passkey; what it says can be bent before each answer."""

    origin: str = ORIGIN
    rp_id: str = "localhost"
    verifies: bool = True
    present: bool = True
    counts: bool = True
    sign_count: int = 0
    kind: str = ""
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: str = ""
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def add_to(self, client: Client, name: str = "phone") -> TestResponse:
        """Become a passkey of who is signed in there."""
        asked = options_of(client, "/settings/passkeys/new/options")
        form = {"name": name, "credential": self.create(asked)}
        return client.post_form("/settings/passkeys/new", form)

    def log_in(self, client: Client) -> TestResponse:
        """Log in by this passkey alone."""
        credential = self.get(options_of(client, "/login/passkey/options"))
        return client.post_form("/login/passkey", {"credential": credential})

    def create(self, options: dict[str, Any]) -> str:
        """Answer `navigator.credentials.create`, as JSON."""
        self.handle = options["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        cose = {
            1: 2, 3: -7, -1: 1,
            -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big"),
        }  # fmt: skip
        length = len(self.credential_id).to_bytes(2, "big")
        attested = bytes(16) + length + self.credential_id + cbor2.dumps(cose)
        data = {"fmt": "none", "attStmt": {}, "authData": self._data(AT) + attested}
        client = self._client("webauthn.create", options["challenge"])
        return self._json(clientDataJSON=client, attestationObject=cbor2.dumps(data))

    def get(self, options: dict[str, Any]) -> str:
        """Answer `navigator.credentials.get`, as JSON."""
        if self.counts:
            self.sign_count += 1
        client = self._client("webauthn.get", options["challenge"])
        data = self._data()
        signed = data + hashlib.sha256(client).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        parts = {"clientDataJSON": client, "authenticatorData": data, "signature": signature}
        if self.handle:
            parts["userHandle"] = base64url_to_bytes(self.handle)
        return self._json(**parts)

    def _client(self, kind: str, challenge: str) -> bytes:
        told = {"type": self.kind or kind, "challenge": challenge, "origin": self.origin}
        return json.dumps(told).encode()

    def _data(self, more: int = 0) -> bytes:
        flags = (UP if self.present else 0) | (UV if self.verifies else 0) | more
        rp = hashlib.sha256(self.rp_id.encode()).digest()
        return rp + bytes([flags]) + self.sign_count.to_bytes(4, "big")

    def _json(self, **parts: bytes) -> str:
        name = bytes_to_base64url(self.credential_id)
        response = {key: bytes_to_base64url(value) for key, value in parts.items()}
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


def options_of(client: Client, path: str) -> dict[str, Any]:
    """Fetch what the browser's script would."""
    answer = client.post_form(path, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())
