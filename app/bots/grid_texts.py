"""Words for the grid: its settings beyond the basic ones, and what it says about them."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

FIELD_LABELS: Mapping[str, LazyString] = {
    "trigger_price": _l("Start price"),
    "take_profit_share": _l("Take-profit, share of the money"),
    "stop_loss_share": _l("Stop-loss, share of the money"),
    "trailing_up_limit": _l("Follow upwards at most to"),
    "trailing_down": _l("Follow the price downwards"),
    "trailing_down_limit": _l("Follow downwards at most to"),
    "infinity": _l("Without an upper price"),
    "profit_use": _l("Profit of the grid"),
    "max_resting": _l("Orders on the exchange at most"),
    "max_capital": _l("Most money in the bot"),
    "max_daily_loss": _l("Largest loss of a day"),
    "max_open_orders": _l("Open orders at most"),
    "max_leverage": _l("Leverage at most"),
}
FIELD_HELPS: Mapping[str, LazyString] = {
    "trigger_price": _l("The grid waits until the price reaches it. Empty: it starts at once."),
    "take_profit_share": _l(
        "The bot stops when its total profit reaches this part of the money put in."
    ),
    "stop_loss_share": _l(
        "The bot stops when its total loss reaches this part of the money put in."
    ),
    "trailing_up_limit": _l("The upper price never goes beyond this one. Empty: no limit."),
    "trailing_down": _l(
        "Whether the range moves down with the price. The bot then buys further and can lose more."
    ),
    "trailing_down_limit": _l("The lower price never goes beyond this one. Empty: no limit."),
    "infinity": _l(
        "The grid goes on upwards, however high the price rises. It needs the step, not the number."
    ),
    "profit_use": _l("It stays aside, or the orders grow by it."),
    "max_resting": _l(
        "Only the orders nearest to the price stand on the exchange; the others wait here. Empty: "
        "all of them stand."
    ),
    "max_capital": _l("Beyond this the bot pauses."),
    "max_daily_loss": _l("The bot pauses for the rest of the day after it."),
    "max_open_orders": _l("With more open orders than this the bot pauses."),
    "max_leverage": _l("With more leverage than this the bot pauses."),
}
CHOICE_LABELS: Mapping[str, LazyString] = {
    "set_aside": _l("Set aside"),
    "reinvest": _l("Reinvest"),
}
TEXTS: Mapping[str, LazyString] = {
    # settings that do not go together
    "grids_and_step": _l("Give either the number of grids or the step, not both."),
    "infinity_has_no_upper": _l("A grid without an upper price takes none. Leave it empty."),
    "infinity_needs_step": _l("A grid without an upper price needs the step between two lines."),
    "infinity_is_long_only": _l("A grid without an upper price can only buy first and sell later."),
    "infinity_does_not_trail": _l("A grid without an upper price does not follow the price."),
    "limit_without_trailing": _l("This limit needs that the range follows the price that way."),
    "trailing_limit_inside_range": _l(
        "This limit lies inside of your range from %(lower)s to %(upper)s. It must lie beyond it."
    ),
    "stop_loss_not_above_price": _l(
        "A short grid loses when the price rises: the stop-loss must lie above the price of now, "
        "%(price)s."
    ),
    "take_profit_not_below_price": _l(
        "A short grid earns when the price falls: the take-profit must lie below the price of now, "
        "%(price)s."
    ),
    "stop_loss_below_take_profit": _l("The stop-loss of a short grid lies above its take-profit."),
    "trailing_below_fees": _l(
        "When the range has moved to %(price)s, a completed trade earns only %(profit)s after fees."
    ),
    "trigger_already_reached": _l(
        "The price of now has reached the start price %(value)s already."
    ),
    # what may hurt
    "trailing_below_minimum": _l(
        "When the range has moved to %(price)s, an order of %(quantity)s is smaller than the "
        "exchange takes. Set a limit before that price or invest more."
    ),
    "liquidation_inside_range": _l(
        "The exchange would close the position by force at %(price)s, inside of your range from "
        "%(lower)s to %(upper)s. Use less leverage or a narrower range."
    ),
    "liquidation_before_stop_loss": _l(
        "The exchange would close the position by force at %(price)s, before the stop-loss at "
        "%(stop_loss)s is reached. Use less leverage or a nearer stop-loss."
    ),
    "margin_runs_short": _l(
        "The last order at %(price)s may lack margin after some round trips there (about "
        "%(trips)s): %(needed)s more would carry it. Choose a larger reserve, a narrower range or "
        "less leverage."
    ),
    "trailing_margin": _l(
        "Following the price, this bot realises losses on its position. From about %(price)s on "
        "its margin no longer carries all orders: some wait then. Choose a limit before that, a "
        "larger reserve or less leverage."
    ),
    "trailing_liquidation": _l(
        "Following the price, this bot keeps its position. At %(price)s the exchange would close "
        "it by force, and about %(loss)s would be lost. Choose a limit before that, a stop-loss or "
        "less leverage."
    ),
    "maintenance_assumed": _l(
        "The exchange did not tell its maintenance margin; the liquidation price is counted with "
        "%(rate)s."
    ),
    "buys_smaller": _l(
        "Buys far from the price are smaller than the others (%(orders)s of them, by %(amount)s in "
        "all): fees take that money, or coins too few to be sold hold it."
    ),
    "orders_will_wait": _l(
        "Money is missing for %(orders)s of the orders, such as %(quantity)s at %(price)s. They "
        "wait, and go out as soon as it is there. More money in the bot or a larger reserve lets "
        "all orders stand."
    ),
    "leverage_too_high": _l("This pair allows a leverage of at most %(maximum)s."),
    # the log
    "grid_waits": _l("The grid waits for the start price %(trigger)s; the price is %(price)s."),
    "grid_started": _l("The price %(price)s has reached the start price; the grid begins."),
    "trigger_missed": _l(
        "The price has touched the start price (%(touched)s) and left it again; at %(price)s the "
        "grid could not begin. It goes on waiting for the start price."
    ),
    "trailed_up": _l("The range followed the price upwards: now %(lower)s to %(upper)s."),
    "trailed_down": _l("The range followed the price downwards: now %(lower)s to %(upper)s."),
    "trailing_too_small": _l(
        "The range does not follow the price: the order at its end would be %(quantity)s at "
        "%(price)s, smaller than the exchange takes. It tries again after the next fill; with more "
        "money in the bot its orders are bigger."
    ),
    "trailing_stopped": _l("The range has reached its limit %(limit)s and follows no further."),
    "orders_smaller": _l(
        "The exchange takes %(symbol)s in steps of %(lot)s now. New orders of this bot are rounded "
        "down to that; coins that fall away stay in the bot and go along with later orders."
    ),
    "orders_too_small": _l(
        "Orders of this bot are smaller than the exchange takes by now, such as %(quantity)s at "
        "%(price)s. They wait, and nothing is lost: fewer grids or more money make its orders "
        "bigger, or stop the bot."
    ),
    "orders_without_means": _l(
        "Orders of this bot wait, such as %(quantity)s at %(price)s: coins or money for them are "
        "missing, for fees have taken some, or coins too few to be sold hold it. They go out when "
        "there is enough."
    ),
    "orders_without_margin": _l(
        "Orders of this bot wait, such as %(quantity)s at %(price)s: its margin does not suffice "
        "for them. They go out when there is more of it: after trades that close the position, or "
        "when you put money in."
    ),
    "order_withdrawn": _l("An order far from the price waits here, to let a nearer one stand."),
    "edit_started": _l("New settings: orders are being replaced."),
    "edit_done": _l("New settings: all orders stand."),
    "short_opened": _l("Level %(level)s sold %(quantity)s at %(price)s."),
    "short_closed": _l(
        "Level %(level)s bought %(quantity)s back at %(price)s: %(profit)s after fees."
    ),
    "first_sale_done": _l("First sale done: %(quantity)s."),
    # why a bot ended or paused
    "take_profit_share_reached": _l("the value %(equity)s reached the take-profit %(limit)s"),
    "stop_loss_share_reached": _l("the value %(equity)s fell to the stop-loss %(limit)s"),
    "start_failed": _l("the grid could not begin"),
    "edit_waits": _l(
        "The price %(price)s has left the new range from %(lower)s to %(upper)s before the new "
        "settings could begin. They begin as soon as it is back; until then no orders rest."
    ),
    "edit_failed": _l("the new settings could not be run"),
    "limit_below_need": _l(
        "The bot needs %(value)s from its start: with this limit it would pause at once."
    ),
    "limit_max_capital": _l("the money in the bot, %(value)s, is more than your limit %(limit)s"),
    "limit_daily_loss": _l("the loss of today, %(value)s, has reached your limit %(limit)s"),
    "limit_open_orders": _l("%(value)s open orders are more than your limit of %(limit)s"),
    "limit_leverage": _l("the leverage %(value)s is more than your limit %(limit)s"),
    # why an order was taken back or was not sent
    "first_sale": _l("First sale: the coins for the buys below the price, sold at the start."),
    "order_would_open_short": _l("More than the bot holds would be sold."),
    "order_would_open_long": _l("More than the bot owes would be bought back."),
    "order_over_margin": _l("The margin of the bot does not suffice."),
    "too_far_now": _l("Taken back: others are nearer to the price."),
    "trailing": _l("Taken back: the range has moved."),
    "edited": _l("Taken back: the settings have changed."),
    "denied_would_open_short": _l("No order was placed: more than the bot holds would be sold."),
    "denied_would_open_long": _l(
        "No order was placed: more than the bot owes would be bought back."
    ),
    "denied_over_margin": _l(
        "No order was placed: it needs a margin of %(needed)s and %(free)s is free."
    ),
}
