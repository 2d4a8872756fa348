"""Names and helps of what forms ask, of states, sides and strategies."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.bots import grid_texts

STRATEGY_LABELS: Mapping[str, LazyString] = {"grid": _l("Grid")}
STRATEGY_TEXTS: Mapping[str, LazyString] = {
    "grid": _l(
        "Buys a little on each line below the price and sells it one line higher, again and again. "
        "It earns while the price swings inside of the range. If the price falls below the range "
        "it holds coins that have lost value; above the range it has sold them all."
    )
}
RISK_LABELS: Mapping[str, LazyString] = {
    "low": _l("Low risk"),
    "medium": _l("Medium risk"),
    "high": _l("High risk"),
}
FIELD_LABELS: Mapping[str, LazyString] = {
    "lower": _l("Lower price"),
    "epoch": _l("Start number"),
    "cycle": _l("Round trip on this level"),
    "upper": _l("Upper price"),
    "grids": _l("Number of grids"),
    "step": _l("Step between lines"),
    "spacing": _l("Spacing"),
    "sizing": _l("Size of orders"),
    "investment": _l("Investment"),
    "quantity": _l("Size of each order"),
    "reserve": _l("Reserve for fees"),
    "take_profit": _l("Take-profit price"),
    "stop_loss": _l("Stop-loss price"),
    "at_exit": _l("At take-profit or stop-loss"),
    "direction": _l("Direction"),
    "leverage": _l("Leverage"),
    "trailing_up": _l("Follow the price upwards"),
    "account_id": _l("Account"),
    "strategy": _l("Strategy"),
    "market_id": _l("Pair"),
    "market_type": _l("Kind of market"),
    "name": _l("Name"),
    "preset": _l("Preset"),
    "how": _l("What happens with coins and orders"),
    # inputs of a decision
    "level": _l("Level"),
    "price": _l("Price"),
    **grid_texts.FIELD_LABELS,
}
FIELD_HELPS: Mapping[str, LazyString] = {
    "lower": _l("The lowest line. Below it the bot waits with all its coins."),
    "upper": _l("The highest line. Above it the bot has sold all and waits."),
    "grids": _l("How many steps the range is divided into. More steps mean smaller, more trades."),
    "spacing": _l("Equal steps in money, or equal steps in percent."),
    "sizing": _l("Every order the same coins, or every order the same money."),
    "investment": _l("The money that the bot may use. It never uses more."),
    "quantity": _l("The coins of each order."),
    "reserve": _l("The part of the investment that stays aside for fees and moves of the price."),
    "take_profit": _l("At this price or above the bot stops."),
    "stop_loss": _l("At this price or below the bot stops."),
    "at_exit": _l("Whether it keeps or sells its coins then."),
    "direction": _l("Whether it buys first or sells first."),
    "leverage": _l("How many times the investment is traded."),
    "trailing_up": _l("Whether the range moves up with the price."),
    **grid_texts.FIELD_HELPS,
}
CHOICE_LABELS: Mapping[str, LazyString] = {
    "arithmetic": _l("Equal step"),
    "geometric": _l("Equal percent"),
    "equal_base": _l("Equal coins"),
    "equal_quote": _l("Equal money"),
    "keep": _l("Keep the coins"),
    "sell": _l("Sell the coins at market"),
    "leave_orders": _l("Leave the orders on the exchange"),
    "emergency": _l("Emergency stop"),
    "long": _l("Long"),
    "short": _l("Short"),
    "neutral": _l("Neutral"),
    "careful": _l("Careful"),
    "balanced": _l("Balanced"),
    "active": _l("Active"),
    "own": _l("My own"),
    "buy": _l("Buy"),
    "sell_side": _l("Sell"),
    "open": _l("Open"),
    "closed": _l("Closed"),
    "paper": _l("Paper"),
    "live": _l("Live"),
    **grid_texts.CHOICE_LABELS,
}
STATE_LABELS: Mapping[str, LazyString] = {
    "stopped": _l("stopped"),
    "starting": _l("starting"),
    "active": _l("active"),
    "paused": _l("paused"),
    "stopping": _l("stopping"),
    "error": _l("in error"),
    "locked": _l("locked"),
}
SIDE_LABELS: Mapping[str, LazyString] = {"buy": _l("buy"), "sell": _l("sell")}
ORDER_STATUS_LABELS: Mapping[str, LazyString] = {
    "INTENDED": _l("Intended"),
    "OPEN": _l("Open"),
    "PARTIAL": _l("Partly filled"),
    "FILLED": _l("Filled"),
    "CANCELLED": _l("Cancelled"),
    "REJECTED": _l("Refused by the exchange"),
    "DENIED": _l("Refused by our limits"),
    "UNRESOLVED": _l("Being checked"),
}
PURPOSE_LABELS: Mapping[str, LazyString] = {
    "grid": _l("Grid"),
    "entry": _l("First purchase"),
    "close": _l("Closing sale"),
    "stop": _l("Stop-loss sale"),
}
