"""After a tick: at which prices its bots want to be woken stands in the wake index."""

from collections.abc import Collection, Iterable

from app.bots import wake
from app.bots.live.deciding import Waiting
from app.markets.points import load_points, loaded_after
from app.trading.market import Triggers
from app.transactions import transaction


def file_waiting(waiting: Collection[Waiting]) -> None:
    """File triggers, then wake at once whoever's price has come meanwhile.

    A price that came between the last look and the filing has found nobody in the index.
    """
    if not waiting:
        return
    wake.file_triggers(
        (each.market_id, each.account_id, each.bot_id, each.wake) for each in waiting
    )
    with transaction():
        load_points((each.market_id, each.seq) for each in waiting)
    missed = {each.account_id for each in _armed(waiting) if _was_crossed(each)}
    if missed:
        wake.request_ticks(missed)


def _armed(waiting: Iterable[Waiting]) -> Iterable[Waiting]:
    return (each for each in waiting if each.wake != Triggers())


def _was_crossed(waiting: Waiting) -> bool:
    later = loaded_after(waiting.market_id, waiting.seq)
    return any(waiting.wake.crossed(point.price) for point in later)
