"""What bots do when others announce something."""

import logging

from redis.exceptions import RedisError

from app.bots import wake
from app.events import on
from app.markets.events import PricesMoved

log = logging.getLogger(__name__)


@on(PricesMoved)
def wake_crossed_bots(event: PricesMoved) -> None:
    """Have the accounts ticked whose bots wait at a price that was reached."""
    try:
        reached: set[int] = set()
        for move in event.moves:
            reached |= wake.pop_crossed(move.market_id, move.low, move.high)
        wake.request_ticks(reached)
    except RedisError as error:
        # Their periodic ticks will find the price.
        log.warning("wake_lost error=%s", type(error).__name__)
