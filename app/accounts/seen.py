"""Agreeing to what a page has listed: the reader has seen it, and it is still so."""

from flask_babel import gettext as _
from wtforms import BooleanField


def asks_for_tick(box: BooleanField, read: str, now: str, changed: str) -> bool:
    """Say whether a tick is still missing, and put why at the box.

    `read` is what the page listed that was sent, `now` what it would list, both empty for nothing;
    a tick for something else counts for nothing, and `changed` says so.
    """
    if read != now:
        box.data = False
        box.errors = [changed]
    elif now and not box.data:
        box.errors = [_("Please tick this, or take back first what is listed.")]
    return bool(box.errors)
