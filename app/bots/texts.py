"""Sentences for the codes of this subject and of the trading core."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from app.bots import contract_texts, grid_texts

_FORM: Mapping[str, LazyString] = {
    "missing": _l("Please fill this in."),
    "unknown_field": _l("This strategy has no such setting."),
    "not_an_integer": _l("Please write a whole number."),
    "float_refused": _l("Please write the number as plain text."),
    "too_small": _l("This is too small: it must be at least %(minimum)s."),
    "too_small_open": _l("This is too small: it must be more than %(minimum)s."),
    "too_large": _l("This is too large: it must be at most %(maximum)s."),
    "too_large_open": _l("This is too large: it must be less than %(maximum)s."),
    "not_a_choice": _l("Please choose one of: %(choices)s."),
    "not_a_flag": _l("Please answer with yes or no."),
    "not_json": _l("This could not be read as JSON."),
    "not_an_object": _l("This must be a JSON object."),
    "name_too_long": _l("A name has at most %(maximum)s characters."),
    "name_unprintable": _l("This name holds characters that can't be shown."),
    "too_many_tags": _l("A bot has at most %(maximum)s tags."),
    "tag_too_long": _l("A tag has at most %(maximum)s characters."),
    "tag_unprintable": _l("A tag holds characters that can't be shown."),
    "share_needs_start": _l("There is nothing to share before the first start."),
    "share_not_found": _l("This link was withdrawn, or it never was one."),
    "unknown_strategy": _l("Please choose one of the offered strategies."),
    "bad_stop_reason": _l("Please give a reason of 1 to %(maximum)s characters."),
    "not_understood": _l("Please tick the box: a live bot can lose money."),
    "choose_whom_to_stop": _l("Please name either one person or one exchange."),
    "order_is_resolved": _l("This order does not wait for anybody any more."),
    "venue_shows_no_fill": _l("The exchange shows no fill of this order, so it can't be filled."),
    "venue_shows_it_open": _l("The exchange shows that this order stands. Cancel it there first."),
    "venue_shows_fills": _l("The exchange shows fills of this order. Let them be read first."),
    "venue_shows_it_closed": _l("The exchange shows that this order is over."),
    "choose_way": _l("Please choose whether money goes in or out."),
    "no_bot_chosen": _l("No bot is chosen."),
    "starts_alone": _l("A bot with real money is started from its own page, after its summary."),
    "choose_how": _l("Please choose what happens with coins and orders."),
}

_PLAN: Mapping[str, LazyString] = {
    "invalid_range": _l("The upper price must lie above the lower price."),
    "grids_out_of_range": _l("Between %(minimum)s and %(maximum)s grids."),
    "quantity_needs_equal_base": _l("A fixed size in coins only goes with orders of equal coins."),
    "stop_loss_above_take_profit": _l("The stop-loss must lie below the take-profit."),
    "range_excludes_price": _l(
        "The price %(price)s lies outside of your range from %(lower)s to %(upper)s. Choose a "
        "range around the price."
    ),
    "duplicate_levels": _l(
        "So many grids do not fit: some lines would fall on the same price. At most %(maximum)s "
        "for this range."
    ),
    "step_not_positive": _l("The step between two lines must be more than zero."),
    "price_below_tick": _l("The smallest price of this pair is %(tick)s."),
    "too_many_orders": _l("The exchange takes at most %(maximum)s orders for this pair."),
    "fees_exceed_profit": _l(
        "With these settings a completed trade earns %(gross)s and costs %(fees)s in fees. You "
        "would lose on every trade. Use fewer grids or a wider range."
    ),
    "fees_exceed_profit_some": _l(
        "On the uppermost grids a completed trade earns %(gross)s and costs %(fees)s in fees: "
        "these trades would lose. Use fewer grids, a wider range, or equal percent."
    ),
    "spot_is_long_only": _l("On the spot market a bot can only buy first and sell later."),
    "spot_has_no_leverage": _l("The spot market has no leverage."),
    "not_available_yet": _l("This setting is not available yet."),
    "stop_loss_not_below_price": _l("The stop-loss must lie below the price of now, %(price)s."),
    "stop_loss_inside_range": _l(
        "The stop-loss lies inside of your range: the bot stops before its lowest orders are "
        "filled."
    ),
    "take_profit_not_above_price": _l(
        "The take-profit must lie above the price of now, %(price)s."
    ),
    "take_profit_inside_range": _l(
        "The take-profit lies inside of your range: the bot stops before its highest orders are "
        "filled."
    ),
    "investment_too_small": _l(
        "%(value)s is not enough for this grid. Invest at least %(minimum)s, or use fewer grids. "
        "%(rule)s"
    ),
    "below_minimum_order": _l(
        "The order of %(quantity)s at %(price)s is smaller than the exchange takes."
    ),
    "reserve_below_fees": _l(
        "The fees of the first orders may exceed the reserve: %(needed)s could be needed. Some "
        "orders may wait until others are filled."
    ),
    "share_inside_fees": _l(
        "The fee of the first trade is about %(rate)s of the money: with a limit of %(share)s the "
        "bot may stop with a loss as soon as it has begun."
    ),
    "rule_min_notional": _l("The exchange takes no order below %(min_notional)s."),
    "rule_min_quantity": _l("The exchange takes no order below %(min_quantity)s."),
    "rule_lot": _l("The exchange counts the size of orders in steps of %(lot)s."),
    "rule_none": _l("The exchange sets this limit."),
    "preset_short_history": _l(
        "Needs %(days)s days of prices; there are %(have)s days of this pair."
    ),
    "preset_no_movement": _l("The price did not move enough in the last %(days)s days."),
    "preset_fees_too_high": _l(
        "The price moved too little in the last %(days)s days to earn enough after fees."
    ),
    "preset_needs_more": _l("Needs at least %(needed)s."),
}

_REFUSALS: Mapping[str, LazyString] = {
    "bot_not_found": _l("There is no such bot."),
    "unknown_trade": _l("There is no such trade."),
    "account_gone": _l("The account of this bot was deleted. Make a new bot on another account."),
    "price_is_stale": _l(
        "There have been no new prices of %(symbol)s since %(since)s. Nothing is traded by an old "
        "price: please try again when prices come."
    ),
    "no_price_yet": _l("There is no price of %(symbol)s yet. Please try again in a moment."),
    "market_no_prices": _l("There are no prices of %(symbol)s here at the moment."),
    "market_delisted": _l("%(symbol)s is not traded any more."),
    "too_many_bots": _l("You have %(maximum)s bots. Delete some that you no longer need."),
    "money_moved_meanwhile": _l(
        "Money of this bot has moved since you opened this page, maybe because the form was sent "
        "twice. Look at the figures of now before you move more."
    ),
    "settings_moved_meanwhile": _l(
        "This bot has got other settings since you opened this page. Look at them before you "
        "change them again."
    ),
    "limits_moved_meanwhile": _l(
        "This bot has got other limits since you opened this page. Look at them before you change "
        "them again."
    ),
    "paused_anew": _l(
        "This bot has paused once more since you opened this page. Read why before it goes on."
    ),
    "plan_moved": _l(
        "The price has moved and the plan is a different one by now. Please read it again."
    ),
    "not_enough_money": _l("%(needed)s is needed and %(free)s is free on this account."),
    "not_enough_coins": _l("%(needed)s is needed and %(free)s is free on this account."),
    "balances_unknown": _l(
        "The exchange did not say what is free on the account %(account)s. Please try again in a "
        "moment."
    ),
    "orders_still_open": _l(
        "Orders of this bot still stand on the exchange. Stop it once more to cancel them, then "
        "delete it."
    ),
    "position_still_held": _l(
        "This bot still holds a position in its contract. Stop it once more to close the position, "
        "then delete it."
    ),
    "position_stays": _l(
        "This bot has kept a position at the exchange. Close it first, or say that it stays there "
        "with its stop."
    ),
    "cannot_start": _l("A bot that is %(state)s can't be started."),
    "leave_orders_for_experts": _l(
        "Leaving orders on the exchange is for experts: nothing watches them there. "
        "Choose it in your profile, or let the bot take its orders back."
    ),
    "cannot_stop": _l("A bot that is %(state)s can't be stopped."),
    "cannot_emergency": _l("A bot that is %(state)s needs no emergency stop."),
    "coins_in_use": _l(
        "Another bot of this account works with %(currency)s, and the coins of this one were free "
        "for it since it stopped. Stop the other one first, or sell them on the exchange."
    ),
    "contract_is_taken": _l(
        "“%(name)s” trades this contract on the same account, and an account has only one position "
        "in it."
    ),
    "cannot_resume": _l("Only a paused bot can go on; this one is %(state)s."),
    "cannot_edit_running": _l(
        "A bot can be changed while it trades or when it is stopped; this one is %(state)s."
    ),
    "money_moves_while_active": _l(
        "Money is put in and taken out while a bot trades; this one is %(state)s. When it starts, "
        "it takes its investment from the account: change that in its settings."
    ),
    "too_much_to_take_out": _l(
        "At most %(maximum)s can be taken out now: what is earned and needed by no order."
    ),
    "money_is_in_coins": _l(
        "Only %(free)s of the money is cash now; the rest is in coins. Take out less, or stop the "
        "bot first."
    ),
    "cannot_unlock": _l("Only a locked bot can be unlocked; this one is %(state)s."),
    "cannot_edit": _l("This bot is %(state)s. Stop it first, then change its settings."),
    "cannot_delete": _l("This bot is %(state)s. Only a stopped bot can be deleted."),
    "bot_runs_on_account": _l("The bot %(name)s runs on this account. Stop it first."),
    "account_has_orders": _l(
        "Orders of the bot %(name)s still stand on this account. With the account switched on, "
        "stop that bot once more to cancel them; then delete the account."
    ),
    "account_has_stop": _l(
        "The stop of the bot %(name)s still stands on this account. Remove it on the page of that "
        "bot, or say that it stays at the exchange."
    ),
    "impossible_order_change": _l(
        "An order can't go from %(old)s to %(new)s: the books disagree with the exchange."
    ),
    "bot_busy": _l("Another worker is at this account now. Please try again in a moment."),
}

_STATES: Mapping[str, LazyString] = {
    "not_started_yet": _l("not started yet"),
    "start_requested": _l("started by you"),
    "stop_requested": _l("asked to stop: %(how)s"),
    "stopped_by_owner": _l("stopped by you: %(how)s"),
    "stopped_by_staff": _l("stopped by our staff: %(reason)s"),
    "key_off": _l("the account was switched off"),
    "plan_ended": _l("your plan no longer covers this bot"),
    "account_leaving": _l("your account is about to be deleted"),
    "emergency_stop": _l("emergency stop"),
    "unlocked": _l("unlocked by you"),
    "resumed": _l("resumed by you"),
    "liquidated": _l("the exchange has liquidated its position at %(price)s"),
    "deleveraged": _l(
        "the exchange has closed %(quantity)s of its position at %(price)s to cover others' losses"
    ),
    "closed_by_hand": _l("%(quantity)s of its position was closed outside of it at %(price)s"),
    "position_changed_outside": _l(
        "the exchange holds %(venue)s of the contract, the bot should hold %(ours)s"
    ),
    "protection_fired": _l("the stop on the exchange was reached at %(price)s"),
    "stop_loss_reached": _l("the price %(price)s reached the stop-loss %(limit)s"),
    "take_profit_reached": _l("the price %(price)s reached the take-profit %(limit)s"),
    "bot_given_up": _l(
        "it was not looked at since %(since)s, and %(tries)s new starts did not help"
    ),
    "error_repeated": _l("an error of ours repeated itself; we have noted it"),
    "first_purchase_failed": _l("the first purchase was refused %(tries)s times"),
}

_LOG: Mapping[str, LazyString] = {
    "bot_created": _l("Bot created."),
    "settings_changed": _l("Settings changed: version %(version)s."),
    "emergency_requested": _l(
        "Emergency stop: all orders are cancelled, coins are sold, positions closed."
    ),
    "emergency_by_staff": _l(
        "Emergency stop by our staff: all orders are cancelled, coins are sold, positions closed. "
        "The reason: %(reason)s"
    ),
    "bot_gave_up": _l(
        "The bot was not looked at since %(since)s, and %(tries)s new starts did not help. It has "
        "given up."
    ),
    "bot_silent": _l("The bot was not looked at for too long. It is looked at anew."),
    "order_resolved_open": _l(
        "Our staff found out about the %(side)s order at %(price)s: it stands. %(reason)s"
    ),
    "order_resolved_cancelled": _l(
        "Our staff found out about the %(side)s order at %(price)s: it does not stand. %(reason)s"
    ),
    "order_resolved_filled": _l(
        "Our staff found out about the %(side)s order at %(price)s: it was filled. %(reason)s"
    ),
    "limits_changed": _l("Limits changed."),
    "shared": _l("Shared by link, without amounts of money."),
    "shared_with_money": _l("Shared by link, with amounts of money."),
    "share_withdrawn": _l("The link to the result was withdrawn."),
    "bot_resumed": _l("The bot goes on."),
    "edited_while_running": _l("Settings changed while the bot trades (version %(version)s)."),
    "profit_taken_out": _l("%(amount)s taken out."),
    "bot_unlocked": _l("Bot unlocked."),
    "bot_deleted": _l("Bot deleted."),
    "bot_stopped": _l("Bot stopped."),
    "bot_locked": _l("Bot locked after the emergency stop."),
    "first_purchase_done": _l("First purchase done: %(quantity)s."),
    "first_purchase_refused": _l("The first purchase was refused (try %(tries)s)."),
    "level_bought": _l("Level %(level)s bought %(quantity)s at %(price)s."),
    "level_sold": _l("Level %(level)s sold %(quantity)s at %(price)s. Profit: %(profit)s."),
    "level_too_small_to_sell": _l(
        "After fees too few coins of level %(level)s are left to sell alone; they go along with "
        "the next sell."
    ),
    "level_paused": _l(
        "Level %(level)s was refused %(tries)s times and waits until another order is filled."
    ),
    "late_fill": _l(
        "An order on level %(level)s was filled after we had given it up: %(side)s %(quantity)s."
    ),
    "order_rejected": _l("The exchange refused the %(side)s order on level %(level)s."),
    "order_denied": _l("Our limits refused the %(side)s order on level %(level)s."),
    "order_cancelled_outside": _l(
        "The %(side)s order on level %(level)s was cancelled outside of this bot. It is placed "
        "again in a minute, at most twice in a row."
    ),
    "order_cancelled_elsewhere": _l(
        "The %(side)s order of this bot that stands on no level was cancelled outside of it."
    ),
    "position_deleveraged": _l(
        "The exchange has closed %(quantity)s of the position at %(price)s by auto-deleveraging: "
        "profitable positions make up for losses of others. The bot stops."
    ),
    "position_closed_by_hand": _l(
        "%(quantity)s of the position was closed at %(price)s outside of this bot, by hand or by "
        "another program. A bot that runs stops and takes its orders back, so that they open "
        "nothing the other way."
    ),
    "position_liquidated": _l(
        "The exchange has liquidated the position of %(quantity)s at %(price)s: its losses had "
        "used up the margin. The bot stops."
    ),
    "paused_exchange_key_refused": _l(
        "The exchange refuses the key of this account: it has ended, was deleted, may not trade "
        "any more, or is bound to other addresses. The bot pauses; check the key, then let it go "
        "on."
    ),
    "stop_key_refused": _l(
        "The exchange refuses the key of this account, so orders of this bot may still stand and "
        "its coins may be unsold. Give the key the right to trade again; the bot goes on trying."
    ),
    "paused_margin_not_isolated": _l(
        "The account at the exchange is not set to isolated margin, so contracts are not traded "
        "there. The bot pauses; change it at the exchange, then let it go on."
    ),
    "stop_left": _l(
        "The position is kept, and its stop stays on the exchange: %(quantity)s are closed at "
        "%(price)s. Remove the stop or close the position on this page."
    ),
    "left_with_account": _l(
        "The account was deleted here. The position of %(held)s and its stop stay at the exchange; "
        "nobody here watches them."
    ),
    "left_unprotected_with_account": _l(
        "The account was deleted here. The position of %(held)s stays at the exchange without a "
        "stop; nobody here watches it."
    ),
    "orders_left_with_account": _l(
        "The account was deleted here. Orders of this bot stay at the exchange: %(orders)s. Nobody "
        "here watches them."
    ),
    "account_deleted": _l("The account of this bot was deleted here."),
    "left_stop_fired": _l(
        "The stop that was left on the exchange at %(price)s was reached and closed %(quantity)s."
    ),
    "position_unprotected": _l(
        "The position of %(held)s is kept, and no stop protects it. Close it on this page, or look "
        "after it on the exchange."
    ),
    "stop_without_key": _l(
        "The exchange refuses the key, so the bot could take nothing back and close nothing: its "
        "orders, its position and its stop stand there as they are."
    ),
    "stop_fired": _l(
        "The stop at %(price)s was reached on the exchange and sold %(quantity)s. The bot stops "
        "and sells what is left."
    ),
    "protection_refused": _l(
        "The exchange refused the stop at %(price)s: %(code)s The bot itself watches the price."
    ),
    "books_differ": _l(
        "The balance of %(currency)s on the exchange has moved by %(venue)s, and this account's "
        "bots by %(ours)s. Somebody else trades or moves money there, or something is missing in "
        "our books: our staff looks at it."
    ),
    "pair_delisted": _l(
        "%(symbol)s is not traded any more on the exchange under this name. The bot pauses and "
        "goes on by itself if the pair comes back; stop it when you have decided about its coins "
        "and orders. If the coin was renamed, yours are there under the new name: stop this bot "
        "with “keep” and start one on the new pair."
    ),
    "paused_pair_delisted": _l(
        "%(symbol)s is not traded any more on the exchange under this name. The bot goes on by "
        "itself if the pair comes back; stop it if you don't want to wait, or if the coin has a "
        "new name there: then start one on the new pair."
    ),
    "pair_no_prices": _l("There are no prices of %(symbol)s here at the moment; the bot waits."),
    "pair_is_back": _l("%(symbol)s is traded here again; the bot goes on."),
    "order_edited_outside": _l(
        "Somebody changed an order of this bot on the exchange (%(side)s at %(ours)s, now at "
        "%(price)s). It is taken back and placed anew as planned."
    ),
    "order_adopted": _l(
        "The exchange shows an order that it did not know before: %(side)s at %(price)s. The bot "
        "takes it in again."
    ),
    "late_order_cancelled": _l(
        "The exchange shows an order of this bot that it did not know before: %(side)s at "
        "%(price)s. The bot has ended meanwhile, so the order is taken back."
    ),
    "stray_cancelled": _l(
        "An order of ours that no bot knows stood on the exchange: %(side)s at %(price)s. It is "
        "taken back."
    ),
    "books_restored": _l(
        "Our records were brought back from an older copy. %(fills)s trades of this bot that they "
        "lacked are counted now, and it begins anew with the coins and the money that are there."
    ),
    "price_below_range": _l("The price %(price)s is below the range, which begins at %(lower)s."),
    "price_above_range": _l("The price %(price)s is above the range, which ends at %(upper)s."),
    "price_back_in_range": _l("The price %(price)s is back in the range."),
    "coins_left_over": _l("%(quantity)s is left: too few coins for an order."),
    "closing_sale_waits": _l(
        "The exchange refuses to close %(quantity)s for now. The bot tries again about once a "
        "minute, for half an hour."
    ),
    "closing_sale_failed": _l(
        "The exchange refused to close %(quantity)s. They are still there; stop the bot once more "
        "to try again."
    ),
    "coins_missing": _l(
        "%(quantity)s that the bot held were not on the account any more: sold or moved by "
        "somebody else. What was there is sold. The rest counts as taken out, at %(price)s each."
    ),
    "stop_stuck": _l(
        "This stop takes longer than it should: the exchange does not take orders back, does not "
        "close, or does not say what became of an order. The bot goes on trying."
    ),
    "denied_halted": _l("No order was placed: the bot is being stopped."),
    "denied_too_many_open_orders": _l("No order was placed: %(open)s orders stand already."),
    "denied_below_minimum_order": _l(
        "No order was placed: %(quantity)s at %(price)s is smaller than the exchange takes."
    ),
    "denied_over_budget": _l(
        "No order was placed: it needs %(needed)s and the bot has %(free)s left."
    ),
    "denied_not_enough_coins": _l(
        "No order was placed: it needs %(needed)s and the bot has %(free)s left."
    ),
    "no_price": _l("There is no price of %(symbol)s yet; the bot waits."),
    "fee_price_unknown": _l(
        "A fee of %(amount)s %(currency)s could not be counted: its price is not known."
    ),
    "unexpected": _l("Something went wrong in this bot. We have noted it and try again."),
    "tick_failed": _l("Something went wrong in this bot. We have noted it and try again."),
}

_REASONS: Mapping[str, LazyString] = {
    "protection": _l(
        "The stop that rests on the exchange at %(trigger)s, for %(quantity)s that no other order "
        "covers."
    ),
    "first_purchase": _l(
        "First purchase: the coins for the sells above the price, bought at market at the start."
    ),
    "grid_start": _l("Placed when the grid started, on level %(level)s."),
    "answers_buy": _l(
        "Level %(from_level)s had bought at %(from_price)s, so the bot sells one level higher."
    ),
    "answers_sell": _l(
        "Level %(from_level)s had sold at %(from_price)s, so the bot buys one level lower."
    ),
    "coins_carried_over": _l(
        "Carried over: the bot began anew with these coins, at a new start, with other settings or "
        "because they were too few to be sold alone. The trades that sell them say what they bring."
    ),
    "stray_order": _l(
        "Cancelled: the order on level %(level)s had been replaced and turned up again."
    ),
}

# Why an order was refused, denied, or what is not known about it.
ORDERS: Mapping[str, LazyString] = {
    "halted": _l("The bot is being stopped."),
    "too_many_open_orders": _l("Too many orders stand already."),
    "over_budget": _l("The money of the bot does not suffice."),
    "insufficient_balance": _l("The account does not hold enough."),
    "nothing_to_close": _l("The account holds nothing that this order could close."),
    "no_clear_answer": _l("The exchange did not say whether it took the order. We are checking."),
    "unknown_to_venue": _l("The exchange does not know this order. We are checking."),
    "resolved_by_staff": _l("Our staff found out that this order does not stand."),
    "vanished": _l("The exchange no longer knows this order, and nobody was told of a fill."),
    "cancelled_outside": _l("Somebody else cancelled this order on the exchange."),
    "left_with_account": _l(
        "The account was deleted here while this order stood: it is left to its owner."
    ),
    "never_arrived": _l("The order never reached the exchange."),
    "clock_differs": _l("Our clock and the exchange's differed too much."),
    "exchange_closed": _l("The exchange did not take orders at that moment."),
    "stop_not_supported": _l("No stop order can rest at this exchange."),
    "margin_not_isolated": _l("The account at the exchange is not set to isolated margin."),
    "unknown_symbol": _l("The exchange does not know this pair."),
    "unknown_order": _l("The exchange does not know this order."),
    "duplicate_client_id": _l("The exchange has this order already."),
    "no_price": _l("There is no price yet."),
    "bad_price": _l("The exchange does not take this price."),
    "price_off_tick": _l("The price is not a multiple of the pair's smallest step."),
    "quantity_off_lot": _l("The size is not a multiple of the pair's smallest step."),
    "below_minimum_order": _l("The order is smaller than the exchange takes."),
    "not_enough_coins": _l("The coins of the bot do not suffice."),
    "refused": _l("The exchange refused the order."),
    "not_sent": _l("The order was not sent."),
    "not_connected": _l("The exchange could not be reached; the order was not sent."),
}

_NOTICES: Mapping[str, LazyString] = {
    "notice_error": _l(
        "This bot gave up after several errors in a row. Its orders are taken back and its coins "
        "are kept. Start it again when the cause is gone, or stop it."
    ),
    "notice_not_begun": _l(
        "This bot could not begin, so it has placed no orders. Start it again when the cause is "
        "gone, or change its settings."
    ),
    "notice_locked": _l("This bot is locked after an emergency stop until you unlock it."),
    "notice_stale": _l("This bot was not looked at for too long. Its figures may be old."),
    "notice_price_stale": _l(
        "There are no new prices of %(symbol)s. Orders that stand on the exchange go on; "
        "stop-loss, take-profit and following the price wait for new prices, but for a stop that "
        "rests there."
    ),
    "notice_start_waits": _l(
        "There are no new prices of %(symbol)s. The bot begins with the next one, for nothing is "
        "traded by an old price."
    ),
    "notice_edit_waits": _l(
        "There are no new prices of %(symbol)s. The new settings begin with the next one, for "
        "nothing is traded by an old price; orders that do not fit them are taken back."
    ),
    "notice_below_range": _l(
        "The price is below your range. The bot has bought all it can (%(coins)s) and waits. It "
        "earns nothing until the price is back above %(lower)s. Now: %(total)s. You can wait, "
        "widen the range or stop."
    ),
    "notice_above_range": _l(
        "The price is above your range. The bot has sold all it can and waits. It earns nothing "
        "until the price is back below %(upper)s. Now: %(total)s. You can wait, widen the range or "
        "stop."
    ),
    "notice_stop_loss": _l(
        "This bot was stopped by its stop-loss at %(price)s. Result of the whole run: %(total)s."
    ),
    "notice_left_orders": _l(
        "Orders that this bot has left still stand on the exchange: %(orders)s. Nobody watches "
        "them. Cancel them here, or leave them."
    ),
    "notice_left_position": _l(
        "This bot is stopped and still holds %(quantity)s. The position goes on paying or "
        "receiving funding, can be liquidated, and keeps other bots of this account out of the "
        "contract. Close it here, or start the bot again."
    ),
    "notice_left_stop": _l(
        "Its stop at %(price)s stays on the exchange and closes %(quantity)s there, also while "
        "Botyard is off. It does not follow what you trade by hand. Remove it or close the "
        "position here; a new start takes it over."
    ),
    "notice_left_with_account": _l(
        "The account of this bot was deleted here while the bot held %(quantity)s. That stays at "
        "the exchange, and nobody here sees or watches it."
    ),
    "notice_stop_stuck": _l(
        "This stop takes longer than it should: the exchange does not take orders back, does not "
        "close, or does not say what became of an order. The bot goes on trying. Look at its "
        "orders and its log; you can ask it to keep what it holds instead, or close it at the "
        "exchange."
    ),
    "notice_sale_failed": _l(
        "The exchange refused to close what this bot holds, so it stopped with it. The orders show "
        "why. Stop it once more to try again, or close it at the exchange."
    ),
    "notice_coins_missing": _l(
        "%(quantity)s that this bot held were not on the account when it was to sell them. It sold "
        "what was there and stopped. The rest counts as taken out, at %(price)s each."
    ),
    "notice_no_stop": _l("No stop protects this position: nobody closes it when it loses."),
    "notice_without_key": _l(
        "This bot was to stop, but the exchange refuses its key, so nothing could be taken back or "
        "closed. Its orders, its position and its stop stand on the exchange as they are: look "
        "after them there, or mend the key and stop the bot once more."
    ),
    "notice_unresolved": _l(
        "%(exchange)s did not say whether an order at %(price)s was placed (%(since)s). We are "
        "checking and will not send it again until we know. The other orders go on."
    ),
    "notice_unresolved_market": _l(
        "%(exchange)s did not say whether an order at market was placed (%(since)s). We are "
        "checking and will not send it again until we know. The other orders go on."
    ),
}

TEXTS: Mapping[str, LazyString] = {
    **_FORM, **_PLAN, **_REFUSALS, **_LOG, **_STATES, **_REASONS, **_NOTICES,
    **{f"order_{code}": text for code, text in ORDERS.items()},
    **grid_texts.TEXTS,
    **contract_texts.TEXTS,
}  # fmt: skip
