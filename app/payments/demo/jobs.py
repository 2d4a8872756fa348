"""The provider's own work: bringing its callbacks to our door, as a stranger would."""

import time

from app.adapters.payments import callbacks, rails, signing
from app.adapters.payments.demo import HEADER, NAME
from app.config import current_config
from app.payments.demo import provider


def deliver_events() -> int:
    """Deliver what is due, until nothing is; return how many callbacks were taken."""
    taken = 0
    if NAME not in rails():
        return taken
    while due := provider.due_events():
        taken += sum(_deliver(event_id, body) for event_id, body in due)
    return taken


def _deliver(event_id: str, body: str) -> bool:
    raw = body.encode()
    signature = signing.sign(provider.webhook_secret(), int(time.time()), raw)
    url = f"{current_config().base_url}/webhooks/{NAME}"
    if not callbacks.post(url, raw, {HEADER: signature}):
        return False
    provider.note_delivered(event_id)
    return True
