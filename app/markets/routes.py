"""Pages of pairs: find one, see its price and the best bids and asks."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.adapters.exchanges.quirks import QUIRKS
from app.errors import Unavailable
from app.extensions import limiter
from app.i18n import describe
from app.markets import depth, queries

blueprint = Blueprint("markets", __name__)

SHOWN = 50
NAMES = {one.code: one.name for one in QUIRKS.values()}
LONGEST_SEARCH = 30


@blueprint.get("/markets")
@requires(Permission.CABINET)
def index() -> ResponseReturnValue:
    """Find pairs by coin or name."""
    words = request.args.get("q", "")[:LONGEST_SEARCH]
    exchange = request.args.get("exchange", "")
    offered = queries.exchanges_with_markets()
    rows = queries.search_markets(
        words,
        exchanges=[exchange] if exchange in offered else None,
        kind=None,
        tradable_only=False,
        limit=SHOWN,
    )
    return render_template(
        "markets/index.html",
        rows=rows,
        prices={row.id: queries.price_of(row) for row in rows},
        days=queries.day_figures([row.id for row in rows]),
        offered=offered,
        exchange=exchange if exchange in offered else "",
        names=NAMES,
        words=words,
        most=SHOWN,
    )


@blueprint.get("/markets/<int:market_id>")
@requires(Permission.CABINET)
def show(market_id: int) -> ResponseReturnValue:
    """Show a pair with its rules; its prices are fetched by the page itself."""
    row = queries.market_row(market_id)
    return render_template("markets/show.html", row=row, names=NAMES)


@blueprint.get("/markets/<int:market_id>/depth")
@requires(Permission.CABINET)
@limiter.limit("120 per minute")
def levels(market_id: int) -> ResponseReturnValue:
    """Return the block with the last price and the best bids and asks."""
    row = queries.market_row(market_id)
    found, error = None, ""
    try:
        found = depth.depth_of(row)
    except Unavailable as failure:
        failure.values = {**failure.values, "exchange": NAMES.get(row.exchange, row.exchange)}
        error = describe(failure)
    price = queries.last_price(row.id)
    return render_template("markets/_depth.html", row=row, price=price, depth=found, error=error)
