"""Google's reCAPTCHA: asks its server whether an answer came from a person."""

import logging

import requests

URL = "https://www.google.com/recaptcha/api/siteverify"
TIMEOUT_S = 4
# What its widget loads, for the policy of the pages that show it.
SOURCES = ("https://www.google.com/recaptcha/", "https://www.gstatic.com/recaptcha/")
SCRIPT = "https://www.google.com/recaptcha/api.js"

log = logging.getLogger(__name__)


def is_human(answer: str, secret: str, address: str, url: str = "") -> bool:
    """Tell what the server says; no answer from it counts as no."""
    form = {"secret": secret, "response": answer, "remoteip": address}
    try:
        response = requests.post(url or URL, data=form, timeout=TIMEOUT_S, allow_redirects=False)
        return response.status_code == requests.codes.ok and response.json().get("success") is True
    except (requests.RequestException, ValueError, AttributeError) as error:
        log.warning("recaptcha_unreachable error=%s", type(error).__name__)
        return False
