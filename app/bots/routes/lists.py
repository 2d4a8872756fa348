"""The list of bots and the strategies."""

from typing import Any

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries
from app.bots.queries.draft import offered_fields, offered_strategies
from app.bots.queries.lists import MODES, SORT_KEYS, BotFilter
from app.bots.routes import blueprint
from app.listing.links import link_builder, read_args

KEYS = ("mode", "state", "strategy", "exchange", "tag", "q", "sort", "dir")


@blueprint.get("/bots")
@requires(Permission.BOTS_OWN)
def index() -> ResponseReturnValue:
    """Show a person's bots."""
    return render_template("bots/index.html", **_list())


@blueprint.get("/bots/rows")
@requires(Permission.BOTS_OWN)
def rows() -> ResponseReturnValue:
    """Show the table of bots, for a page that is open already."""
    return render_template("bots/_list.html", **_list())


@blueprint.get("/strategies")
@requires(Permission.BOTS_OWN)
def strategies() -> ResponseReturnValue:
    """Show what kinds of bots there are."""
    offered = {name: offered_fields(name) for name in offered_strategies()}
    return render_template(
        "bots/strategies.html", strategies=queries.strategies_for(current_user.id, offered)
    )


def _list() -> dict[str, Any]:
    args = read_args(KEYS)
    wanted = BotFilter(
        mode=args["mode"] if args.get("mode") in MODES else "",
        state=args.get("state", ""),
        strategy=args.get("strategy", ""),
        exchange=args.get("exchange", ""),
        tag=args.get("tag", ""),
        text=args.get("q", ""),
        sort=args["sort"] if args.get("sort") in SORT_KEYS else "attention",
        direction="desc" if args.get("dir") == "desc" else "asc",
    )
    found = queries.list_bots(current_user.id, wanted)
    url = link_builder("bots.index", args)

    def sort_url(key: str) -> str:
        falls = wanted.sort == key and wanted.direction == "asc"
        return url(sort=key, dir="desc" if falls else None)

    return {
        "list": found,
        "filters": wanted,
        "choices": found.choices,
        "url": url,
        "sort_url": sort_url,
    }
