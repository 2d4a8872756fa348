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
from app.bots.queries.preview import Preview, Purchase, Worst, plan_preview
from app.db import db
from app.errors import DomainError
from app.subscriptions.queries import limits_of, plans_on_offer
from app.subscriptions.rules import Limits, RunningBots, check_start
from app.trades.queries import Line
from app.trading.market import BOOK_STEP, ONE, ZERO, MarketKind, exact
from app.trading.strategy import InvalidParams

# Coins that lie idle are told from this part of the money on; the rounding of orders is less.
WORTH_TELLING = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class StartSummary:
    """What a person reads before a bot starts; `problems` say why it can't start now.

    `needed` is the cash that has to be free on the account, `max_loss` all that can be lost. Where
    `lacks_cash` a good part of the money is coins that no order needs, which a start does not
    sell: `investment` is what its orders are made of then.
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
    lacks_cash: bool = False
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
        too_little = any(each.code == "investment_too_small" for each in bad.problems)
        return replace(
            summary,
            problems=tuple(lines),
            lacks_cash=too_little and card.pair.kind == "spot" and held.base > 0,
        )
    except DomainError as error:
        return replace(summary, problems=(Line(error.code, error.values, "error"),))
    free = free_money(ahead.grounds, but=bot.id, balances=balances)
    found, idle = _planned_start(ahead, free), _idle_coins(ahead)
    lacks_cash = idle * ahead.grounds.known_price >= ahead.settings.capital * WORTH_TELLING
    needed = ahead.needed.quote
    return replace(
        summary,
        preview=found,
        investment=_at_work(ahead) if lacks_cash else ahead.settings.capital,
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
        lacks_cash=lacks_cash,
        partner_id=ahead.grounds.account.partner_id,
    )


@exact
def _planned_start(ahead: Prospect, free: Decimal | None) -> Preview:
    """Return the figures of a start; coins that the bot holds need not be bought."""
    settings = ahead.settings
    found = plan_preview(ahead.grounds, settings.params, settings.plan, free=free)
    first, held = found.first_purchase, ahead.held.base
    if found.worst is not None:
        found = replace(found, worst=_worst_with(found.worst, _idle_coins(ahead), ahead))
    if first is None or held <= 0:
        return found
    price, quantity = ahead.grounds.known_price, first.quantity - held
    if not ahead.grounds.market.is_tradable(quantity, price):
        return replace(found, first_purchase=None)
    return replace(found, first_purchase=Purchase(quantity, quantity * price))


@exact
def _idle_coins(ahead: Prospect) -> Decimal:
    """Return the coins that the bot holds beyond what its sell orders need."""
    sells = getattr(ahead.settings.plan, "sells", None)
    if sells is None or ahead.grounds.market.kind is not MarketKind.SPOT:
        return ZERO
    return max(ZERO, ahead.held.base - sum((each.quantity or ZERO for each in sells), ZERO))


def _at_work(ahead: Prospect) -> Decimal:
    """Return the money that the orders of a start are made of."""
    planned: Decimal | None = getattr(ahead.settings.plan, "investment", None)
    return ahead.settings.capital if planned is None else planned


def _worst_with(worst: Worst, idle: Decimal, ahead: Prospect) -> Worst:
    """Return the worst end of the range with coins that lie idle, for these lose as well."""
    if idle * ahead.grounds.known_price < ahead.settings.capital * WORTH_TELLING:
        return worst
    now = ahead.held.quote + ahead.put_in + ahead.held.base * ahead.grounds.known_price
    loss = worst.loss + idle * (ahead.grounds.known_price - worst.price)
    return replace(
        worst,
        coins=worst.coins + idle,
        value=worst.value + idle * worst.price,
        loss=loss.quantize(BOOK_STEP),
        loss_share=(loss / now).quantize(BOOK_STEP) if now > 0 else ONE,
        break_even=None,
    )


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
