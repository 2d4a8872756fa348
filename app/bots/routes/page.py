"""A bot's page, its parts, and its chart."""

from typing import Any

from flask import abort, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries
from app.bots.queries import BotCard
from app.bots.queries.page import LOG_LEVELS, Facts
from app.bots.routes import blueprint
from app.bots.routes.charts import chart_json
from app.errors import InvalidInput
from app.listing.links import link_builder, read_args
from app.listing.paging import Slice, page_of, read_page
from app.markets.queries import TIMEFRAMES
from app.trades.queries import STATUSES, bot_orders

TABS = ("orders", "trades", "levels", "log", "settings")
KEYS = ("tab", "status", "page", "level", "q")


@blueprint.get("/bots/<int:bot_id>")
@requires(Permission.BOTS_OWN)
def show(bot_id: int) -> ResponseReturnValue:
    """Show a bot."""
    card = queries.bot_card(current_user.id, bot_id)
    args = read_args(KEYS)
    tab = args["tab"] if args.get("tab") in TABS else "orders"
    return render_template(
        "bots/show.html", tab=tab, **_head(card), **_facts(card), **_tab(card, tab)
    )


@blueprint.get("/bots/<int:bot_id>/part/<name>")
@requires(Permission.BOTS_OWN)
def part(bot_id: int, name: str) -> ResponseReturnValue:
    """Show a part of a bot's page, for a page that is open already."""
    card = queries.bot_card(current_user.id, bot_id)
    if name == "head":
        return render_template("bots/_head.html", **_head(card))
    if name == "figures":
        return render_template("bots/_figures.html", bot=card, **_facts(card))
    if name not in TABS:
        abort(404)
    return render_template(f"bots/_{name}.html", bot=card, tab=name, **_tab(card, name))


@blueprint.get("/bots/<int:bot_id>/log")
@requires(Permission.BOTS_OWN)
def log(bot_id: int) -> ResponseReturnValue:
    """Show a bot's log as a page."""
    card = queries.bot_card(current_user.id, bot_id)
    return render_template(
        "bots/show.html", tab="log", **_head(card), **_facts(card), **_tab(card, "log")
    )


@blueprint.get("/bots/<int:bot_id>/chart")
@requires(Permission.BOTS_OWN)
def chart(bot_id: int) -> ResponseReturnValue:
    """Give the candles of a bot's pair with its orders and fills."""
    timeframe = request.args.get("timeframe", "5m")
    if timeframe not in TIMEFRAMES:
        raise InvalidInput("unknown_timeframe", field="timeframe")
    card = queries.bot_card(current_user.id, bot_id)
    return chart_json(queries.bot_chart(card, timeframe))


def _head(card: BotCard) -> dict[str, Any]:
    return {
        "bot": card,
        "notices": queries.notices_for(card),
        "left_orders": queries.left_orders(card),
        "left_position": queries.left_position(card),
        "left_stop": queries.left_stop(card),
        "left_coins": queries.left_coins(card),
    }


def _facts(card: BotCard) -> dict[str, Any]:
    return {"facts": Facts(queries.counts_of(card))}


def _tab(card: BotCard, tab: str) -> dict[str, Any]:
    args = read_args(KEYS)
    url = link_builder("bots.show", {**args, "tab": tab}, bot_id=card.id)
    context = _TABS[tab](card, args)
    found = context.pop("slice", None)
    if isinstance(found, Slice):
        context["page"] = page_of(found, lambda number: url(page=number))
    return {**context, "url": url}


def _orders(card: BotCard, args: dict[str, str]) -> dict[str, Any]:
    status = args["status"] if args.get("status") in STATUSES else "open"
    found = bot_orders(card.id, status, read_page(args.get("page")))
    return {
        "slice": found,
        "orders": found.items,
        "status": status,
        "counts": queries.counts_of(card),
    }


def _trades(card: BotCard, args: dict[str, str]) -> dict[str, Any]:
    found = queries.trades_of(card, read_page(args.get("page")))
    return {"slice": found, "trades": found.items}


def _levels(card: BotCard, args: dict[str, str]) -> dict[str, Any]:
    return {"levels": queries.levels_of(card.id)}


def _log(card: BotCard, args: dict[str, str]) -> dict[str, Any]:
    level = args["level"] if args.get("level") in LOG_LEVELS else ""
    words = args.get("q", "")
    found = queries.log_of(card, current_user.id, read_page(args.get("page")), level, words)
    return {"slice": found, "lines": found.items, "level": level, "q": words}


def _settings(card: BotCard, args: dict[str, str]) -> dict[str, Any]:
    return {"versions": queries.versions_of(card, current_user.id)}


_TABS = {
    "orders": _orders,
    "trades": _trades,
    "levels": _levels,
    "log": _log,
    "settings": _settings,
}
