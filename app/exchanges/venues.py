"""Opening the venue behind a connected account, for the process that trades on it."""

from app.trading.ports import Exchange


def open_venue(account_id: int) -> Exchange:
    """Return the venue of a real account, ready for calls; raise Unavailable if it is away."""
    raise NotImplementedError(account_id)
