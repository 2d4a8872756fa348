"""Our own address as others see it."""

import ipaddress

import requests

from app.errors import Unavailable

TIMEOUT_S = 5
LONGEST_ANSWER = 100


def seen_from_outside(url: str) -> str:
    """Ask a server that answers with the caller's address in plain text; raise Unavailable."""
    try:
        with requests.get(url, timeout=TIMEOUT_S, allow_redirects=False, stream=True) as answer:
            answer.raise_for_status()
            text = answer.raw.read(LONGEST_ANSWER, decode_content=True).decode("ascii").strip()
        return str(ipaddress.ip_address(text))
    except (requests.RequestException, ValueError) as error:
        raise Unavailable("address_not_told", kind=type(error).__name__) from error
