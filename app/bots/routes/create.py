"""Creating and editing a bot, with live figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, gettext
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.choices import choices as options
from app.accounts.permissions import Permission
from app.bots import queries, rules, service
from app.bots.forms import PRESETS, BotForm, bot_form, read_id, strategy_choices
from app.bots.queries import BotCard, Draft, Preview
from app.bots.queries.create import (
    FieldLine,
    PresetChoice,
    draft_of_bot,
    first_investment,
    offered_strategies,
    preview_of_draft,
)
from app.bots.queries.pastrun import NoPastRun, PastRun
from app.bots.routes import blueprint
from app.bots.routes.pastrun import past_of
from app.bots.texts import STRATEGY_LABELS, say
from app.errors import Conflict, DomainError, InvalidInput, NotFound
from app.exchanges.service import read_balances
from app.formatting import full_price, input_text
from app.markets.queries import TIMEFRAMES
from app.trades.queries import Line
from app.trading.strategy import InvalidParams
from app.transactions import transaction


@dataclass(frozen=True, slots=True)
class Desk:
    """A form with what it stands on."""

    form: BotForm
    draft: Draft
    bot: BotCard | None = None

    def page(self, template: str, shown: Preview | None, **more: Any) -> str:
        """Render a page or a part of it."""
        return render_template(
            template,
            form=self.form,
            draft=self.draft,
            preview=shown,
            bot=self.bot,
            experience=current_user.profile.experience,
            **more,
        )


# --- a new bot ------------------------------------------------------------------------------------


@blueprint.route("/bots/new", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def create() -> ResponseReturnValue:
    """Show the form of a new bot; save it as a stopped bot and go on to the summary."""
    if request.method == "GET":
        desk = _first_desk()
        return desk.page("bots/new.html", _preview(desk))
    desk = _posted_desk(with_balances=True)
    if "refresh" in request.form or "past" in request.form:
        return _refreshed(desk, "bots/new.html")
    values, wrong = desk.form.read(_locale())
    if not desk.form.validate() or wrong or desk.draft.pair is None:
        return _refused(desk, "bots/new.html", wrong)
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
            )
    except DomainError as error:
        return _refused(desk, "bots/new.html", _lines(error))
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
    desk = _posted_desk(with_balances=True)
    if desk.bot is None:
        _take_preset(desk)
    return desk.page("bots/_form.html", _preview(desk))


@blueprint.post("/bots/new/preview")
@requires(Permission.BOTS_OWN)
def preview() -> ResponseReturnValue:
    """Show the figures of what was typed so far; nothing is stored."""
    desk = _posted_desk()
    return desk.page("bots/_preview.html", _preview(desk))


@blueprint.post("/bots/new/past")
@requires(Permission.BOTS_OWN)
def past() -> ResponseReturnValue:
    """Show what the form would have brought on the last 30 days; nothing is stored."""
    desk = _posted_desk()
    return desk.page("bots/_pastrun.html", None, past=_past(desk))


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


def chart_json(chart: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a chart what depends on its reader: the zone and a summary in words."""
    bars = chart["candles"]
    summary = ""
    if bars:
        tick = Decimal(chart["tick"]) if chart["tick"] else None
        low, high = min(Decimal(bar[3]) for bar in bars), max(Decimal(bar[2]) for bar in bars)
        summary = gettext(
            "%(symbol)s: last price %(last)s, lowest %(low)s, highest %(high)s in this picture.",
            symbol=chart["symbol"],
            last=full_price(Decimal(bars[-1][4]), tick, _locale()),
            low=full_price(low, tick, _locale()),
            high=full_price(high, tick, _locale()),
        )
    return {**chart, "zone": current_user.profile.timezone, "summary": summary}


# --- new settings for a bot -----------------------------------------------------------------------


@blueprint.route("/bots/<int:bot_id>/edit", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def edit(bot_id: int) -> ResponseReturnValue:
    """Change the settings of a bot that does not run: a new version of them."""
    card = queries.bot_card(current_user.id, bot_id)
    if not card.actions.edit:
        flash(say(Conflict("cannot_edit", state=card.state)), "warning")
        return redirect(url_for("bots.show", bot_id=bot_id), 303)
    if request.method == "GET":
        desk = _desk_of_bot(card, bot_form(card.strategy)(formdata=None))
        desk.form.fill(queries.stored_params(bot_id), _locale())
        desk.form.name.data = card.name
        return desk.page("bots/edit.html", _preview(desk))
    desk = _desk_of_bot(card, bot_form(_strategy_name(card.strategy))())
    if "refresh" in request.form or "past" in request.form:
        return _refreshed(desk, "bots/edit.html")
    values, wrong = desk.form.read(_locale())
    if not desk.form.validate() or wrong:
        return _refused(desk, "bots/edit.html", wrong)
    try:
        with transaction():
            service.edit_bot(
                current_user.id,
                bot_id,
                desk.form.strategy_name,
                values,
                desk.form.name.data or "",
            )
    except DomainError as error:
        return _refused(desk, "bots/edit.html", _lines(error))
    flash(gettext("The settings are saved."), "success")
    return redirect(url_for("bots.show", bot_id=bot_id), 303)


# --- desks ----------------------------------------------------------------------------------------


def _first_desk() -> Desk:
    """Return an empty form, or one filled in from another bot or from a preset."""
    source = read_id(request.args.get("from"))
    card = queries.bot_card(current_user.id, source) if source else None
    account_id = card.account_id if card else read_id(request.args.get("account"))
    market_id = card.pair.id if card else read_id(request.args.get("market"))
    strategy = card.strategy if card else _known_strategy(request.args.get("strategy"))
    draft = _draft(account_id, market_id, None)
    form = bot_form(strategy)(formdata=None)
    desk = _settle(Desk(form, draft), strategy)
    if card is not None:
        form.fill(queries.stored_params(card.id), _locale())
        form.preset.data = "own"
        form.name.data = gettext("Copy of %(name)s", name=card.name)[: rules.MAX_NAME]
        return desk
    form.fill_defaults(_locale())
    form.fill({"investment": first_investment(draft.free).quantize(Decimal("0.01"))}, _locale())
    wanted = request.args.get("preset", "")
    chosen = draft.preset(wanted) or draft.preset("balanced") or _any_preset(draft)
    form.preset.data = chosen.name if chosen else "own"
    if chosen is not None:
        _fill_preset(form, chosen)
    return desk


def _posted_desk(*, with_balances: bool = False) -> Desk:
    """Return the form as it was sent; a bot's own form stands on that bot."""
    bot_id = read_id(request.form.get("bot_id"))
    if bot_id is not None:
        card = queries.bot_card(current_user.id, bot_id)
        return _desk_of_bot(card, bot_form(_strategy_name(card.strategy))())
    strategy = _strategy_name("")
    form = bot_form(strategy)()
    investment = _typed_investment(form)
    draft = _draft(
        read_id(form.account_id.data),
        read_id(form.market_id.data),
        investment,
        with_balances=with_balances,
    )
    return _settle(Desk(form, draft), strategy)


def _desk_of_bot(card: BotCard, form: BotForm) -> Desk:
    del form.account_id, form.preset
    form.bot_id.data = str(card.id)
    form.market_id.data = str(card.pair.id)
    form.unit = card.pair.quote
    form.strategy.choices = strategy_choices()
    form.strategy.data = form.strategy_name
    draft = draft_of_bot(current_user.id, card, balances_of(card.account_id, card.mode))
    return _linked(Desk(form, draft, card))


def _settle(desk: Desk, strategy: str) -> Desk:
    """Fill in the choices of a new bot's form, and what follows from them."""
    form, draft = desk.form, desk.draft
    del form.bot_id
    form.account_id.choices = options((str(each.id), each.label) for each in draft.accounts)
    form.account_id.data = str(draft.account.id) if draft.account else ""
    form.strategy.choices = strategy_choices()
    form.strategy.data = strategy
    form.market_id.data = str(draft.pair.id) if draft.pair else ""
    form.unit = draft.pair.quote if draft.pair else ""
    if form.preset.data not in PRESETS:
        form.preset.data = "own"
    if not form.name.data and draft.pair:
        label = str(STRATEGY_LABELS.get(strategy, strategy))
        form.name.data = f"{label} {draft.pair.symbol}"
    return _linked(desk)


def _linked(desk: Desk) -> Desk:
    """Let a typed step set the number of grids."""
    form = desk.form
    step = form.read_step(_locale())
    values, _wrong = form.read(_locale())
    lower, upper = values.get("lower"), values.get("upper")
    if step is None or not isinstance(lower, Decimal) or not isinstance(upper, Decimal):
        return desk
    geometric = values.get("spacing") == "geometric"
    count = rules.grids_for_step(lower, upper, step, geometric=geometric)
    if count is not None and "grids" in form:
        form["grids"].data = str(count)
    return desk


def _draft(
    account_id: int | None,
    market_id: int | None,
    investment: Decimal | None,
    *,
    with_balances: bool = True,
) -> Draft:
    draft = queries.make_draft(current_user.id, account_id, market_id, investment)
    account = draft.account
    if not with_balances or account is None or account.mode == "paper":
        return draft
    balances = balances_of(account.id, account.mode)
    if balances is None:
        return draft
    return queries.make_draft(current_user.id, account.id, market_id, investment, balances=balances)


def balances_of(account_id: int, mode: str) -> Mapping[str, Decimal] | None:
    """Ask the exchange what a real account holds; None for paper, or if it does not answer."""
    if mode == "paper":
        return None
    try:
        found = read_balances(current_user.id, account_id)
    except DomainError:
        return None
    return {
        currency: balance.free + balance.locked for currency, balance in found.by_currency.items()
    }


# --- presets and figures --------------------------------------------------------------------------


def _take_preset(desk: Desk) -> None:
    chosen = desk.draft.preset(desk.form.preset.data or "")
    if "use_preset" in request.form and chosen is not None:
        _fill_preset(desk.form, chosen)


def _fill_preset(form: BotForm, chosen: PresetChoice) -> None:
    values: dict[str, object] = {
        "lower": chosen.lower,
        "upper": chosen.upper,
        "grids": chosen.grids,
        "spacing": chosen.spacing,
    }
    if current_user.profile.experience == "beginner":
        values["stop_loss"] = chosen.stop_loss
    form.fill(values, _locale())
    form.linked.data = "grids"


def _any_preset(draft: Draft) -> PresetChoice | None:
    return next((each for each in draft.presets if each.available), None)


def _preview(desk: Desk) -> Preview | None:
    values, wrong = desk.form.read(_locale())
    shown = preview_of_draft(current_user.id, desk.draft, desk.form.strategy_name, values, wrong)
    if shown is not None and shown.step is not None and desk.form.linked.data != "step":
        tick = desk.draft.pair.tick if desk.draft.pair else None
        step = shown.step if tick is None else shown.step.quantize(tick)
        desk.form.step.data = input_text(step, _locale())
    return shown


def _past(desk: Desk) -> PastRun | NoPastRun:
    return past_of(desk.draft, desk.form, _locale())


def _refreshed(desk: Desk, template: str) -> str:
    """Show the form as it was sent, with new figures; the way of browsers without scripts."""
    if "past" in request.form:
        return desk.page(template, _preview(desk), past=_past(desk))
    if desk.bot is None:
        _take_preset(desk)
    return desk.page(template, _preview(desk))


def _refused(desk: Desk, template: str, lines: list[FieldLine]) -> ResponseReturnValue:
    shown = _preview(desk)
    if desk.draft.problem is not None:
        lines = [*lines, FieldLine("market_id", desk.draft.problem)]
    desk.form.complain(lines, desk.draft.pair)
    return desk.page(template, shown), 422


def _lines(error: DomainError) -> list[FieldLine]:
    if isinstance(error, InvalidParams):
        return [FieldLine(each.field, Line(each.code, each.values)) for each in error.problems]
    return [FieldLine(error.field or "", Line(error.code, error.values))]


def _typed_investment(form: BotForm) -> Decimal | None:
    values, _wrong = form.read(_locale())
    typed = values.get("investment")
    return typed if isinstance(typed, Decimal) and typed > 0 else None


def _strategy_name(fallback: str) -> str:
    return _known_strategy(request.form.get("strategy"), fallback)


def _known_strategy(name: str | None, fallback: str = "") -> str:
    known = offered_strategies()
    if name in known:
        return str(name)
    return fallback if fallback in known else known[0]


def _locale() -> str:
    return str(get_locale() or "en")
