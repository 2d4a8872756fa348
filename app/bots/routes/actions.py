"""What an owner does with a bot: start, stop, emergency stop, unlock, delete."""

from collections.abc import Callable
from dataclasses import replace

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries, rules, service, starting, stopping
from app.bots.forms import ConfirmForm, PlainForm, StopForm
from app.bots.queries import BotCard
from app.bots.routes import blueprint
from app.bots.venue_check import ask_venue
from app.bots.wording import say
from app.errors import Conflict, DomainError
from app.exchanges.forms import LettingGoForm
from app.exchanges.remains import remains_now
from app.exchanges.wording import trouble_of
from app.trades.queries import Line
from app.trading.strategy import StopHow
from app.transactions import transaction

UNPROCESSABLE, CONFLICT, SEE_OTHER = 422, 409, 303
# So long a page waits for the exchange before it says that the money is not known.
READING_PATIENCE_S = 4.0


@blueprint.route("/bots/<int:bot_id>/start", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def confirm(bot_id: int) -> ResponseReturnValue:
    """Show what a start would do; start what was read and confirmed."""
    card = queries.bot_card(current_user.id, bot_id)
    form = ConfirmForm()
    if request.method == "GET":
        return _summary(card, form) if card.actions.start else _gone(card, "cannot_start")
    is_understood = card.mode != "live" or bool(form.understood.data)
    if not form.validate_on_submit() or not is_understood:
        form.understood.errors = [] if is_understood else [say(Line("not_understood"))]
        return _summary(card, form), UNPROCESSABLE
    return _start(card, form)


def _start(card: BotCard, form: ConfirmForm) -> ResponseReturnValue:
    bot_id = card.id
    try:
        balances = ask_venue(current_user.id, bot_id)
        with transaction():
            seen = rules.read_seen(form.seen.data or "")
            starting.request_start(current_user.id, bot_id, seen, balances)
    except DomainError as error:
        moved = error.code == "plan_moved"
        if not moved:
            flash(say(error, card.pair), "warning")
        fresh = queries.bot_card(current_user.id, bot_id)
        if not fresh.actions.start:
            return redirect(url_for("bots.show", bot_id=bot_id), SEE_OTHER)
        return _summary(fresh, form, moved=moved), CONFLICT
    return redirect(url_for("bots.show", bot_id=bot_id), SEE_OTHER)


def _summary(card: BotCard, form: ConfirmForm, *, moved: bool = False) -> str:
    trouble: tuple[Line, ...] = ()
    balances = None
    try:
        balances = ask_venue(current_user.id, card.id, READING_PATIENCE_S)
    except Conflict as error:
        trouble = (Line(error.code, error.values, "error"),)
    summary = queries.start_summary(card, current_user.id, balances)
    if trouble:
        summary = replace(summary, problems=trouble)
    # What the person reads now is what they confirm next.
    form.seen.data = summary.seen
    return render_template("bots/confirm.html", bot=card, summary=summary, form=form, moved=moved)


@blueprint.route("/bots/<int:bot_id>/stop", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def stop(bot_id: int) -> ResponseReturnValue:
    """Ask what becomes of coins and orders, then stop the bot."""
    card = queries.bot_card(current_user.id, bot_id)
    form = StopForm()
    if form.validate_on_submit() and form.how.data in set(StopHow):
        how = StopHow(form.how.data)
        return _do(card, lambda: stopping.request_stop(current_user.id, bot_id, how))
    left_stop = queries.left_stop(card)
    left = queries.left_orders(card) or queries.left_position(card) or left_stop
    left = left or queries.left_coins(card)
    if request.method == "GET" and not (card.actions.stop or left):
        return _gone(card, "cannot_stop")
    status = 200
    if request.method == "POST":
        form.how.errors = [say(Line("choose_how"))]
        status = UNPROCESSABLE
    page = render_template(
        "bots/stop.html",
        bot=card,
        form=form,
        choices=_choices(card),
        open_orders=queries.open_orders(bot_id),
        left_stop=None if card.actions.stop else left_stop,
        experience=current_user.profile.experience,
    )
    return page, status


def _choices(card: BotCard) -> list[queries.StopChoice]:
    expert = current_user.profile.experience == "expert"
    # Keeping is nothing new to a bot that has stopped and left nothing at the exchange.
    keeps = card.actions.stop or queries.open_orders(card.id) > 0
    return [
        choice
        for choice in queries.stop_choices(card)
        if ((expert and card.actions.stop) or choice.how != StopHow.LEAVE_ORDERS)
        and (choice.how != StopHow.KEEP or keeps)
    ]


@blueprint.route("/bots/<int:bot_id>/emergency", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def emergency(bot_id: int) -> ResponseReturnValue:
    """Ask once, then cancel everything, sell everything and lock the bot."""
    card = queries.bot_card(current_user.id, bot_id)
    form = PlainForm()
    if form.validate_on_submit():
        return _do(card, lambda: stopping.emergency_stop(current_user.id, bot_id))
    sale = next(each for each in queries.stop_choices(card) if each.how == StopHow.SELL)
    return render_template(
        "bots/emergency.html",
        bot=card,
        form=form,
        choice=sale,
        open_orders=queries.open_orders(bot_id),
    )


@blueprint.route("/bots/<int:bot_id>/unlock", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def unlock(bot_id: int) -> ResponseReturnValue:
    """Let a locked bot be started again."""
    card = queries.bot_card(current_user.id, bot_id)
    form = PlainForm()
    if form.validate_on_submit():
        return _do(card, lambda: stopping.unlock(current_user.id, bot_id))
    if not card.actions.unlock:
        return _gone(card, "cannot_unlock")
    return render_template("bots/unlock.html", bot=card, form=form)


@blueprint.route("/bots/<int:bot_id>/delete", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def delete(bot_id: int) -> ResponseReturnValue:
    """Say what stays at the exchange and ask, then take a stopped bot out of the lists."""
    card = queries.bot_card(current_user.id, bot_id)
    left = None
    if card.actions.delete and queries.leaves_at_venue(card):
        symbol = card.pair.symbol
        left = remains_now(current_user.id, card.account_id, [symbol]).of(symbol)
    form = LettingGoForm()
    if form.agrees_with("" if left is None else left.seen):
        return _do(
            card,
            lambda: service.delete_bot(current_user.id, bot_id, leaves=left is not None),
            gettext("%(name)s is deleted. Its trades stay in your history.", name=card.name),
            url_for("bots.index"),
        )
    if not card.actions.delete:
        return _gone(card, "cannot_delete")
    page = render_template(
        "bots/delete.html",
        bot=card,
        form=form,
        left=left,
        trouble="" if left is None else trouble_of(left),
        left_position=queries.left_position(card),
        left_coins=queries.left_coins(card),
    )
    return page, UNPROCESSABLE if form.errors else 200


def _do(
    card: BotCard, verb: Callable[[], None], done: str = "", target: str = ""
) -> ResponseReturnValue:
    try:
        with transaction():
            verb()
    except DomainError as error:
        flash(say(error, card.pair), "warning")
        return redirect(url_for("bots.show", bot_id=card.id), SEE_OTHER)
    if done:
        flash(done, "success")
    return redirect(target or url_for("bots.show", bot_id=card.id), SEE_OTHER)


def _gone(card: BotCard, code: str) -> ResponseReturnValue:
    flash(say(Line(code, {"state": card.state}), card.pair), "info")
    return redirect(url_for("bots.show", bot_id=card.id), SEE_OTHER)
