"""A form for the settings of a bot with what it stands on: as first shown, or as it was sent."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask import flash, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, gettext
from flask_login import current_user

from app.accounts.choices import choices as options
from app.bots import queries, rules, running
from app.bots.contract_texts import POSITION_CHOICES
from app.bots.forms import (
    PRESETS,
    BotForm,
    bot_form,
    declares_step,
    read_id,
    strategy_choices,
)
from app.bots.labels import STRATEGY_LABELS
from app.bots.queries import BotCard, Draft, Preview
from app.bots.queries.draft import (
    PresetChoice,
    draft_of_bot,
    first_investment,
    offered_strategies,
)
from app.bots.queries.preview import FieldLine, field_line, preview_of_draft
from app.bots.routes.pastrun import past_of
from app.errors import DomainError
from app.exchanges.snapshots import Snapshot, lately
from app.formatting import input_text
from app.trades.queries import Line
from app.trading.guard import GUARD_FIELDS
from app.trading.strategy import InvalidParams, StopHow

# Percent between two lines, as far as somebody would type it.
STEP_SHOWN = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Desk:
    """A form with what it stands on."""

    form: BotForm
    draft: Draft
    bot: BotCard | None = None
    # What a real account holds, as last read; None for paper.
    held: Snapshot | None = None

    def page(self, template: str, shown: Preview | None, **more: Any) -> str:
        """Render a page or a part of it."""
        return render_template(
            template,
            form=self.form,
            draft=self.draft,
            held=self.held,
            preview=shown,
            bot=self.bot,
            experience=current_user.profile.experience,
            **more,
        )


def first_desk() -> Desk:
    """Return an empty form, or one filled in from another bot or from a preset."""
    source = read_id(request.args.get("from"))
    card = queries.bot_card(current_user.id, source) if source else None
    account_id = card.account_id if card else read_id(request.args.get("account"))
    market_id = card.pair.id if card else read_id(request.args.get("market"))
    strategy = card.strategy if card else _known_strategy(request.args.get("strategy"))
    draft, held = _draft(account_id, market_id, None)
    if market_id is not None and draft.pair is not None and draft.pair.id != market_id:
        flash(gettext("None of your accounts trades that pair. Here is another one."), "info")
    form = bot_form(strategy)(formdata=None)
    desk = _settle(Desk(form, draft, held=held), strategy)
    if card is not None:
        form.fill(queries.stored_params(card.id), locale())
        form.fill_limits(queries.limits_of_bot(card.id), locale())
        form.preset.data = "own"
        form.name.data = gettext("Copy of %(name)s", name=card.name)[: rules.MAX_NAME]
        return desk
    form.fill_defaults(locale())
    form.fill({"investment": first_investment(draft.free).quantize(Decimal("0.01"))}, locale())
    wanted = request.args.get("preset", "")
    chosen = draft.preset(wanted) or draft.preset("balanced") or _any_preset(draft)
    form.preset.data = chosen.name if chosen else "own"
    if chosen is not None:
        _fill_preset(form, chosen)
    return desk


def posted_desk() -> Desk:
    """Return the form as it was sent; a bot's own form stands on that bot."""
    bot_id = read_id(request.form.get("bot_id"))
    if bot_id is not None:
        card = queries.bot_card(current_user.id, bot_id)
        return desk_of_bot(card, bot_form(sent_strategy(card.strategy))())
    strategy = sent_strategy("")
    form = bot_form(strategy)()
    investment = _typed_investment(form)
    draft, held = _draft(read_id(form.account_id.data), read_id(form.market_id.data), investment)
    return _settle(Desk(form, draft, held=held), strategy)


def desk_of_bot(card: BotCard, form: BotForm) -> Desk:
    """Return the form of new settings for a bot, whose account and pair stay."""
    del form.account_id, form.preset
    # They have a page of their own.
    for field in GUARD_FIELDS:
        delattr(form, field.name)
    form.bot_id.data = str(card.id)
    form.seen.data = form.seen.data or str(card.config_version)
    form.market_id.data = str(card.pair.id)
    form.unit, form.unit_of_coins = card.pair.quote, card.pair.base
    form.strategy.choices = strategy_choices()
    form.strategy.data = form.strategy_name
    held = held_lately(card.account_id, card.mode)
    draft = draft_of_bot(current_user.id, card, held.totals if held else None)
    return _linked(Desk(form, draft, card, held))


def _settle(desk: Desk, strategy: str) -> Desk:
    """Fill in the choices of a new bot's form, and what follows from them."""
    form, draft = desk.form, desk.draft
    del form.bot_id, form.seen
    form.account_id.choices = options((str(each.id), each.label) for each in draft.accounts)
    form.account_id.data = str(draft.account.id) if draft.account else ""
    form.strategy.choices = strategy_choices()
    form.strategy.data = strategy
    form.market_id.data = str(draft.pair.id) if draft.pair else ""
    form.unit = draft.pair.quote if draft.pair else ""
    form.unit_of_coins = draft.pair.base if draft.pair else ""
    if form.preset.data not in PRESETS:
        form.preset.data = "own"
    if not form.name.data and draft.pair:
        label = str(STRATEGY_LABELS.get(strategy, strategy))
        form.name.data = f"{label} {draft.pair.symbol}"
    return _linked(desk)


def _linked(desk: Desk) -> Desk:
    """Let a typed step set the number of grids."""
    form, pair = desk.form, desk.draft.pair
    form.is_futures = pair is not None and pair.kind != "spot"
    if form.is_futures and "at_exit" in form:
        form["at_exit"].choices = options(POSITION_CHOICES.items())
    is_expert = current_user.profile.experience == "expert"
    form.keeps_step = is_expert and declares_step(form.strategy_name)
    values, wrong = form.read(locale())
    if any(each.field == "step" for each in wrong):
        return desk
    step = form.read_step(locale())
    lower, upper = values.get("lower"), values.get("upper")
    if step is None or not isinstance(lower, Decimal) or not isinstance(upper, Decimal):
        return desk
    geometric = values.get("spacing") == "geometric"
    count = rules.grids_for_step(lower, upper, step, geometric=geometric)
    if count is not None and "grids" in form:
        form["grids"].data = str(count)
    return desk


def _draft(
    account_id: int | None, market_id: int | None, investment: Decimal | None
) -> tuple[Draft, Snapshot | None]:
    draft = queries.make_draft(current_user.id, account_id, market_id, investment)
    account = draft.account
    held = held_lately(account.id, account.mode) if account else None
    if account is None or held is None or held.totals is None:
        return draft, held
    return queries.make_draft(
        current_user.id, account.id, market_id, investment, balances=held.totals
    ), held


def free_line() -> str:
    """Render how much money is free on the account that the address names, as last read."""
    bot_id = read_id(request.args.get("bot"))
    if bot_id is None:
        account_id, market_id = (read_id(request.args.get(name)) for name in ("account", "market"))
        card, (draft, held) = None, _draft(account_id, market_id, None)
    else:
        card = queries.bot_card(current_user.id, bot_id)
        held = held_lately(card.account_id, card.mode)
        draft = draft_of_bot(current_user.id, card, held.totals if held else None)
    return render_template("bots/_free.html", draft=draft, held=held, bot=card)


def held_lately(account_id: int, mode: str) -> Snapshot | None:
    """Return what a real account held when it was last read; None for paper."""
    return None if mode == "paper" else lately(current_user.id, account_id)


# --- presets and figures --------------------------------------------------------------------------


def take_preset(desk: Desk) -> None:
    """Fill in the preset that was asked for."""
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
    if form.is_futures:
        # A position that a stop-loss keeps goes on losing.
        values["at_exit"] = StopHow.SELL.value
    form.fill(values, locale())
    form.linked.data = "grids"


def _any_preset(draft: Draft) -> PresetChoice | None:
    return next((each for each in draft.presets if each.available), None)


def live_preview(desk: Desk) -> Preview | None:
    """Plan what the form says so far, and write the step that follows from it."""
    values, wrong = desk.form.read(locale())
    shown = preview_of_draft(current_user.id, desk.draft, desk.form.strategy_name, values, wrong)
    if shown is not None and desk.bot is not None and desk.bot.state == "active" and not wrong:
        shown = running.preview_of_edit(current_user.id, desk.bot.id, values, shown)
    if shown is not None and desk.form.linked.data != "step":
        tick = desk.draft.pair.tick if desk.draft.pair else None
        if shown.step is not None:
            step = shown.step if tick is None else shown.step.quantize(tick)
            desk.form.step.data = input_text(step, locale())
        elif shown.step_share is not None:
            desk.form.step.data = input_text(
                (shown.step_share * 100).quantize(STEP_SHOWN), locale()
            )
    return shown


def refreshed(desk: Desk, template: str) -> str:
    """Show the form as it was sent, with new figures; the way of browsers without scripts."""
    if "past" in request.form:
        return desk.page(
            template, live_preview(desk), past=past_of(desk.draft, desk.form, locale())
        )
    if desk.bot is None:
        take_preset(desk)
    return desk.page(template, live_preview(desk))


def refused(desk: Desk, template: str, lines: list[FieldLine]) -> ResponseReturnValue:
    """Show the form with what is wrong beside its fields."""
    shown = live_preview(desk)
    if desk.draft.problem is not None:
        lines = [*lines, FieldLine("market_id", desk.draft.problem)]
    desk.form.complain(lines, desk.draft.pair)
    return desk.page(template, shown), 422


def problems_of(error: DomainError) -> list[FieldLine]:
    """Return what an error says about fields."""
    if isinstance(error, InvalidParams):
        return [field_line(each) for each in error.problems]
    return [FieldLine(error.field or "", Line(error.code, error.values))]


def _typed_investment(form: BotForm) -> Decimal | None:
    values, _wrong = form.read(locale())
    typed = values.get("investment")
    return typed if isinstance(typed, Decimal) and typed > 0 else None


def sent_strategy(fallback: str) -> str:
    """Return the strategy that the form was sent for."""
    return _known_strategy(request.form.get("strategy"), fallback)


def _known_strategy(name: str | None, fallback: str = "") -> str:
    known = offered_strategies()
    if name in known:
        return str(name)
    return fallback if fallback in known else known[0]


def locale() -> str:
    """Return the reader's language."""
    return str(get_locale() or "en")
