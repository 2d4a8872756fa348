"""The demo customer's paper account and its grid bot, running from the first minute."""

from decimal import Decimal

from sqlalchemy import select

from app.accounts.demo import CUSTOMER
from app.accounts.queries import user_by_email
from app.bots import service, starting
from app.bots.models import Bot
from app.bots.planning import prospect
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.exchanges.service import connect_paper
from app.markets.models import MarketRow
from app.money import floor_to_step

BALANCE = Decimal(10_000)
INVESTMENT = Decimal(4_000)
# Tight enough to trade within minutes, wide enough that a round trip earns more than its fees.
HALF_WIDTH = Decimal("0.04")
GRIDS = 18
FAVOURITE = ("bybit", "BTC/USDT")


def seed_bots() -> None:
    """Give the demo customer a running bot, unless there ever was one or there is no price."""
    owner = user_by_email(CUSTOMER.email)
    if owner is None or db.session.scalar(select(Bot.id).where(Bot.user_id == owner.id).limit(1)):
        return
    market = _demo_market()
    if market is None or market.last_price is None:
        return
    account = _paper_account(owner.id, market.exchange)
    bot_id = service.create_bot(
        owner.id,
        account.id,
        market.id,
        "grid",
        {
            "lower": floor_to_step(market.last_price * (1 - HALF_WIDTH), market.tick),
            "upper": floor_to_step(market.last_price * (1 + HALF_WIDTH), market.tick),
            "grids": GRIDS,
            "spacing": "geometric",
            "sizing": "equal_base",
            "investment": INVESTMENT,
        },
        f"{market.base} demo grid",
    )
    bot = db.session.get_one(Bot, bot_id)
    starting.request_start(owner.id, bot_id, prospect(bot).seen)


def _demo_market() -> MarketRow | None:
    tradable = db.session.scalars(
        select(MarketRow)
        .where(
            MarketRow.blocked_reason == "",
            MarketRow.kind == "spot",
            MarketRow.quote == "USDT",
            MarketRow.last_price.is_not(None),
        )
        .order_by(MarketRow.id)
    ).all()
    favourite = (row for row in tradable if (row.exchange, row.symbol) == FAVOURITE)
    return next(favourite, tradable[0] if tradable else None)


def _paper_account(user_id: int, venue: str) -> ExchangeAccount:
    known = db.session.scalar(
        select(ExchangeAccount).where(
            ExchangeAccount.user_id == user_id,
            ExchangeAccount.mode == "paper",
            ExchangeAccount.venue == venue,
            ExchangeAccount.deleted_at.is_(None),
        )
    )
    return known or connect_paper(user_id, "Paper", venue, BALANCE)
