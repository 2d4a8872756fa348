"""Changing a bot while it trades: other settings, more money, profit taken out.

All of it happens under the bot's row lock, as ticks do: the next tick finds the new settings with
the strategy's state for them, and cancels and places by itself. A crash in between leaves nothing
half done, for settings, state and money change in one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from app.bots.funds import check_funds, read_funds
from app.bots.grounds import Grounds, check_price, check_usable
from app.bots.metrics import flow_money
from app.bots.models import Bot, BotConfig, BotMetrics, BotState
from app.bots.planning import grounds_of
from app.bots.queries.preview import AtOnce, Preview, plan_preview
from app.bots.rules import Seen, changed_materially, seen_of
from app.bots.service import add_version
from app.bots.verbs import announce, locked_bot, tell
from app.db import db, utc_now
from app.errors import Conflict, DomainError, InvalidInput
from app.trades.service import unsettled_orders
from app.trading.codec import to_json
from app.trading.market import ONE, ZERO, MarketKind, exact
from app.trading.orders import Side
from app.trading.position import Holdings
from app.trading.risk import budget_of, margin_of
from app.trading.strategies import strategy_named
from app.trading.strategy import InvalidParams, Strategy, View

# Below this nobody means it.
LEAST_FLOW = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class MoneyLimits:
    """How much may be put into a running bot and taken out of it now, in its quote currency.

    What can be put in is unknown (None) on a real account whose balances nobody has read.
    """

    most_in: Decimal | None
    most_out: Decimal
    currency: str
    # All that ever went in and came out: whoever has read it can't move the same money twice.
    seen: str


@dataclass(frozen=True, slots=True)
class _Running:
    """A running bot with all that a decision about it needs."""

    bot: Bot
    grounds: Grounds
    strategy: Strategy[Any, Any]
    params: Any
    state: Any
    view: View


@dataclass(frozen=True, slots=True)
class Cost:
    """What other settings would do to a running bot: the strategy's `Edit`, and what is read of it.

    The version is that of the settings which the edit starts from.
    """

    edit: Any
    seen: Seen


def edit_preview(user_id: int, bot_id: int, params: Mapping[str, object]) -> Cost:
    """Say what other settings would do to a running bot now.

    Raise InvalidParams naming every bad field, Conflict unless the bot is active.
    """
    running = _running(locked_bot(bot_id, user_id))
    edit = _edit(running, running.strategy.parse(_whole(running, params)))
    return Cost(edit, _seen(running.bot, edit))


def preview_of_edit(
    user_id: int, bot_id: int, params: Mapping[str, object], shown: Preview
) -> Preview:
    """Return the figures of a form as they are for a running bot, if its settings can be run.

    What is bought or sold at market now, and orders with the profit that is reinvested in them.
    Nothing is locked, for it is asked at every stroke of a key.
    """
    bot = db.session.get(Bot, bot_id)
    if bot is None or bot.user_id != user_id:
        return shown
    try:
        running = _running(bot)
        read = running.strategy.parse(_whole(running, params))
        edit = _edit(running, read)
    except DomainError:
        return shown
    if edit.state is None:
        return shown
    at_once = AtOnce(edit.base_to_buy, edit.base_to_sell, edit.cost)
    if not edit.reinvested:
        return replace(shown, at_once=at_once)
    planned = plan_preview(running.grounds, read, edit.plan, free=shown.free)
    return replace(
        planned,
        errors=shown.errors,
        warnings=shown.warnings,
        # What its owner puts in, and what of the account is left beside it.
        investment=shown.investment,
        free_left=shown.free_left,
        at_once=at_once,
        reinvested=edit.reinvested,
    )


def edit_running(
    user_id: int,
    bot_id: int,
    params: Mapping[str, object],
    seen: Seen | None,
    balances: Mapping[str, Decimal] | None = None,
) -> None:
    """Give a running bot other settings as a new version; its next tick does what they need.

    `seen` is what its owner has read: raise Conflict `settings_moved_meanwhile` if the bot has
    other settings by now, `plan_moved` if they would cost something else. Settings that it has
    already are left alone, so a form that is sent twice does no harm. Raise InvalidParams if it
    can't be done, Conflict if the money it needs is not free.
    """
    running = _running(locked_bot(bot_id, user_id))
    bot = running.bot
    read = running.strategy.parse(_whole(running, params))
    if read == running.params:
        return
    if seen is None or seen.version != bot.config_version:
        raise Conflict("settings_moved_meanwhile")
    edit = _edit(running, read)
    if edit.state is None:
        raise InvalidParams(edit.errors)
    if changed_materially(seen, _seen(bot, edit), bot.capital):
        raise Conflict("plan_moved")
    _apply(running, read, edit, user_id, balances)


def add_money(
    user_id: int,
    bot_id: int,
    amount: Decimal,
    balances: Mapping[str, Decimal] | None = None,
    seen: str | None = None,
) -> None:
    """Raise a running bot's investment; its orders grow by it. Raise Conflict if it is not free.

    `seen` is that of the `MoneyLimits` which the owner has read: raise Conflict
    `money_moved_meanwhile` if money has moved since. Without it nobody has read anything.
    """
    running = _running(locked_bot(bot_id, user_id), "money_moves_while_active")
    _check_amount(amount)
    _check_unmoved(running, seen)
    read = replace(running.params, investment=running.bot.capital + amount)
    edit = _edit(running, read)
    if edit.state is None:
        raise InvalidParams(edit.errors)
    _apply(running, read, edit, user_id, balances)


def take_out(user_id: int, bot_id: int, amount: Decimal, seen: str | None = None) -> None:
    """Take earned money out of a running bot; its orders stay as they are.

    Raise Conflict beyond what is earned and not needed by its orders; `seen` as for `add_money`.
    """
    running = _running(locked_bot(bot_id, user_id), "money_moves_while_active")
    _check_amount(amount)
    _check_unmoved(running, seen)
    most = _most_out(running)
    if amount > most:
        raise Conflict("too_much_to_take_out", field="amount", maximum=most)
    metrics = db.session.get_one(BotMetrics, bot_id, with_for_update=True)
    grounds, now = running.grounds, utc_now()
    flow_money(metrics, -amount, grounds.known_price, grounds.market, now)
    state = running.strategy.with_flow(running.state, -amount)
    running.bot.strategy_state = running.strategy.encode_state(state)
    tell(running.bot, "profit_taken_out", user_id, {"amount": amount}, now)
    announce(running.bot, tick=True)


def money_limits(
    user_id: int, bot_id: int, balances: Mapping[str, Decimal] | None = None
) -> MoneyLimits:
    """Return how much money may go in and out now; `balances` are what a real account holds."""
    running = _running(locked_bot(bot_id, user_id), "money_moves_while_active")
    account, market = running.grounds.account, running.grounds.market
    most_in = None
    if account.mode == "paper" or balances is not None:
        most_in = read_funds(account, balances=balances).free(market.quote)
    return MoneyLimits(most_in, _most_out(running), market.quote, _moved_so_far(running))


def _moved_so_far(running: _Running) -> str:
    # Both sums only grow, so no two moments with a flow between them look the same.
    metrics = db.session.get_one(BotMetrics, running.bot.id)
    return f"{metrics.deposited:f}|{metrics.withdrawn:f}"


def _check_unmoved(running: _Running, seen: str | None) -> None:
    if seen is not None and seen != _moved_so_far(running):
        raise Conflict("money_moved_meanwhile")


def _running(bot: Bot, refusal: str = "cannot_edit_running") -> _Running:
    if bot.state != BotState.ACTIVE.value or bot.strategy_state is None or bot.stop_request:
        raise Conflict(refusal, state=bot.state)
    grounds = grounds_of(bot)
    check_usable(grounds)
    version = db.session.get_one(BotConfig, (bot.id, bot.config_version))
    strategy = strategy_named(bot.strategy)
    params = strategy.parse(version.params)
    state = strategy.decode_state(bot.strategy_state)
    metrics = db.session.get_one(BotMetrics, bot.id, populate_existing=True)
    own = [o for o in unsettled_orders([bot.account_id]) if o.bot_id == bot.id]
    view = View(
        time=utc_now(),
        price=grounds.known_price,
        market=grounds.market,
        params=params,
        state=state,
        orders=tuple(o.order for o in own if o.epoch == bot.epoch),
        holdings=Holdings(metrics.base, metrics.quote, metrics.base_cost),
        investment=bot.capital,
    )
    return _Running(bot, grounds, strategy, params, state, view)


def _whole(running: _Running, params: Mapping[str, object]) -> dict[str, object]:
    """Fill up what was not given with what is: a change names only what changes."""
    known = running.strategy.encode_params(running.params)
    return {**known, **params}


def _seen(bot: Bot, edit: Any) -> Seen:
    """Gather what an owner decides on: coins traded at once, worst case, warnings, new money."""
    lines = (*edit.errors, *edit.warnings)
    at_once = edit.cost if edit.base_to_buy else -edit.cost
    worst = edit.plan.worst_case
    loss = None if worst is None else worst.loss
    codes = (line.code for line in lines)
    return seen_of(bot.config_version, at_once, loss, codes, edit.money_in)


def _edit(running: _Running, read: Any) -> Any:
    return running.strategy.edit(running.params, running.state, read, running.view)


def _apply(
    running: _Running,
    read: Any,
    edit: Any,
    actor_id: int,
    balances: Mapping[str, Decimal] | None,
) -> None:
    bot, grounds, now = running.bot, running.grounds, utc_now()
    if edit.places or edit.base_to_buy or edit.base_to_sell or edit.money_in:
        check_price(grounds)
    if edit.money_in > 0:
        funds = read_funds(grounds.account, balances=balances)
        market = grounds.market
        check_funds(funds, market.base, market.quote, Holdings(ZERO, edit.money_in))
    if edit.money_in:
        metrics = db.session.get_one(BotMetrics, bot.id, with_for_update=True)
        cash = _cash(running)
        if cash + edit.money_in < 0:
            raise Conflict("money_is_in_coins", field="investment", free=cash)
        flow_money(metrics, edit.money_in, grounds.known_price, grounds.market, now)
    if read.stop_loss != running.params.stop_loss:
        # What the price has reached before does not count.
        bot.swing_seq, bot.swing_low, bot.swing_high = grounds.row.last_seq, None, None
    bot.config_version += 1
    bot.capital += edit.money_in
    bot.plan = to_json(edit.plan)
    bot.strategy_state = running.strategy.encode_state(edit.state)
    bot.wake_below = bot.wake_above = None
    bot.next_tick_at = now
    add_version(bot, running.strategy.encode_params(read), actor_id, now)
    values = {"version": bot.config_version, "money": edit.money_in}
    tell(bot, "edited_while_running", actor_id, values, now)
    announce(bot, tick=True)


@exact
def _most_out(running: _Running) -> Decimal:
    """Return earned money that no order needs, neither one that rests nor one that waits."""
    metrics = db.session.get_one(BotMetrics, running.bot.id)
    free = _free_margin(running) if _is_contract(running) else _free_cash(running)
    return max(ZERO, min(metrics.grid_profit - metrics.withdrawn, free))


def _is_contract(running: _Running) -> bool:
    return running.view.market.kind is MarketKind.LINEAR


def _cash(running: _Running) -> Decimal:
    """Return the money that is no coins; behind a position in a contract all of it is the wallet.

    What such a position has cost was never paid, so its signed cash says nothing alone.
    """
    held = running.view.holdings
    return held.wallet if _is_contract(running) else held.quote


def _free_cash(running: _Running) -> Decimal:
    return budget_of(running.view).quote - _needed_later(running)


def _free_margin(running: _Running) -> Decimal:
    """Return the money beyond the margin of now and of all orders of the plan, waiting ones too."""
    plan = running.bot.plan or {}
    reserve: Decimal = running.params.reserve
    planned = Decimal(str(plan.get("investment") or 0)) * (ONE - reserve)
    return running.view.holdings.wallet - max(planned, margin_of(running.view))


def _needed_later(running: _Running) -> Decimal:
    """Return the cash of buys that the plan knows and that do not rest now."""
    plan = running.bot.plan or {}
    resting = sum(
        (o.price * o.remaining for o in running.view.orders
         if o.status.is_live and o.key.side is Side.BUY and o.price is not None),
        ZERO,
    )  # fmt: skip
    planned = Decimal(str(plan.get("quote_reserved") or 0))
    return max(ZERO, planned - resting)


def _check_amount(amount: Decimal) -> None:
    if not amount.is_finite() or amount < LEAST_FLOW:
        raise InvalidInput("too_small", field="amount", minimum=LEAST_FLOW)
    if amount > Decimal(10) ** 15:
        raise InvalidInput("too_large", field="amount", maximum=Decimal(10) ** 15)
