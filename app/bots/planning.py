"""What settings would do on an account and a pair, and what a start would take."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.bots import rules
from app.bots.grounds import Grounds, check_usable, find_grounds
from app.bots.models import Bot, BotConfig, BotMetrics
from app.bots.rules import Seen
from app.db import db
from app.errors import Conflict, InvalidInput
from app.exchanges.models import ExchangeAccount
from app.money import ceil_to_step
from app.trading.guard import Guard
from app.trading.market import BOOK_STEP, ZERO, MarketKind, exact
from app.trading.position import Holdings
from app.trading.strategies import STRATEGIES
from app.trading.strategy import InvalidParams, Plan, Problem, Strategy, problem


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person wants a bot to do, checked."""

    strategy: Strategy[Any, Any]
    params: Any
    plan: Plan
    capital: Decimal


def check_settings(
    grounds: Grounds,
    strategy: str,
    params: Mapping[str, object],
    capital: Decimal | None = None,
    funds: Holdings | None = None,
) -> Settings:
    """Read and plan settings at the last price; raise InvalidParams naming every bad field.

    `capital` stands for an investment that is not named, unless the size of the orders is: then
    the money follows from it and from the price. With `funds` the plan takes no more money than
    they are worth.
    """
    known = STRATEGIES.get(strategy)
    if known is None:
        raise InvalidInput("unknown_strategy", field="strategy")
    values = dict(params)
    if follows_price(values):
        capital = None
    elif capital is not None and values.get("investment") is None:
        values["investment"] = capital
    read = known.parse(values)
    price = grounds.known_price
    fitting = read if funds is None else known.within_funds(read, grounds.market, price, funds)
    plan = known.plan(fitting, grounds.market, price, grounds.orders_per_second)
    # What can be planned but not run is refused here too.
    known.start_state(read, grounds.market, price, funds)
    money = capital or getattr(read, "investment", None) or getattr(plan, "investment", None)
    if money is None or money <= 0:
        raise InvalidParams((problem("investment", "missing"),))
    return Settings(known, read, plan, ceil_to_step(money, BOOK_STEP))


def follows_price(params: Mapping[str, object]) -> bool:
    """Tell whether the money follows from the size of the orders and the price."""
    return params.get("quantity") is not None and params.get("investment") is None


def limit_problems(guard: Guard, settings: Settings) -> list[Problem]:
    """Return limits that the bot would be beyond from its very start."""
    used = (
        ("max_capital", guard.max_capital, settings.capital),
        ("max_open_orders", guard.max_open_orders, getattr(settings.plan, "orders_resting", None)),
        ("max_leverage", guard.max_leverage, getattr(settings.params, "leverage", None)),
    )
    return [
        problem(name, "limit_below_need", value=need)
        for name, limit, need in used
        if limit is not None and need is not None and need > limit
    ]


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a start would do now: the settings planned at the last price, and the money it takes."""

    settings: Settings
    grounds: Grounds
    seen: Seen
    held: Holdings
    put_in: Decimal

    @property
    def needed(self) -> Holdings:
        """Return the coins and the cash that have to be free on the account.

        A position in a contract is no coins; its money is the wallet behind it.
        """
        if self.grounds.market.kind is MarketKind.LINEAR:
            return Holdings(ZERO, max(ZERO, self.held.wallet + self.put_in))
        return Holdings(self.held.base, max(ZERO, self.held.quote + self.put_in))


def prospect(bot: Bot) -> Prospect:
    """Plan a start at the last price; raise InvalidParams or Conflict if it can't start now."""
    grounds = grounds_of(bot)
    check_usable(grounds)
    version = db.session.get_one(BotConfig, (bot.id, bot.config_version))
    metrics = db.session.get_one(BotMetrics, bot.id)
    held = Holdings(metrics.base, metrics.quote, metrics.base_cost)
    cash = held.wallet if grounds.market.kind is MarketKind.LINEAR else held.quote
    if follows_price(version.params):
        planned = check_settings(grounds, version.strategy, version.params)
        put_in = _put_in(metrics, planned.capital, cash)
        put_in = max(put_in, _missing_cash(planned, grounds, held, cash))
    else:
        put_in = _put_in(metrics, bot.capital, cash)
    funds = Holdings(held.base, held.quote + put_in, held.cost)
    settings = check_settings(grounds, version.strategy, version.params, version.capital, funds)
    return Prospect(settings, grounds, seen_of_plan(bot, settings.plan, put_in), held, put_in)


def seen_of_plan(bot: Bot, plan: Plan, put_in: Decimal) -> Seen:
    """Gather what a person has to have read of a plan before it starts."""
    worst = getattr(plan, "worst_case", None)
    codes = [found.code for found in (*plan.errors, *plan.warnings)]
    cost = getattr(plan, "base_cost", None)
    return rules.seen_of(bot.config_version, cost, worst.loss if worst else None, codes, put_in)


@exact
def _put_in(metrics: BotMetrics, capital: Decimal, cash: Decimal) -> Decimal:
    """Return the cash that a start puts in, or takes out if less capital is wanted than is in."""
    put_in = capital - (metrics.deposited - metrics.withdrawn)
    return max(put_in, -max(ZERO, cash))


@exact
def _missing_cash(planned: Settings, grounds: Grounds, held: Holdings, cash: Decimal) -> Decimal:
    """Return the cash that orders of a given size lack; coins are cash only as far as they sell.

    A position in a contract saves none: the money behind it has to carry its margin like that of a
    new one, and that it was opened at a worse price.
    """
    if grounds.market.kind is MarketKind.LINEAR:
        worth = held.quote + held.base * grounds.known_price
        return ceil_to_step(planned.capital - min(cash, worth), BOOK_STEP)
    to_buy = getattr(planned.plan, "base_to_buy", None) or ZERO
    cost = getattr(planned.plan, "base_cost", None) or ZERO
    # The purchase is rounded up to a lot, so up to one lot of what is held saves nothing.
    coins = min(held.base - (grounds.market.lot or ZERO), to_buy)
    saved = cost * coins / to_buy if to_buy > 0 and coins > 0 else ZERO
    return ceil_to_step(planned.capital - saved - cash, BOOK_STEP)


def grounds_of(bot: Bot) -> Grounds:
    """Return what a bot stands on; raise Conflict if its account is gone."""
    account = db.session.get(ExchangeAccount, bot.account_id)
    if account is None or account.deleted_at is not None:
        raise Conflict("account_gone")
    return find_grounds(account, bot.market_id)
