"""Changing a bot while it trades: other settings, money in, profit out."""

from collections.abc import Mapping
from decimal import Decimal

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries, rules, running, stopping
from app.bots.forms import MoneyForm, ResumeForm, bot_form
from app.bots.queries import BotCard
from app.bots.routes import blueprint
from app.bots.routes.actions import CONFLICT, SEE_OTHER, UNPROCESSABLE
from app.bots.routes.desk import (
    Desk,
    desk_of_bot,
    held_lately,
    live_preview,
    locale,
    problems_of,
    refreshed,
    refused,
)
from app.bots.venue_check import ask_money
from app.bots.wording import say
from app.errors import Conflict, DomainError, InvalidInput
from app.formatting import parse_decimal
from app.trades.queries import Line
from app.transactions import transaction

# What the page of the cost adds by itself.
_OWN_FIELDS = frozenset({"csrf_token", "seen", "confirmed"})


@blueprint.route("/bots/<int:bot_id>/change", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def change(bot_id: int) -> ResponseReturnValue:
    """Change the settings of a bot that trades: first what that would cost, then do it."""
    card = queries.bot_card(current_user.id, bot_id)
    if card.state != "active":
        return _away(card)
    form = bot_form(card.strategy)
    if request.method == "GET":
        desk = desk_of_bot(card, form(formdata=None))
        desk.form.fill(queries.stored_params(bot_id), locale())
        desk.form.name.data = card.name
        return desk.page("bots/change.html", live_preview(desk))
    desk = desk_of_bot(card, form())
    if "refresh" in request.form or "past" in request.form:
        return refreshed(desk, "bots/change.html")
    values, wrong = desk.form.read(locale())
    if not desk.form.validate() or wrong:
        return refused(desk, "bots/change.html", wrong)
    return _changed(card, desk, values)


def _changed(card: BotCard, desk: Desk, values: dict[str, object]) -> ResponseReturnValue:
    try:
        if "confirmed" not in request.form:
            with transaction():
                cost = running.edit_preview(current_user.id, card.id, values)
            sent = [each for each in request.form.items(multi=True) if each[0] not in _OWN_FIELDS]
            return render_template("bots/change_cost.html", bot=card, cost=cost, sent=sent)
        balances = ask_money(current_user.id, card.id)
        with transaction():
            seen = rules.read_seen(request.form.get("seen", ""))
            running.edit_running(current_user.id, card.id, values, seen, balances)
    except Conflict as error:
        flash(say(error, card.pair), "warning")
        return redirect(url_for("bots.change", bot_id=card.id), SEE_OTHER)
    except DomainError as error:
        return refused(desk, "bots/change.html", problems_of(error))
    flash(gettext("The new settings are being put in place."), "success")
    return redirect(url_for("bots.show", bot_id=card.id), SEE_OTHER)


@blueprint.route("/bots/<int:bot_id>/money", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def money(bot_id: int) -> ResponseReturnValue:
    """Put more money into a bot that trades, or take earned money out."""
    card = queries.bot_card(current_user.id, bot_id)
    if card.state != "active":
        return _away(card, "money_moves_while_active")
    form = MoneyForm()
    status = 200
    if form.validate_on_submit():
        try:
            amount = _amount(form)
            balances = ask_money(current_user.id, card.id) if form.way.data == "in" else None
            with transaction():
                _move(card, form, amount, balances)
        except DomainError as error:
            status = _complain(form, card, error)
        else:
            return redirect(url_for("bots.show", bot_id=bot_id), SEE_OTHER)
    with transaction():
        held = held_lately(card.account_id, card.mode)
        limits = running.money_limits(current_user.id, bot_id, held.totals if held else None)
    # What the person reads now is what they move money by next.
    form.seen.data = limits.seen
    page = render_template("bots/money.html", bot=card, form=form, limits=limits)
    return page, status


def _amount(form: MoneyForm) -> Decimal:
    if form.way.data not in {"in", "out"}:
        raise InvalidInput("choose_way", field="way")
    return parse_decimal(form.amount.data or "", locale(), field="amount")


def _move(
    card: BotCard, form: MoneyForm, amount: Decimal, balances: Mapping[str, Decimal] | None
) -> None:
    seen = form.seen.data or ""
    if form.way.data == "out":
        running.take_out(current_user.id, card.id, amount, seen)
        return
    running.add_money(current_user.id, card.id, amount, balances, seen)


def _complain(form: MoneyForm, card: BotCard, error: DomainError) -> int:
    """Show what is wrong beside the field that it is about, else above the form."""
    is_moved = error.code == "money_moved_meanwhile"
    if is_moved:
        # Nobody shall send the same amount again without meaning it.
        form.amount.data = ""
    for entry in problems_of(error):
        name = "amount" if entry.field == "investment" else entry.field
        text = say(entry.line, card.pair)
        if name in form:
            form[name].errors = [*form[name].errors, text]
        else:
            form.form_errors.append(text)
    return CONFLICT if is_moved else UNPROCESSABLE


@blueprint.post("/bots/<int:bot_id>/resume")
@requires(Permission.BOTS_OWN)
def resume(bot_id: int) -> ResponseReturnValue:
    """Let a paused bot trade on."""
    card = queries.bot_card(current_user.id, bot_id)
    form = ResumeForm()
    if form.validate_on_submit():
        try:
            with transaction():
                stopping.resume(current_user.id, bot_id, form.seen.data or "")
        except DomainError as error:
            flash(say(error, card.pair), "warning")
    return redirect(url_for("bots.show", bot_id=bot_id), SEE_OTHER)


def _away(card: BotCard, why: str = "cannot_edit_running") -> ResponseReturnValue:
    flash(say(Line(why, {"state": card.state}), card.pair), "info")
    return redirect(url_for("bots.show", bot_id=card.id), SEE_OTHER)
