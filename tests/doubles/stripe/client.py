"""The fake as the HTTP client of the real library, in one process."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import stripe
from requests.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from tests.doubles.stripe.protocol import Protocol


class FakeHTTPClient(stripe.HTTPClient):
    """Answers what the library would send over the network."""

    name = "fake"

    def __init__(self, protocol: "Protocol") -> None:
        super().__init__()
        self._protocol = protocol

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Answer one call."""
        parts = urlsplit(url)
        text = post_data if post_data else parts.query
        if isinstance(text, bytes):
            text = text.decode()
        told = self._protocol.answer(method.upper(), parts.path, text, dict(headers or {}))
        if told.lost:
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
                "Unexpected error communicating with Stripe.", should_retry=True
            )
        return told.text, told.status, CaseInsensitiveDict(told.headers)

    def close(self) -> None:
        """Close nothing."""
