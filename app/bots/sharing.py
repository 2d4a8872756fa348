"""A link under which anybody sees how one bot has done: no names, no keys, money only if wished.

The link's token is kept as it is, because its owner must find the link again; it opens nothing but
this one card, and withdrawing the link forgets it.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import delete, select

from app.accounts.models import User
from app.bots.figures import BotFigures
from app.bots.models import Bot, BotShare
from app.bots.queries.cards import BotCard, own_cards
from app.bots.verbs import locked_bot, tell
from app.db import db, utc_now
from app.errors import Conflict, NotFound

TOKEN_BYTES = 16
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Share:
    """The link of a bot as its owner sees it."""

    token: str
    with_money: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Money:
    """What a card tells about amounts, where its owner wishes so."""

    currency: str
    total: Decimal
    invested: Decimal
    buy_and_hold: Decimal


@dataclass(frozen=True, slots=True)
class SharedCard:
    """All that strangers see of a bot; shares are fractions of the average money invested."""

    symbol: str
    exchange: str
    strategy: str
    stage: str
    state: str
    started_at: datetime | None
    run_time: timedelta | None
    total_share: Decimal | None
    hold_share: Decimal | None
    max_drawdown: Decimal
    matched: int
    price_at: datetime | None
    price_stale: bool
    money: Money | None


def share_of(bot_id: int) -> Share | None:
    """Return the link of a bot, or None without one; the caller has checked whose bot it is."""
    row = db.session.get(BotShare, bot_id, populate_existing=True)
    return Share(row.token, row.with_money, row.created_at) if row else None


def share(user_id: int, bot_id: int, *, with_money: bool) -> None:
    """Make a bot's link, or change what it shows; raise Conflict before the first start."""
    bot = locked_bot(bot_id, user_id)
    if bot.epoch == 0:
        raise Conflict("share_needs_start")
    row = db.session.get(BotShare, bot_id)
    if row is not None and row.with_money == with_money:
        return
    now = utc_now()
    if row is None:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        db.session.add(BotShare(bot_id=bot_id, token=token, with_money=with_money, created_at=now))
    else:
        row.with_money = with_money
    tell(bot, "shared_with_money" if with_money else "shared", user_id, {}, now)


def withdraw(user_id: int, bot_id: int) -> None:
    """End a bot's link; the next one has another address."""
    bot = locked_bot(bot_id, user_id)
    row = db.session.get(BotShare, bot_id)
    if row is not None:
        db.session.execute(delete(BotShare).where(BotShare.bot_id == bot_id))
        tell(bot, "share_withdrawn", user_id, {}, utc_now())


def shared_card(token: str) -> SharedCard:
    """Return the card behind a link; raise NotFound for one that is not, or not any more, given."""
    if not TOKEN.fullmatch(token):
        raise NotFound("share_not_found")
    row = db.session.execute(
        select(Bot.id, Bot.user_id, BotShare.with_money)
        .join(BotShare, BotShare.bot_id == Bot.id)
        .join(User, User.id == Bot.user_id)
        .where(
            BotShare.token == token,
            Bot.deleted_at.is_(None),
            User.blocked_at.is_(None),
        )
    ).first()
    cards = own_cards(row.user_id, Bot.id == row.id, sparks=False) if row else []
    card = card_for_strangers(cards[0], with_money=row.with_money) if row and cards else None
    if card is None:
        raise NotFound("share_not_found")
    return card


def card_for_strangers(bot: BotCard, *, with_money: bool) -> SharedCard | None:
    """Leave of a bot what strangers may see; None before its first start."""
    found = bot.figures
    if found is None:
        return None
    return SharedCard(
        symbol=bot.pair.symbol,
        exchange=bot.exchange,
        strategy=bot.strategy,
        stage=bot.stage,
        state=bot.state,
        started_at=bot.started_at,
        run_time=found.run_time,
        total_share=found.total_share,
        hold_share=found.buy_and_hold_share,
        max_drawdown=found.max_drawdown,
        matched=found.matched,
        price_at=found.price_at,
        price_stale=found.price_stale,
        money=_money(found) if with_money else None,
    )


def _money(found: BotFigures) -> Money:
    return Money(found.currency, found.total, found.invested, found.buy_and_hold)
