"""Who may count the past, and how often: it takes a processor for a moment."""

from threading import BoundedSemaphore

from flask import request
from flask_login import current_user

from app.accounts.limits import Limit, is_within
from app.bots.forms import BotForm, read_id
from app.bots.queries.draft import Draft
from app.bots.queries.pastrun import NoPastRun, PastRun, past_run
from app.bots.queries.preview import FieldLine
from app.errors import NotFound, TooManyTries
from app.subscriptions import quotas
from app.subscriptions.rules import Allowance
from app.trades.queries import Line

PAST_RUNS = Limit("past-run", 12, 60)
A_DAY_S = 86_400
WAIT_S = 2.0
# One at a time in a process: other pages go on meanwhile.
_turn = BoundedSemaphore(1)


def past_of(draft: Draft, form: BotForm, locale: str) -> PastRun | NoPastRun:
    """Count what a form would have brought; raise NotFound for an account or a pair not theirs."""
    _check_choice("account_id", draft.account.id if draft.account else None)
    _check_choice("market_id", draft.pair.id if draft.pair else None)
    if not is_within(PAST_RUNS, str(current_user.id)):
        return NoPastRun("too_often")
    try:
        quotas.spend(current_user.id, Allowance.PAST_RUNS, A_DAY_S)
    except TooManyTries as error:
        return NoPastRun("plan", FieldLine("", Line(error.code, error.values)))
    values, wrong = form.read(locale)
    preset = form.preset.data or "" if "preset" in form else ""
    if not _turn.acquire(timeout=WAIT_S):
        return NoPastRun("busy")
    try:
        return past_run(current_user.id, draft, form.strategy_name, values, preset, wrong)
    finally:
        _turn.release()


def _check_choice(name: str, found: int | None) -> None:
    # A draft falls back to what is theirs; a count on another pair than was sent would mislead.
    sent = request.form.get(name, "")
    if sent and read_id(sent) != found:
        raise NotFound("unknown_account" if name == "account_id" else "unknown_market")
