"""The trades of a person: list, file and one trade with its logic."""

from collections.abc import Mapping
from decimal import Decimal

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.formatting.cells import safe_cell
from app.i18n import describe
from app.listing.days import end_of, start_of
from app.listing.files import csv_file, iso
from app.listing.links import link_builder, read_args
from app.listing.paging import page_of, read_page
from app.money import exact_text
from app.trades import queries
from app.trades.forms import FilterForm
from app.trades.queries import LARGEST_ID, TradeFilter, TradeView
from app.trades.reach import Reach, reach_of

blueprint = Blueprint("trades", __name__)

KEYS = ("bot", "symbol", "from", "to", "side", "status", "mode", "page")
STATUSES = frozenset({"open", "closed", "carried"})
COLUMNS = (
    "id", "bot_id", "bot", "mode", "pair", "side", "status", "quantity", "entry_time_utc",
    "entry_price", "exit_time_utc", "exit_price", "profit", "fees", "currency", "reason", "tick",
)  # fmt: skip


@blueprint.get("/trades")
@requires(Permission.BOTS_OWN)
def index() -> ResponseReturnValue:
    """Show a person's trades by a filter, with totals."""
    reach = reach_of(current_user.id)
    wanted = _filter(reach)
    args = read_args(KEYS)
    choices = queries.trade_choices(current_user.id)
    form = FilterForm(request.args)
    form.offer(choices)
    form.refuse(_unread(wanted, args))
    found = queries.list_trades(current_user.id, wanted, read_page(args.get("page")))
    url = link_builder("trades.index", args)
    return render_template(
        "trades/index.html",
        trades=found.items,
        totals=queries.trade_totals(current_user.id, wanted),
        filters=wanted,
        choices=choices,
        form=form,
        hidden=describe(reach.refusal) if _is_cut(wanted, reach) else "",
        page=page_of(found, lambda number: url(page=number)),
        url=url,
    )


@blueprint.get("/trades/<int:trade_id>")
@requires(Permission.BOTS_OWN)
def show(trade_id: int) -> ResponseReturnValue:
    """Show a trade: why it was made, its orders and their fills."""
    found = queries.trade_page(current_user.id, trade_id)
    return render_template(
        "trades/show.html",
        trade=found.trade,
        logic=found.logic,
        settings=found.settings,
        orders=found.orders,
        fills=found.fills,
    )


@blueprint.get("/trades.csv")
@requires(Permission.BOTS_OWN)
def export() -> ResponseReturnValue:
    """Give the trades of a filter as a file: exact numbers, times in ISO 8601 UTC."""
    trades = queries.all_trades(current_user.id, _filter(reach_of(current_user.id)))
    return csv_file("trades.csv", COLUMNS, map(_row, trades))


def _row(trade: TradeView) -> list[str]:
    return [
        str(trade.id),
        str(trade.bot_id),
        safe_cell(trade.bot_name),
        trade.mode,
        safe_cell(trade.pair.symbol),
        trade.side,
        trade.status,
        exact_text(trade.quantity),
        iso(trade.entry_at),
        exact_text(trade.entry_price),
        iso(trade.exit_at),
        _exact(trade.exit_price),
        _exact(trade.profit),
        exact_text(trade.fees),
        safe_cell(trade.currency),
        trade.reason.code if trade.reason else "",
        trade.tick_id or "",
    ]


def _exact(value: Decimal | None) -> str:
    return "" if value is None else exact_text(value)


# --- the filter -----------------------------------------------------------------------------------


def _is_cut(wanted: TradeFilter, reach: Reach) -> bool:
    """Tell whether trades that were asked for are too old to be shown."""
    begins_later = wanted.first is not None and wanted.first >= reach.since
    return not begins_later and queries.has_older(current_user.id, reach.since)


def _filter(reach: Reach) -> TradeFilter:
    """Read the filter from the address; what can't be read means any."""
    args = read_args(KEYS)
    bot = args.get("bot", "")
    is_number = bot.isascii() and bot.isdecimal()
    return TradeFilter(
        bot_id=min(int(bot), LARGEST_ID) if is_number else None,
        symbol=args.get("symbol", ""),
        first=start_of(args.get("from")),
        last=end_of(args.get("to")),
        side=args["side"] if args.get("side") in {"long", "short"} else "",
        status=args["status"] if args.get("status") in STATUSES else "",
        mode=args["mode"] if args.get("mode") in {"paper", "testnet", "live"} else "",
        since=reach.since,
    )


def _unread(wanted: TradeFilter, args: Mapping[str, str]) -> set[str]:
    """Return the names of what was asked for and could not be read."""
    read = {
        "bot": wanted.bot_id is not None,
        "from": wanted.first is not None,
        "to": wanted.last is not None,
        "side": bool(wanted.side),
        "status": bool(wanted.status),
        "mode": bool(wanted.mode),
    }
    return {name for name, is_read in read.items() if args.get(name) and not is_read}
