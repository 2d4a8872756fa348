"""Several bots started, stopped or tagged with one question; each as from its own page."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, ngettext
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries, rules, starting, stopping, tags
from app.bots.forms import StopForm, TagsForm, read_id
from app.bots.queries import BotCard
from app.bots.queries.lists import Totals, totals_of
from app.bots.routes import blueprint
from app.bots.routes.actions import SEE_OTHER, UNPROCESSABLE
from app.bots.venue_check import ask_venue
from app.bots.wording import say
from app.errors import DomainError, InvalidInput
from app.trades.queries import Line
from app.trading.strategy import StopHow
from app.transactions import transaction

VERBS = ("start", "stop", "tag")
MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Chosen:
    """A bot that was ticked: what was read of it, or why it is left out."""

    bot: BotCard
    refusal: Line | None
    seen: str = ""


@blueprint.route("/bots/bulk", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def bulk() -> ResponseReturnValue:
    """Ask once about the ticked bots, then do it to each that allows it."""
    verb = request.values.get("do", "")
    ids = [read_id(text) for text in request.values.getlist("id")[:MOST_AT_ONCE]]
    cards = [card for card in queries.own_cards(current_user.id) if card.id in ids]
    if verb not in VERBS or not cards:
        flash(say(Line("no_bot_chosen")), "info")
        return redirect(url_for("bots.index"), SEE_OTHER)
    if request.method == "GET":
        return _question(verb, cards, TagsForm() if verb == "tag" else StopForm())
    if verb == "tag":
        return _tag(cards)
    form = StopForm()
    how = form.how.data
    is_answered = verb == "start" or how in {StopHow.KEEP, StopHow.SELL}
    if not form.validate_on_submit() or not is_answered:
        form.how.errors = [say(Line("choose_how"))]
        return _question(verb, cards, form), UNPROCESSABLE
    act: Callable[[BotCard], None] = _start if verb == "start" else _stopper(StopHow(how))
    _do(verb, cards, act)
    return redirect(url_for("bots.index"), SEE_OTHER)


def _question(verb: str, cards: list[BotCard], form: StopForm | TagsForm) -> str:
    chosen = [_looked_at(verb, card) for card in cards]
    able = [each.bot for each in chosen if each.refusal is None]
    sums: tuple[Totals, ...] = totals_of(able)
    return render_template(
        "bots/bulk.html", verb=verb, chosen=chosen, able=able, sums=sums, form=form
    )


def _tag(cards: list[BotCard]) -> ResponseReturnValue:
    form = TagsForm()
    words = form.tags.data or ""
    try:
        if not form.validate_on_submit() or not tags.read_tags(words):
            raise InvalidInput("missing", field="tags")
    except InvalidInput as error:
        form.tags.errors = [say(error)]
        return _question("tag", cards, form), UNPROCESSABLE
    _do("tag", cards, lambda card: tags.add_tags(current_user.id, card.id, words))
    return redirect(url_for("bots.index"), SEE_OTHER)


def _looked_at(verb: str, card: BotCard) -> Chosen:
    if verb == "tag":
        return Chosen(card, None)
    allowed = card.actions.stop if verb == "stop" else card.actions.start
    if not allowed:
        return Chosen(card, Line(f"cannot_{verb}", {"state": card.state}))
    if verb == "stop":
        return Chosen(card, None)
    if card.mode == "live":
        return Chosen(card, Line("starts_alone"))
    summary = queries.start_summary(card, current_user.id)
    if summary.problems:
        return Chosen(card, summary.problems[0])
    return Chosen(card, None, summary.seen)


def _start(card: BotCard) -> None:
    seen = rules.read_seen(request.form.get(f"seen_{card.id}", ""))
    starting.request_start(current_user.id, card.id, seen, ask_venue(current_user.id, card.id))


def _stopper(how: StopHow) -> Callable[[BotCard], None]:
    return lambda card: stopping.request_stop(current_user.id, card.id, how)


def _do(verb: str, cards: list[BotCard], act: Callable[[BotCard], None]) -> None:
    done = 0
    for card in cards:
        looked = _looked_at(verb, card)
        refusal: Line | DomainError | None = looked.refusal
        if refusal is None:
            try:
                with transaction():
                    act(card)
            except DomainError as error:
                refusal = error
        if refusal is None:
            done += 1
        else:
            reason = say(refusal, card.pair)
            flash(gettext("%(name)s: %(reason)s", name=card.name, reason=reason), "warning")
    if done and verb == "start":
        flash(ngettext("%(num)d bot starts.", "%(num)d bots start.", done), "success")
    elif done and verb == "tag":
        flash(ngettext("%(num)d bot is tagged.", "%(num)d bots are tagged.", done), "success")
    elif done:
        flash(ngettext("%(num)d bot stops.", "%(num)d bots stop.", done), "success")
