"""What the create page knows: accounts, pairs, presets, and the live figures of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from app.bots import funds, presets
from app.bots.grounds import Grounds, find_grounds, own_account, pair_of
from app.bots.models import Bot, BotMetrics
from app.bots.planning import Prospect, prospect
from app.bots.queries.cards import BotCard, running_bots
from app.bots.queries.page import Setting, current_settings
from app.db import db, utc_now
from app.errors import DomainError, NotFound, Unavailable
from app.exchanges.models import Exchange, ExchangeAccount
from app.markets.queries import candles, day_figures, last_prices, search_markets
from app.subscriptions.queries import limits_of, plans_on_offer
from app.subscriptions.rules import Limits, RunningBots, check_start
from app.trades.owners import Pair
from app.trades.queries import Line
from app.trading.market import ONE, ZERO, exact
from app.trading.strategies import STRATEGIES
from app.trading.strategies.grid_levels import most_grids
from app.trading.strategies.grid_params import FEWEST_GRIDS, GridParams, Spacing
from app.trading.strategies.grid_plan import GridPlan
from app.trading.strategy import Field, InvalidParams, Problem

# What a strategy declares but nobody can run yet is not asked for.
HIDDEN_FIELDS = frozenset({"direction", "leverage", "trailing_up", "quantity"})
FIRST_INVESTMENT = Decimal(1000)
PAIRS_SHOWN = 20


def offered_fields(strategy: str) -> tuple[Field, ...]:
    """Return the parameters of a strategy that a person is asked for."""
    known = STRATEGIES.get(strategy)
    if known is None:
        return ()
    return tuple(field for field in known.fields if field.name not in HIDDEN_FIELDS)


def offered_strategies() -> tuple[str, ...]:
    """Return the names of the strategies that can be chosen."""
    return tuple(STRATEGIES)


# --- accounts and pairs ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountChoice:
    """An account in the list, and why it can't be used, if it can't."""

    id: int
    label: str
    mode: str
    exchange: str
    venue: str
    testnet: bool
    usable: bool
    reason: Line | None


def account_choices(user_id: int) -> tuple[AccountChoice, ...]:
    """Return a person's accounts, oldest first."""
    rows = db.session.execute(
        select(ExchangeAccount, Exchange)
        .join(Exchange, Exchange.code == ExchangeAccount.venue)
        .where(ExchangeAccount.user_id == user_id, ExchangeAccount.deleted_at.is_(None))
        .order_by(ExchangeAccount.id)
    ).all()
    disabled = set(db.session.scalars(select(Exchange.code).where(~Exchange.enabled)))
    choices = []
    for account, venue in rows:
        reason = None
        if not account.active:
            reason = Line("account_switched_off", {"account": account.label})
        elif {account.exchange, account.venue} & disabled:
            reason = Line("exchange_disabled", {"exchange": venue.name})
        choices.append(
            AccountChoice(
                account.id, account.label, account.mode, venue.name, account.venue,
                account.testnet, reason is None, reason,
            )
        )  # fmt: skip
    return tuple(choices)


@dataclass(frozen=True, slots=True)
class PairChoice:
    """A pair in the search, and why it can't be traded, if it can't."""

    pair: Pair
    price: Decimal | None
    day_change: Decimal | None
    day_volume: Decimal
    tradable: bool
    reason: Line | None


def find_pairs(user_id: int, account_id: int, words: str) -> tuple[PairChoice, ...]:
    """Find pairs of an account's exchange by coin, tradable ones first."""
    account = own_account(user_id, account_id)
    rows = search_markets(words, exchanges=[account.venue], tradable_only=False, limit=PAIRS_SHOWN)
    ids = [row.id for row in rows]
    prices, days = last_prices(ids), day_figures(ids)
    found = []
    for row in rows:
        code = f"market_{row.blocked_reason}" if row.blocked_reason else ""
        found.append(
            PairChoice(
                pair=pair_of(row),
                price=prices[row.id].price,
                day_change=days[row.id].change,
                day_volume=days[row.id].volume,
                tradable=not code,
                reason=Line(code, {"symbol": row.symbol}) if code else None,
            )
        )
    return tuple(sorted(found, key=lambda choice: not choice.tradable))


def first_pair(user_id: int, account_id: int) -> int | None:
    """Return the pair that a new bot begins with: BTC, else the first that can be traded."""
    for words in ("BTC", ""):
        for choice in find_pairs(user_id, account_id, words):
            if choice.tradable:
                return choice.pair.id
    return None


# --- the draft ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """A preset card; without enough history it has a reason instead of a grid."""

    name: str
    days: int
    available: bool
    reason: Line | None
    from_day: datetime | None = None
    to_day: datetime | None = None
    lower: Decimal | None = None
    upper: Decimal | None = None
    grids: int | None = None
    spacing: str | None = None
    stop_loss: Decimal | None = None
    profit_low: Decimal | None = None
    profit_high: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a bot that is being made stands on."""

    accounts: tuple[AccountChoice, ...]
    account: AccountChoice | None
    free: Decimal | None
    strategies: tuple[str, ...]
    pair: Pair | None
    price: Decimal | None
    price_at: datetime | None
    price_stale: bool
    day_change: Decimal | None
    presets: tuple[PresetChoice, ...]
    problem: Line | None

    def preset(self, name: str) -> PresetChoice | None:
        """Return an available preset by its name."""
        return next((each for each in self.presets if each.name == name and each.available), None)


def make_draft(
    user_id: int,
    account_id: int | None,
    market_id: int | None,
    investment: Decimal | None = None,
    *,
    but: int | None = None,
    balances: Mapping[str, Decimal] | None = None,
) -> Draft:
    """Return what a new bot could stand on; what is not theirs or not there is left empty.

    `but` is a bot whose own money counts as free.
    """
    accounts = account_choices(user_id)
    usable = [account for account in accounts if account.usable]
    chosen = next((account for account in accounts if account.id == account_id), None)
    if chosen is None and usable:
        chosen = usable[0]
    empty = Draft(
        accounts, chosen, None, offered_strategies(), None, None, None, True, None, (), None
    )
    if chosen is None:
        return empty
    market_id = market_id or first_pair(user_id, chosen.id)
    try:
        grounds = find_grounds(own_account(user_id, chosen.id), market_id or 0)
    except NotFound:
        fallback = first_pair(user_id, chosen.id)
        if fallback is None:
            return empty
        grounds = find_grounds(own_account(user_id, chosen.id), fallback)
    row = grounds.row
    free = free_money(grounds, but=but, balances=balances)
    blocked = f"market_{row.blocked_reason}" if row.blocked_reason else ""
    return replace(
        empty,
        free=free,
        pair=pair_of(row),
        price=grounds.price.price,
        price_at=grounds.price.at,
        price_stale=grounds.price.is_stale,
        day_change=day_figures([row.id])[row.id].change,
        presets=preset_choices(grounds, investment or first_investment(free)),
        problem=Line(blocked, {"symbol": row.symbol}, "error") if blocked else None,
    )


def draft_of_bot(
    user_id: int, card: BotCard, balances: Mapping[str, Decimal] | None = None
) -> Draft:
    """Return what new settings of a bot stand on; its account and pair stay as they are."""
    accounts = account_choices(user_id)
    account = own_account(user_id, card.account_id)
    grounds = find_grounds(account, card.pair.id)
    return Draft(
        accounts=accounts,
        account=next((each for each in accounts if each.id == account.id), None),
        free=free_money(grounds, but=card.id, balances=balances),
        strategies=offered_strategies(),
        pair=card.pair,
        price=grounds.price.price,
        price_at=grounds.price.at,
        price_stale=grounds.price.is_stale,
        day_change=day_figures([card.pair.id])[card.pair.id].change,
        presets=(),
        problem=None,
    )


def preview_of_draft(
    user_id: int,
    draft: Draft,
    strategy: str,
    values: Mapping[str, object],
    wrong: Sequence[FieldLine] = (),
) -> Preview | None:
    """Plan what a form says on its draft; without an account or a pair there is nothing to plan."""
    if draft.account is None or draft.pair is None:
        return None
    grounds = find_grounds(own_account(user_id, draft.account.id), draft.pair.id)
    shown = preview(grounds, strategy, values, free=draft.free, wrong=wrong)
    if draft.problem is None:
        return shown
    return replace(shown, errors=(FieldLine("market_id", draft.problem), *shown.errors))


def free_money(
    grounds: Grounds, *, but: int | None = None, balances: Mapping[str, Decimal] | None = None
) -> Decimal | None:
    """Return what a bot could take of the account in the quote coin, None if nobody knows now."""
    try:
        return funds.read_funds(grounds.account, but=but, balances=balances).free(
            grounds.market.quote
        )
    except Unavailable:
        return None


def first_investment(free: Decimal | None) -> Decimal:
    """Return the money that a new form begins with."""
    if free is None or free <= 0:
        return FIRST_INVESTMENT
    return min(FIRST_INVESTMENT, free)


def preset_choices(grounds: Grounds, investment: Decimal) -> tuple[PresetChoice, ...]:
    """Return the three presets of a grid for so much money."""
    price = grounds.price.price
    if price is None:
        line = Line("no_price_yet", {"symbol": grounds.row.symbol})
        return tuple(PresetChoice(kind.name, kind.days, False, line) for kind in presets.KINDS)
    history = candles(grounds.row.id, "1h", presets.LONGEST_DAYS * 24)
    now = utc_now()
    return tuple(
        _preset_choice(presets.make_preset(kind, history, grounds.market, price, investment, now))
        for kind in presets.KINDS
    )


def _preset_choice(made: presets.Preset | presets.NoPreset) -> PresetChoice:
    kind = made.kind
    if isinstance(made, presets.NoPreset):
        return PresetChoice(kind.name, kind.days, False, Line(made.code, made.values))
    return PresetChoice(
        name=kind.name,
        days=kind.days,
        available=True,
        reason=None,
        from_day=made.from_time,
        to_day=made.to_time,
        lower=made.lower,
        upper=made.upper,
        grids=made.grids,
        spacing=made.spacing,
        stop_loss=made.stop_loss,
        profit_low=made.profit_low,
        profit_high=made.profit_high,
    )


# --- the preview ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldLine:
    """A sentence about one field of the form."""

    field: str
    line: Line


@dataclass(frozen=True, slots=True)
class Worst:
    """What is left when the price has fallen to the lower end, in money."""

    price: Decimal
    coins: Decimal
    value: Decimal
    loss: Decimal
    loss_share: Decimal
    break_even: Decimal | None


@dataclass(frozen=True, slots=True)
class Purchase:
    """The first purchase at market."""

    quantity: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the bounds lie from the price, as fractions with their sign."""

    lower_share: Decimal
    upper_share: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """The live figures of a plan; what can't be known yet is None."""

    pair: Pair
    currency: str
    price: Decimal | None
    price_at: datetime | None
    price_stale: bool
    errors: tuple[FieldLine, ...] = ()
    warnings: tuple[FieldLine, ...] = ()
    price_gap: Gap | None = None
    grids: int | None = None
    step: Decimal | None = None
    step_share: Decimal | None = None
    step_share_low: Decimal | None = None
    step_share_high: Decimal | None = None
    fewest_grids: int | None = None
    most_grids: int | None = None
    profit_low: Decimal | None = None
    profit_high: Decimal | None = None
    profit_money_low: Decimal | None = None
    profit_money_high: Decimal | None = None
    round_trip_fee: Decimal | None = None
    order_low: Decimal | None = None
    order_high: Decimal | None = None
    order_value_low: Decimal | None = None
    order_value_high: Decimal | None = None
    buys: int | None = None
    sells: int | None = None
    first_purchase: Purchase | None = None
    minimum_investment: Decimal | None = None
    minimum_by: Line | None = None
    investment: Decimal | None = None
    free: Decimal | None = None
    free_left: Decimal | None = None
    worst: Worst | None = None
    levels: tuple[tuple[Decimal, str], ...] = ()

    @property
    def complete(self) -> bool:
        """Say whether the figures of the money are known."""
        return self.investment is not None and self.profit_low is not None

    @property
    def can_review(self) -> bool:
        """Say whether this could be started."""
        return self.complete and not self.errors


def preview(
    grounds: Grounds,
    strategy: str,
    values: Mapping[str, object],
    *,
    free: Decimal | None,
    wrong: Sequence[FieldLine] = (),
) -> Preview:
    """Plan what a form says at the last price; never raises for what people type.

    `wrong` are fields that could not even be read.
    """
    row, price = grounds.row, grounds.price
    empty = Preview(
        pair_of(row), row.quote, price.price, price.at, price.is_stale, tuple(wrong), free=free
    )
    known = STRATEGIES.get(strategy)
    if known is None:
        return replace(empty, errors=(FieldLine("strategy", Line("unknown_strategy")),))
    if price.price is None:
        line = Line("no_price_yet", {"symbol": row.symbol})
        return replace(empty, errors=(*wrong, FieldLine("market_id", line)))
    unread = {each.field for each in wrong}
    try:
        params = known.parse(values)
    except InvalidParams as bad:
        missing = tuple(_field_line(each) for each in bad.problems if each.field not in unread)
        return replace(empty, errors=(*wrong, *missing))
    if wrong:
        return empty
    plan = known.plan(params, grounds.market, price.price)
    found = _planned(empty, params, plan, grounds)
    return replace(found, errors=found.errors + _money_errors(found, plan))


def plan_preview(grounds: Grounds, params: Any, plan: Any, *, free: Decimal | None) -> Preview:
    """Return the figures of a plan that stands already."""
    row, price = grounds.row, grounds.price
    empty = Preview(pair_of(row), row.quote, price.price, price.at, price.is_stale, free=free)
    return _planned(empty, params, plan, grounds)


@exact
def _planned(empty: Preview, params: Any, plan: Any, grounds: Grounds) -> Preview:
    problems = replace(
        empty,
        errors=tuple(map(_field_line, plan.errors)),
        warnings=tuple(map(_field_line, plan.warnings)),
    )
    if not isinstance(plan, GridPlan) or not isinstance(params, GridParams):
        return problems
    return _grid_preview(problems, params, plan, grounds)


def _grid_preview(empty: Preview, params: GridParams, plan: GridPlan, grounds: Grounds) -> Preview:
    price = grounds.known_price
    first, last = plan.levels[:2], plan.levels[-2:]
    profit = plan.profit_per_grid
    orders = [*(plan.buys or ()), *(plan.sells or ())]
    sizes = [order.quantity for order in orders if order.quantity is not None]
    values = [order.price * order.quantity for order in orders if order.quantity is not None]
    to_buy = plan.base_to_buy or ZERO
    free = empty.free
    return replace(
        empty,
        price_gap=Gap(params.lower / price - ONE, params.upper / price - ONE),
        grids=params.grids,
        step=(params.upper - params.lower) / params.grids
        if params.spacing is Spacing.ARITHMETIC
        else None,
        step_share=None
        if params.spacing is Spacing.ARITHMETIC
        else (params.upper / params.lower) ** (ONE / params.grids) - ONE,
        step_share_low=last[1] / last[0] - ONE if last[0] else None,
        step_share_high=first[1] / first[0] - ONE if first[0] else None,
        fewest_grids=FEWEST_GRIDS,
        most_grids=most_grids(params.lower, params.upper, params.spacing, grounds.market.tick),
        profit_low=profit.lowest if profit else None,
        profit_high=profit.highest if profit else None,
        profit_money_low=profit.lowest * min(values) if profit and values else None,
        profit_money_high=profit.highest * max(values) if profit and values else None,
        round_trip_fee=plan.round_trip_fee,
        order_low=min(sizes, default=None),
        order_high=max(sizes, default=None),
        order_value_low=min(values, default=None),
        order_value_high=max(values, default=None),
        buys=len(plan.buys or ()),
        sells=len(plan.sells or ()),
        first_purchase=Purchase(to_buy, plan.base_cost or ZERO) if to_buy > 0 else None,
        minimum_investment=plan.minimum_investment,
        minimum_by=Line(f"rule_{plan.minimum_by}") if plan.minimum_by else None,
        investment=plan.investment,
        free_left=None if free is None or plan.investment is None else free - plan.investment,
        worst=_worst(plan),
        levels=_levels(plan),
    )


def _worst(plan: GridPlan) -> Worst | None:
    found = plan.worst_case
    if found is None:
        return None
    return Worst(
        found.price, found.coins, found.value, found.loss, found.loss_share, found.break_even
    )


def _levels(plan: GridPlan) -> tuple[tuple[Decimal, str], ...]:
    buys = {order.level for order in plan.buys or ()}
    sells = {order.level for order in plan.sells or ()}
    return tuple(
        (price, "buy" if level in buys else "sell" if level in sells else "empty")
        for level, price in enumerate(plan.levels)
    )


def _money_errors(found: Preview, plan: Any) -> tuple[FieldLine, ...]:
    if found.free_left is None or found.free_left >= 0 or plan.errors:
        return ()
    values = {
        "needed": str(found.investment), "free": str(found.free), "currency": found.currency,
    }  # fmt: skip
    return (FieldLine("investment", Line("not_enough_money", values, "error")),)


def _field_line(found: Problem) -> FieldLine:
    return FieldLine(found.field, Line(found.code, found.values))


# --- the summary before a start -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartSummary:
    """What a person reads before a bot starts; `problems` say why it can't start now.

    `needed` is the cash that has to be free on the account, `max_loss` all that can be lost.
    """

    preview: Preview
    settings: tuple[Setting, ...]
    investment: Decimal
    free: Decimal | None
    share_of_free: Decimal | None
    is_restart: bool
    held_coins: Decimal
    held_cash: Decimal
    needed: Decimal
    loss: Decimal | None
    max_loss: Decimal
    plan_used: int
    plan_limit: int
    live_used: int
    live_limit: int
    problems: tuple[Line, ...]
    seen: str


def start_summary(
    card: BotCard, user_id: int, balances: Mapping[str, Decimal] | None = None
) -> StartSummary:
    """Plan a start of a bot at the last price and say what stands against it."""
    bot = db.session.get_one(Bot, card.id)
    limits, running = limits_of(user_id), running_bots(user_id)
    held = db.session.get_one(BotMetrics, bot.id)
    summary = StartSummary(
        preview=Preview(card.pair, card.currency, None, None, True),
        settings=current_settings(card.id),
        investment=bot.capital,
        free=None,
        share_of_free=None,
        is_restart=bot.epoch > 0,
        held_coins=held.base,
        held_cash=held.quote,
        needed=bot.capital,
        loss=None,
        max_loss=bot.capital,
        plan_used=running.total,
        plan_limit=limits.max_bots,
        live_used=running.live,
        live_limit=limits.max_live_bots,
        problems=(),
        seen="",
    )
    try:
        ahead = prospect(bot)
    except InvalidParams as bad:
        lines = (Line(each.code, each.values, "error") for each in bad.problems)
        return replace(summary, problems=tuple(lines))
    except DomainError as error:
        return replace(summary, problems=(Line(error.code, error.values, "error"),))
    free = free_money(ahead.grounds, but=bot.id, balances=balances)
    found = _planned_start(ahead, free)
    needed = ahead.needed.quote
    return replace(
        summary,
        preview=found,
        free=free,
        # A restart puts in only what is missing: its share would say too little.
        share_of_free=needed / free if free and bot.epoch == 0 else None,
        held_coins=ahead.held.base,
        held_cash=ahead.held.quote,
        needed=needed,
        loss=found.worst.loss if found.worst else None,
        problems=_start_problems(ahead, balances, bot, limits, running),
        seen=ahead.seen.text(),
    )


@exact
def _planned_start(ahead: Prospect, free: Decimal | None) -> Preview:
    """Return the figures of a start; coins that the bot holds need not be bought."""
    settings = ahead.settings
    found = plan_preview(ahead.grounds, settings.params, settings.plan, free=free)
    first, held = found.first_purchase, ahead.held.base
    if first is None or held <= 0:
        return found
    price, quantity = ahead.grounds.known_price, first.quantity - held
    if not ahead.grounds.market.is_tradable(quantity, price):
        return replace(found, first_purchase=None)
    return replace(found, first_purchase=Purchase(quantity, quantity * price))


def _start_problems(
    ahead: Prospect,
    balances: Mapping[str, Decimal] | None,
    bot: Bot,
    limits: Limits,
    running: RunningBots,
) -> tuple[Line, ...]:
    market = ahead.grounds.market
    try:
        check_start(limits, bot.mode, running, plans_on_offer())
        found = funds.read_funds(ahead.grounds.account, but=bot.id, balances=balances)
        funds.check_funds(found, market.base, market.quote, ahead.needed)
    except DomainError as error:
        return (Line(error.code, error.values, "error"),)
    return ()
