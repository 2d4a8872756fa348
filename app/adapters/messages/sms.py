"""Text messages by HTTP: one POST of JSON to the gateway that the operator has set.

The gateway gets `to` (E.164), `from`, `text` and `reference`, which is the same when a message is
sent again and also stands in the header Idempotency-Key. Any 2xx is taken as sent.
"""

import logging

import requests

from app.adapters.messages import Delivery, Letter, Verdict

log = logging.getLogger(__name__)

LATER = frozenset({408, 425, 429})
SERVER_ERRORS = 500


class SmsGateway:
    """Sends through one gateway. Its address comes from the environment only."""

    def __init__(self, url: str, token: str | None, sender: str, timeout_s: float) -> None:
        self._url = url
        self._token = token
        self._sender = sender
        self._timeout_s = timeout_s

    def send(self, letter: Letter) -> Delivery:
        """Hand the message to the gateway."""
        headers = {"Idempotency-Key": letter.reference}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        body = {
            "to": letter.recipient,
            "from": self._sender,
            "text": letter.body,
            "reference": letter.reference,
        }
        try:
            # No redirects: they would carry number and code elsewhere.
            response = requests.post(
                self._url,
                json=body,
                headers=headers,
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            )
            response.close()
        except requests.RequestException as error:
            # Not its text: the address, and what stands in it, may be there.
            log.warning("sms_unreachable error=%s", type(error).__name__)
            return Delivery(Verdict.LATER, "sms_unreachable")
        return _judge(response.status_code)

    def check(self) -> Delivery:
        """Tell whether the gateway answers at all; nothing is sent."""
        try:
            answer = requests.head(self._url, timeout=self._timeout_s, allow_redirects=False)
            answer.close()
        except requests.RequestException:
            return Delivery(Verdict.LATER, "sms_unreachable")
        return Delivery(Verdict.SENT)


def _judge(status: int) -> Delivery:
    if requests.codes.ok <= status < requests.codes.multiple_choices:
        return Delivery(Verdict.SENT)
    if status in LATER or status >= SERVER_ERRORS:
        return Delivery(Verdict.LATER, "sms_unreachable")
    return Delivery(Verdict.REFUSED, "sms_refused")
