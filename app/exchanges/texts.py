"""Sentences for the codes of this subject."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

TEXTS: Mapping[str, LazyString] = {
    "unknown_account": _l("There is no such exchange account."),
    "unknown_exchange": _l("Please choose one of the offered exchanges."),
    "unknown_currency": _l("A paper account holds USDT."),
    "unknown_market": _l("There is no such pair."),
    "unknown_timeframe": _l("Please choose one of the offered spans of time."),
    "exchange_disabled": _l(
        "%(exchange)s is switched off here at the moment. Please choose another exchange."
    ),
    "no_testnet": _l("%(exchange)s has no test site."),
    "label_missing": _l("Give the account a name, so that you know it again."),
    "label_too_long": _l("A name has at most %(maximum)s characters."),
    "label_not_text": _l("This name holds characters that can't be shown."),
    "account_label_taken": _l(
        "You have an account with the name %(label)s already. Please take another name."
    ),
    "key_missing": _l("Please fill this in."),
    "key_wrong_length": _l("This is too short or too long to be a key. Please copy it once more."),
    "key_not_plain": _l(
        "A key holds only letters, digits and signs, without spaces. Please copy it once more."
    ),
    "key_already_connected": _l(
        "This key is connected already. Make a new key for each account here: two users of "
        "one key get in each other's way."
    ),
    "exchange_account_connected": _l(
        "This key belongs to an account at %(exchange)s that is connected already with another "
        "key. Bots over two keys would spend the same money twice. Delete the other one here "
        "first, or make a key of a sub-account there."
    ),
    "keys_not_checked": _l("The check of this key did not pass, so nothing was saved."),
    "paper_balance_out_of_range": _l(
        "A paper account begins with %(minimum)s to %(maximum)s USDT."
    ),
    "paper_balance_too_fine": _l("Write at most %(places)s decimals."),
    "paper_has_no_keys": _l("A paper account has no keys to check."),
    "confirm_address_first": _l(
        "Please confirm your e-mail address before you connect a real exchange."
    ),
    "exchange_key_refused": _l(
        "%(exchange)s does not accept the key of this account any more. Check the account, or"
        " connect it with a new key."
    ),
    "keys_do_not_open": _l(
        "The key of this account can't be opened here any more. Please delete the account and "
        "connect it with a new key."
    ),
    "nobody_answers": _l(
        "Nobody here could ask the exchange just now. Please try again in a moment."
    ),
    "exchange_unreachable": _l("%(exchange)s does not answer now. We try again by ourselves."),
    "exchange_book_crossed": _l(
        "%(exchange)s shows bids above asks, so this book is no good. Bots go by the last price; we"
        " ask again by ourselves."
    ),
    "exchange_rate_limited": _l("%(exchange)s asks us to wait. We try again in a moment."),
    "margin_not_isolated": _l(
        "The account at %(exchange)s uses one margin for all positions: a loss could take all of "
        "it. Switch it to isolated margin there, then start the bot again."
    ),
    "exchange_closed": _l(
        "%(exchange)s has closed this pair or its trading for now. We try again by ourselves."
    ),
    "exchange_clock_differs": _l(
        "Our clock and the clock of %(exchange)s differ, so it refused the request. We try "
        "again by ourselves."
    ),
    "exchange_failed": _l(
        "%(exchange)s gave an answer that we do not understand. We try again by ourselves."
    ),
    "account_switched_off": _l("The account %(account)s is switched off."),
}

STEPS: Mapping[str, LazyString] = {
    "reached": _l("Exchange reached"),
    "clock": _l("Clock"),
    "key": _l("Key accepted"),
    "rights": _l("Rights of the key"),
    "address": _l("Bound to our addresses"),
    "balance": _l("Balance read"),
}

FINDINGS: Mapping[str, LazyString] = {
    "exchange_reached": _l("It answered in %(milliseconds)s ms."),
    "clock_right": _l("Both clocks agree."),
    "clock_differs": _l(
        "The clocks differ by %(milliseconds)s ms. Orders still get through, staff should "
        "look at it."
    ),
    "clock_wrong": _l(
        "The clocks differ by %(milliseconds)s ms, so the exchange would refuse every order. "
        "Staff have to set our clock right."
    ),
    "key_accepted": _l("The exchange knows the key."),
    "key_refused": _l(
        "%(exchange)s did not accept this key. Usual causes: a character was lost while "
        "copying, the IP list lacks our addresses, or the key is for its test site. Nothing "
        "was saved."
    ),
    "key_can_withdraw": _l(
        "This key is allowed to withdraw money. Botyard only needs to read and trade. Switch "
        "off withdrawals for this key on %(exchange)s, or make a new key, then check again."
    ),
    "key_can_not_trade": _l(
        "This key may not trade on the spot market. Switch on reading and spot trading for it"
        " on %(exchange)s, then check again."
    ),
    "key_can_withdraw_allowed": _l(
        "This key is allowed to withdraw money. The staff of this server accept that; whoever "
        "steals it can empty the account. Botyard only needs to read and trade."
    ),
    "rights_right": _l("It may read and trade, and can't withdraw."),
    "rights_not_told": _l(
        "%(exchange)s does not tell us what a key may do. Please make sure yourself that "
        "withdrawals are switched off for it."
    ),
    "address_bound": _l("The key works only from listed addresses."),
    "address_open": _l(
        "The key works from any address. Bind it to our addresses on %(exchange)s: then a "
        "stolen key is worth nothing, and it does not expire."
    ),
    "address_required": _l(
        "The key works from any address, which this server does not accept. Bind it to our "
        "addresses on %(exchange)s, then check again."
    ),
    "address_not_told": _l(
        "%(exchange)s does not tell us whether the key is bound to addresses. We recommend it."
    ),
    "balance_read": _l("We could read what the account holds."),
    "not_checked": _l("Not checked, because an earlier step failed."),
    "exchange_too_slow": _l(
        "%(exchange)s answered too slowly. Nothing was saved; please try again."
    ),
    "exchange_unreachable": _l(
        "%(exchange)s does not answer. Nothing was saved; please try again."
    ),
    "exchange_rate_limited": _l(
        "%(exchange)s asks us to wait. Nothing was saved; please try again in a minute."
    ),
    "exchange_clock_differs": _l(
        "%(exchange)s says that our clock is wrong. Nothing was saved; staff have to set it right."
    ),
    "exchange_closed": _l("%(exchange)s is closed for now. Nothing was saved; please try again."),
    "exchange_failed": _l(
        "%(exchange)s gave an answer that we do not understand. Nothing was saved; please try"
        " again."
    ),
}
