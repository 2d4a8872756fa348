"""What becomes of our books when an account is taken away: what it left is its owner's alone."""

from collections.abc import Collection

from sqlalchemy import select

from app.bots.models import Bot, BotState
from app.bots.verbs import contract_held, tell, turn
from app.db import db, utc_now
from app.trades.service import leave_orders
from app.trading.orders import Purpose


def let_go(account_ids: Collection[int]) -> None:
    """End our books of what stands at the exchange on these accounts, and say so in the logs.

    Nobody looks at the accounts any more: orders that stay there count as left, and a bot that
    could only wait for its key has stopped.
    """
    now = utc_now()
    bots = select(Bot).where(Bot.account_id.in_(account_ids)).order_by(Bot.id).with_for_update()
    left = leave_orders(account_ids, now)
    for bot in db.session.scalars(bots).all():
        if bot.state == BotState.ERROR.value:
            turn(bot, BotState.STOPPED.value, now, "account_deleted")
            bot.next_tick_at = None
        if bot.mode == "paper":
            continue
        stops = [order for order in left if order.bot_id == bot.id]
        held = contract_held(bot)
        if held:
            has_stop = any(order.purpose == Purpose.PROTECT.value for order in stops)
            code = "left_with_account" if has_stop else "left_unprotected_with_account"
            tell(bot, code, None, {"held": held}, now, "warning")
        elif stops:
            tell(bot, "orders_left_with_account", None, {"orders": len(stops)}, now, "warning")
