"""Words for contracts: why one can't be traded, and what an account has to be like."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

# What becomes of a position at an exit.
POSITION_CHOICES: Mapping[str, LazyString] = {
    "keep": _l("Keep the position"),
    "sell": _l("Close the position at market"),
}
TEXTS: Mapping[str, LazyString] = {
    "leverage_too_fine": _l("Leverage goes in steps of %(step)s."),
    "leverage_below_position": _l(
        "At this leverage the position that is open needs %(needed)s of margin, and only %(free)s "
        "is behind it. Put money in, choose more leverage, or stop the bot and close the position."
    ),
    "stop_keeps_position": _l(
        "At the stop-loss the bot stops, but the position stays open and goes on losing. Choose to "
        "close it."
    ),
    "venue_has_no_contracts": _l(
        "At %(exchange)s bots trade coins only, no contracts. Choose a pair without “Futures”, or "
        "an account that has them, such as one at Bybit."
    ),
    "key_can_not_trade_contracts": _l(
        "The key of “%(account)s” may not trade contracts. Allow it on the page of the key at "
        "%(exchange)s, check the account here again, then start the bot."
    ),
    "position_mode_hedged": _l(
        "The account at %(exchange)s holds long and short positions of this contract apart (hedge "
        "mode). Close them or take your orders back there, or switch it to one-way mode."
    ),
    "paused_position_mode_hedged": _l(
        "The account at the exchange holds long and short positions of this contract apart (hedge "
        "mode), so the bot pauses. Switch it to one-way mode there, then let the bot go on."
    ),
    "contract_is_held": _l(
        "“%(name)s” still holds a position in this contract on the same account, and an account "
        "has only one position in it. Stop that bot once more to close it, or choose another "
        "account."
    ),
    "contract_has_orders": _l(
        "Orders of “%(name)s” still stand in this contract on the same account. Stop that bot once "
        "more to take them back, or choose another account."
    ),
    "contract_has_position": _l(
        "The account holds %(held)s in this contract that the bot does not know (it knows "
        "%(known)s). An account has one position in a contract: close it at the exchange first."
    ),
}
