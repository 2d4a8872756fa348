"""Creating a bot, with live figures."""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries, service
from app.bots.forms import read_id
from app.bots.routes import blueprint
from app.bots.routes.charts import chart_json
from app.bots.routes.desk import (
    Desk,
    first_desk,
    free_line,
    live_preview,
    locale,
    posted_desk,
    problems_of,
    refreshed,
    refused,
    take_preset,
)
from app.bots.routes.pastrun import past_of
from app.errors import DomainError, InvalidInput, NotFound
from app.markets.queries import TIMEFRAMES
from app.transactions import transaction


@blueprint.route("/bots/new", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def create() -> ResponseReturnValue:
    """Show the form of a new bot; save it as a stopped bot and go on to the summary."""
    if request.method == "GET":
        desk = first_desk()
        return desk.page("bots/new.html", live_preview(desk))
    desk = posted_desk()
    if "refresh" in request.form or "past" in request.form:
        return refreshed(desk, "bots/new.html")
    values, wrong = desk.form.read(locale())
    limits, unread = desk.form.read_limits(locale())
    wrong += unread
    if not desk.form.validate() or wrong or desk.draft.pair is None:
        return refused(desk, "bots/new.html", wrong)
    account = desk.draft.account
    try:
        _check_choices(desk)
        with transaction():
            bot_id = service.create_bot(
                current_user.id,
                account.id if account else 0,
                desk.draft.pair.id,
                desk.form.strategy_name,
                values,
                desk.form.name.data or "",
                limits=limits,
            )
    except DomainError as error:
        return refused(desk, "bots/new.html", problems_of(error))
    return redirect(url_for("bots.confirm", bot_id=bot_id), 303)


def _check_choices(desk: Desk) -> None:
    """Refuse to save on another account or pair than the one that was sent.

    The form falls back to what exists, so that it can be shown; a bot must never do so.
    """
    account, pair = desk.draft.account, desk.draft.pair
    if account is None or read_id(request.form.get("account_id")) != account.id:
        raise InvalidInput("unknown_account", field="account_id")
    if pair is None or read_id(request.form.get("market_id")) != pair.id:
        raise InvalidInput("unknown_market", field="market_id")
    if request.form.get("strategy") != desk.form.strategy_name:
        raise InvalidInput("unknown_strategy", field="strategy")


@blueprint.post("/bots/new/form")
@requires(Permission.BOTS_OWN)
def form() -> ResponseReturnValue:
    """Show the form anew after the account, the strategy, the pair or the preset has changed."""
    desk = posted_desk()
    if desk.bot is None:
        take_preset(desk)
    return desk.page("bots/_form.html", live_preview(desk))


@blueprint.post("/bots/new/preview")
@requires(Permission.BOTS_OWN)
def preview() -> ResponseReturnValue:
    """Show the figures of what was typed so far; nothing is stored."""
    desk = posted_desk()
    return desk.page("bots/_preview.html", live_preview(desk))


@blueprint.post("/bots/new/past")
@requires(Permission.BOTS_OWN)
def past() -> ResponseReturnValue:
    """Show what the form would have brought on the last 30 days; nothing is stored."""
    desk = posted_desk()
    return desk.page("bots/_pastrun.html", None, past=past_of(desk.draft, desk.form, locale()))


@blueprint.get("/bots/new/free")
@requires(Permission.BOTS_OWN)
def free() -> ResponseReturnValue:
    """Show how much money is free, as last read; a page asks when a worker has read it anew."""
    return free_line()


@blueprint.get("/bots/new/pairs")
@requires(Permission.BOTS_OWN)
def pairs() -> ResponseReturnValue:
    """Find pairs of an account's exchange by coin."""
    account_id = read_id(request.args.get("account_id"))
    words = request.args.get("q", "")[:30]
    if account_id is None:
        raise NotFound("unknown_account")
    found = queries.find_pairs(current_user.id, account_id, words)
    return render_template("bots/_pairs.html", pairs=found, query=words, account_id=account_id)


@blueprint.get("/bots/new/chart/<int:market_id>")
@requires(Permission.BOTS_OWN)
def market_chart(market_id: int) -> ResponseReturnValue:
    """Give the candles of a pair."""
    timeframe = request.args.get("timeframe", "1h")
    if timeframe not in TIMEFRAMES:
        raise InvalidInput("unknown_timeframe", field="timeframe")
    return chart_json(queries.market_chart(market_id, timeframe))
