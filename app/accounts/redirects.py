"""Where to go after a form: only ever to a page of our own."""

from urllib.parse import urlsplit

from flask import request, url_for


def local_path(target: str | None, fallback: str) -> str:
    """Return `target` if it is a path on this site, else the fallback."""
    if not target or not target.startswith("/") or len(target) > 2000:  # noqa: PLR2004 - no address is longer
        return fallback
    # Browsers read a backslash as a slash and drop control characters.
    if "\\" in target or any(ord(character) < 32 for character in target):  # noqa: PLR2004 - control characters
        return fallback
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or target.startswith("//"):
        return fallback
    return target


def wanted_page() -> str:
    """Return where somebody wanted to go before a form was asked of them, else the dashboard."""
    return local_path(request.args.get("next"), url_for("pages.dashboard"))
