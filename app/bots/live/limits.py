"""The limits that an owner has set for a bot: beyond one of them it pauses and says why."""

from collections.abc import Iterable
from decimal import Decimal

from app.bots.live.booking import Books
from app.bots.live.rows import LiveBot
from app.bots.models import BotState
from app.money import exact_text
from app.trades.service import OwnOrder
from app.trading.guard import Facts, broken, read_guard
from app.trading.intents import Reason
from app.trading.market import PricePoint, exact
from app.trading.orders import traded_value


@exact
def broken_limit(
    books: Books, bot: LiveBot, orders: Iterable[OwnOrder], point: PricePoint
) -> Reason | None:
    """Return which of its limits an active bot is beyond; its day begins with its first look."""
    if not bot.guard or bot.stop_request is not None or bot.state != BotState.ACTIVE.value:
        return None
    sums = books.metrics[bot.id].books
    equity = sums.position.equity(point.price)
    money_in = sums.deposited - sums.withdrawn
    today = books.now.date().isoformat()
    if bot.guard_day is None or bot.guard_day["day"] != today:
        bot.guard_day = {"day": today, "equity": exact_text(equity), "money": exact_text(money_in)}
    facts = Facts(
        capital=bot.capital,
        equity=equity,
        day_equity=Decimal(bot.guard_day["equity"]),
        day_flows=money_in - Decimal(bot.guard_day["money"]),
        open_orders=sum(own.status.is_live for own in orders),
        exposure=abs(traded_value(point.price, sums.position.base)),
    )
    return broken(read_guard(bot.guard), facts)
