"""Reads of bots for pages, commands and the staff desk."""

from app.bots.models import Bot
from app.bots.queries.cards import (
    BotCard,
    bot_card,
    bot_labels,
    own_cards,
    running_bots,
)
from app.bots.queries.chart import bot_chart, market_chart
from app.bots.queries.draft import Draft, find_pairs, make_draft
from app.bots.queries.left import (
    leaves_at_venue,
    left_coins,
    left_orders,
    left_position,
    left_stop,
)
from app.bots.queries.lists import BotFilter, Dashboard, dashboard, list_bots, notices_of
from app.bots.queries.names import NamedBot, named_bots, tags_of
from app.bots.queries.page import (
    StopChoice,
    counts_of,
    current_settings,
    levels_of,
    limits_of_bot,
    log_of,
    notices_for,
    open_orders,
    settings_at,
    stop_choices,
    stored_params,
    strategies_for,
    trades_of,
    versions_of,
)
from app.bots.queries.preview import Preview, preview
from app.bots.queries.results import results
from app.bots.queries.start import StartSummary, start_summary
from app.db import db
from app.errors import NotFound
from app.markets.queries import LARGEST_ID

__all__ = [
    "BotCard",
    "BotFilter",
    "Dashboard",
    "Draft",
    "NamedBot",
    "Preview",
    "StartSummary",
    "StopChoice",
    "any_bot",
    "bot_card",
    "bot_chart",
    "bot_labels",
    "counts_of",
    "current_settings",
    "dashboard",
    "find_pairs",
    "levels_of",
    "limits_of_bot",
    "list_bots",
    "log_of",
    "make_draft",
    "market_chart",
    "named_bots",
    "notices_for",
    "notices_of",
    "leaves_at_venue",
    "left_coins",
    "left_orders",
    "left_position",
    "left_stop",
    "open_orders",
    "own_cards",
    "preview",
    "results",
    "running_bots",
    "settings_at",
    "start_summary",
    "stop_choices",
    "stored_params",
    "strategies_for",
    "tags_of",
    "trades_of",
    "versions_of",
]


def any_bot(bot_id: int) -> Bot:
    """Return anybody's bot, for staff; raise NotFound."""
    bot = db.session.get(Bot, bot_id) if 0 < bot_id <= LARGEST_ID else None
    if bot is None or bot.deleted_at is not None:
        raise NotFound("bot_not_found")
    return bot
