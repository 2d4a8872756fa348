"""Words for contracts: why one can't be traded, and what an account has to be like."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "venue_has_no_contracts": _l(
        "At %(exchange)s bots trade coins only, no contracts. Choose a pair without “Futures”, or "
        "an account that has them, such as one at Bybit."
    ),
    "key_can_not_trade_contracts": _l(
        "The key of “%(account)s” may not trade contracts. Allow it on the page of the key at "
        "%(exchange)s, check the account here again, then start the bot."
    ),
}
