"""What a person reads before a bot starts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from app.bots import funds
from app.bots.models import Bot, BotMetrics
from app.bots.planning import Prospect, prospect
from app.bots.queries.cards import BotCard, running_bots
from app.bots.queries.draft import free_money
from app.bots.queries.page import Setting, current_settings
from app.bots.queries.preview import Preview, Purchase, plan_preview
from app.db import db
from app.errors import DomainError
from app.subscriptions.queries import limits_of, plans_on_offer
from app.subscriptions.rules import Limits, RunningBots, check_start
from app.trades.queries import Line
from app.trading.market import exact
from app.trading.strategy import InvalidParams


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
    partner_id: str = ""


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
        investment=ahead.settings.capital,
        max_loss=ahead.settings.capital,
        free=free,
        # A restart puts in only what is missing: its share would say too little.
        share_of_free=needed / free if free and bot.epoch == 0 else None,
        held_coins=ahead.held.base,
        held_cash=ahead.held.wallet if ahead.grounds.row.kind != "spot" else ahead.held.quote,
        needed=needed,
        loss=found.worst.loss if found.worst else None,
        problems=_start_problems(ahead, balances, bot, limits, running),
        seen=ahead.seen.text(),
        partner_id=ahead.grounds.account.partner_id,
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
