"""Posting a callback over HTTP, as a provider does; only the demonstration needs it."""

import logging

import requests

TIMEOUT_S = 10

log = logging.getLogger(__name__)


def post(url: str, raw: bytes, headers: dict[str, str]) -> bool:
    """Post a body; tell whether it was taken."""
    sent = {"Content-Type": "application/json", "User-Agent": "Botyard-Demo/1", **headers}
    try:
        answer = requests.post(
            url, data=raw, headers=sent, timeout=TIMEOUT_S, allow_redirects=False
        )
    except requests.RequestException as error:
        log.warning("callback_not_delivered error=%s", type(error).__name__)
        return False
    if not answer.ok:
        log.warning("callback_refused status=%s", answer.status_code)
    return answer.ok
