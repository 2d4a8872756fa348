"""Work around pairs: their rules, when an exchange goes by others than we know."""

import logging

from app.errors import NotFound, Unavailable
from app.markets import refresh

log = logging.getLogger(__name__)


def read_rules(market_id: int) -> None:
    """Read a pair's rules anew; an exchange that is away is asked when an order is refused next."""
    try:
        refresh.read_rules(market_id)
    except (NotFound, Unavailable) as error:
        log.warning("rules_not_read market=%s error=%s", market_id, error.code)
