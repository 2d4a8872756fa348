"""Names and tags of a person's bots, without their figures."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import exists, func, select, text

from app.bots.models import Bot
from app.bots.queries.cards import stage_of
from app.bots.rules import RUNNING
from app.db import db
from app.exchanges.models import ExchangeAccount
from app.markets.models import MarketRow
from app.trades.models import LIVE_STATES, OrderRow
from app.trading.orders import Purpose


@dataclass(frozen=True, slots=True)
class NamedBot:
    """A bot as it is told from others."""

    id: int
    name: str
    symbol: str
    stage: str
    state: str
    tags: tuple[str, ...]


def named_bots(user_id: int) -> tuple[NamedBot, ...]:
    """Return a person's bots that are not deleted, by name."""
    rows = db.session.execute(
        select(Bot.id, Bot.name, MarketRow.symbol, Bot.mode, Bot.state, Bot.tags)
        .add_columns(ExchangeAccount.testnet)
        .join(MarketRow, MarketRow.id == Bot.market_id)
        .join(ExchangeAccount, ExchangeAccount.id == Bot.account_id)
        .where(Bot.user_id == user_id, Bot.deleted_at.is_(None))
        .order_by(func.lower(Bot.name), Bot.id)
    )
    return tuple(
        NamedBot(id_, name, symbol, stage_of(mode, testnet), state, tuple(tags))
        for id_, name, symbol, mode, state, tags, testnet in rows
    )


def unfinished_bots(user_id: int) -> list[tuple[int, str]]:
    """Return number and name of each bot that runs, or has orders standing at the venue.

    The stop of a position that a stopped bot has kept may stand: it is its owner's.
    """
    standing = exists().where(
        OrderRow.bot_id == Bot.id,
        OrderRow.account_id == Bot.account_id,
        text(LIVE_STATES),
        OrderRow.purpose != Purpose.PROTECT.value,
    )
    query = select(Bot.id, Bot.name).where(
        Bot.user_id == user_id,
        Bot.deleted_at.is_(None),
        Bot.state.in_(RUNNING) | standing,
    )
    return [(bot_id, name) for bot_id, name in db.session.execute(query.order_by(Bot.id))]


def unfinished_names(user_id: int) -> list[str]:
    """Return the names of the bots that run, or have orders standing at the venue."""
    return [name for _, name in unfinished_bots(user_id)]


def bots_beyond(user_id: int, max_bots: int, max_live: int) -> list[tuple[int, str]]:
    """Return number and name of each running bot that such limits do not cover.

    The oldest ones are covered first.
    """
    query = (
        select(Bot.id, Bot.name, Bot.mode)
        .where(Bot.user_id == user_id, Bot.state.in_(RUNNING))
        .order_by(Bot.started_at, Bot.id)
    )
    live = kept = 0
    beyond = []
    for bot_id, name, mode in db.session.execute(query):
        is_live = mode != "paper"
        if kept >= max_bots or (is_live and live >= max_live):
            beyond.append((bot_id, name))
            continue
        kept += 1
        live += is_live
    return beyond


def names_beyond(user_id: int, max_bots: int, max_live: int) -> list[str]:
    """Return the names of the running bots that such limits do not cover."""
    return [name for _, name in bots_beyond(user_id, max_bots, max_live)]


def distinct_tags(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return tags without repeats, by name; the way a tag was first written is kept."""
    found: dict[str, str] = {}
    for tags in groups:
        for tag in tags:
            found.setdefault(tag.casefold(), tag)
    return tuple(found[key] for key in sorted(found))


def tags_of(user_id: int) -> tuple[str, ...]:
    """Return all tags on a person's bots, each once."""
    return distinct_tags(bot.tags for bot in named_bots(user_id))
