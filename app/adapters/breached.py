"""Have I Been Pwned: asks whether a password is known from a breach, without telling it.

Five of forty digits of its hash leave the house; the answer lists the rest of all that begin so
(k-anonymity), padded so that its length tells nothing either.
"""

import hashlib
import logging

import requests

URL = "https://api.pwnedpasswords.com/range/"
TIMEOUT_S = 2
TOLD = 5

log = logging.getLogger(__name__)


def is_known(password: str, url: str = "") -> bool:
    """Tell whether the password is in the list; no answer counts as no."""
    # SHA-1 is the form of the list, and guards nothing here.
    digest = hashlib.sha1(password.encode(errors="replace"), usedforsecurity=False)
    whole = digest.hexdigest().upper()
    head, tail = whole[:TOLD], whole[TOLD:]
    try:
        answer = requests.get(
            f"{url or URL}{head}",
            headers={"Add-Padding": "true", "User-Agent": "botyard"},
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
        answer.raise_for_status()
        rows = (line.strip().partition(":") for line in answer.text.splitlines())
        # Padding has the count 0.
        return any(suffix.upper() == tail and int(count) > 0 for suffix, _, count in rows)
    except (requests.RequestException, ValueError) as error:
        log.warning("breached_passwords_unreachable error=%s", type(error).__name__)
        return False
