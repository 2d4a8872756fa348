"""Where rails call back: `POST /webhooks/<rail>` keeps a signed callback, nothing else."""

import logging
import time
from collections import Counter
from datetime import UTC, datetime

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app.accounts.access import public
from app.adapters.payments import rail_named
from app.adapters.payments.port import BadCallback
from app.extensions import csrf
from app.payments import door, intake

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 256_000
# Refused calls of an address in a minute; what comes beyond them fills no log.
MOST_REFUSED = 60

blueprint = Blueprint("webhooks", __name__)


class _Refused:
    """Refused calls of the present minute, counted in this process: Redis may be away."""

    minute = 0
    by_address: Counter[str] = Counter()


# Signed instead of carrying a session: there is nothing that a browser would send along.
@csrf.exempt
@blueprint.post("/webhooks/<rail>")
@public
def receive(rail: str) -> ResponseReturnValue:
    """Keep a signed callback and answer at once; what it means is found out by a worker."""
    known = rail_named(rail)
    request.max_content_length = MAX_BODY_BYTES
    raw = request.get_data(cache=False)
    try:
        incoming = known.verify(dict(request.headers), raw, datetime.now(UTC))
    except BadCallback as error:
        return _refuse(rail, error.reason)
    if door.keep(rail, incoming, raw):
        intake.ask_for_work()
    return "", 200


def _refuse(rail: str, reason: str) -> ResponseReturnValue:
    address, minute = request.remote_addr or "", int(time.monotonic()) // 60
    if _Refused.minute != minute:
        _Refused.minute, _Refused.by_address = minute, Counter()
    _Refused.by_address[address] += 1
    if _Refused.by_address[address] > MOST_REFUSED:
        return "", 429
    log.warning("callback_refused rail=%s reason=%s", rail, reason)
    return reason, 400, {"Content-Type": "text/plain"}
