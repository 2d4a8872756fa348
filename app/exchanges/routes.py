"""Pages of connected exchanges: list, connect, one account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import has_second_factor, proves_again, requires
from app.accounts.permissions import Permission
from app.adapters.exchanges.check import KeyCheck
from app.adapters.exchanges.keys import ApiKeys
from app.config import current_config
from app.errors import Conflict, DomainError, NotFound
from app.exchanges import queries, remains, service, snapshots
from app.exchanges.catalogue import VENUES, Venue
from app.exchanges.forms import KeysForm, LettingGoForm, PaperForm, RenameForm
from app.exchanges.texts import FINDINGS, STEPS
from app.exchanges.wording import describe_named, trouble_of
from app.extensions import limiter
from app.formatting import parse_decimal
from app.i18n import describe
from app.transactions import transaction

blueprint = Blueprint("exchanges", __name__)

FORBIDDEN = 403
UNPROCESSABLE = 422
FIRST_BALANCE = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class StepLine:
    """One line of a key check in the reader's words."""

    title: str
    state: str
    text: str


@blueprint.get("/exchanges")
@requires(Permission.EXCHANGES_OWN)
def index() -> ResponseReturnValue:
    """List the own accounts and the catalogue."""
    return render_template(
        "exchanges/index.html",
        accounts=queries.accounts_of(current_user.id),
        catalogue=queries.catalogue(),
        venues=VENUES,
    )


@blueprint.route("/exchanges/new", methods=["GET", "POST"])
@requires(Permission.EXCHANGES_OWN)
@limiter.limit("20 per minute", methods=["POST"])
def connect() -> ResponseReturnValue:
    """Open a paper account, or connect a real one; without a choice, ask which."""
    listed = [one for one in queries.catalogue() if one.enabled]
    code = request.args.get("exchange", "")
    if not code:
        return render_template("exchanges/choose.html", listed=listed)
    venue = next((one.venue for one in listed if one.venue.code == code), None)
    if venue is None:
        raise NotFound("unknown_exchange")
    return _connect_paper(listed) if venue.is_paper else _connect_keys(venue)


def _connect_paper(listed: Sequence[queries.Listed]) -> ResponseReturnValue:
    form = PaperForm()
    form.offer(one.venue for one in listed if not one.venue.is_paper)
    if form.validate_on_submit():
        try:
            balance = parse_decimal(form.balance.data or "", str(get_locale()))
        except DomainError as error:
            form.balance.errors = [describe(error)]
            return _paper_page(form)
        try:
            with transaction():
                account = service.connect_paper(
                    current_user.id, form.label.data or "", form.exchange.data, balance
                )
                number = account.id
        except DomainError as error:
            _attach(form, error)
        else:
            flash(_("Your paper account is ready."), "success")
            return redirect(url_for("exchanges.show", account_id=number), 303)
    elif not form.is_submitted():
        form.balance.data = str(FIRST_BALANCE)
    return _paper_page(form)


def _paper_page(form: PaperForm) -> ResponseReturnValue:
    status = UNPROCESSABLE if form.errors else 200
    return render_template("exchanges/paper.html", form=form), status


@proves_again
def _connect_keys(venue: Venue) -> ResponseReturnValue:
    missing = _missing_for_keys()
    if missing:
        page = render_template(f"exchanges/needs_{missing}.html", venue=venue)
        return page, FORBIDDEN if request.method == "POST" else 200
    form = KeysForm()
    form.fit(venue)
    check: KeyCheck | None = None
    if form.validate_on_submit():
        try:
            checked = service.check_new_keys(current_user.id, _new_keys(form, venue))
            check = checked.check
            if check.passed:
                with transaction():
                    number = service.connect_keys(current_user.id, checked).id
                flash(_("The account is connected."), "success")
                return redirect(url_for("exchanges.show", account_id=number), 303)
        except DomainError as error:
            _attach(form, error)
    failed = bool(form.errors) or check is not None
    page = render_template(
        "exchanges/keys.html",
        form=form,
        venue=venue,
        steps=_lines(check, venue) if check else (),
        addresses=current_config().outgoing_addresses,
        policy=service.key_policy(),
        partner_id=service.partner_id_at(venue.code),
    )
    return page, UNPROCESSABLE if failed else 200


def _missing_for_keys() -> str:
    """Return what a person has to do before keys are taken: be confirmed, have a factor."""
    if not current_user.is_confirmed:
        return "confirming"
    return "factor" if service.keys_need_factor() and not has_second_factor() else ""


def _new_keys(form: KeysForm, venue: Venue) -> service.NewKeys:
    passphrase = form.passphrase.data if venue.needs_passphrase else ""
    return service.NewKeys(
        venue.code,
        form.label.data or "",
        ApiKeys(form.key.data or "", form.secret.data or "", passphrase or ""),
        bool(venue.has_testnet and form.testnet.data),
    )


@blueprint.get("/exchanges/<int:account_id>")
@requires(Permission.EXCHANGES_OWN)
def show(account_id: int) -> ResponseReturnValue:
    """Show one account; the money of a real one as last read, and anew when a worker has."""
    account = queries.account_of(current_user.id, account_id)
    return _account_page(account_id, RenameForm(label=account.label))


def _account_page(
    account_id: int, form: RenameForm, check: KeyCheck | None = None, status: int = 200
) -> ResponseReturnValue:
    account = queries.account_of(current_user.id, account_id)
    venue = VENUES[account.venue]
    page = render_template(
        "exchanges/show.html",
        account=account,
        venue=venue,
        form=form,
        steps=_lines(check, venue) if check else (),
        check_error=_finding(account.check_error or "", {"exchange": venue.name}),
        **_money(account_id),
        topic=snapshots.topic_of(account_id),
        addresses=current_config().outgoing_addresses,
    )
    return page, status


@blueprint.get("/exchanges/<int:account_id>/balances")
@requires(Permission.EXCHANGES_OWN)
@limiter.limit("30 per minute")
def balances(account_id: int) -> ResponseReturnValue:
    """Return the block with an account's money as last read; a worker reads it anew if old."""
    return render_template("exchanges/_balances.html", **_money(account_id))


def _money(account_id: int) -> dict[str, Any]:
    """Return what the block with an account's money shows."""
    found = snapshots.lately(current_user.id, account_id)
    return {
        "account_id": account_id,
        "is_real": not queries.is_paper(queries.account_of(current_user.id, account_id)),
        "balances": found.balances,
        "error": describe_named(found.error) if found.error else "",
        "is_asked": found.is_asked,
    }


@blueprint.post("/exchanges/<int:account_id>/rename")
@requires(Permission.EXCHANGES_OWN)
def rename(account_id: int) -> ResponseReturnValue:
    """Give an account another name."""
    form = RenameForm()
    if form.validate_on_submit():
        try:
            with transaction():
                service.rename(current_user.id, account_id, form.label.data or "")
        except NotFound:
            raise
        except DomainError as error:
            _attach(form, error)
        else:
            flash(_("The new name is saved."), "success")
            return redirect(url_for("exchanges.show", account_id=account_id), 303)
    return _account_page(account_id, form, status=UNPROCESSABLE)


@blueprint.post("/exchanges/<int:account_id>/recheck")
@requires(Permission.EXCHANGES_OWN)
@limiter.limit("6 per minute")
def recheck(account_id: int) -> ResponseReturnValue:
    """Ask the exchange about the stored key again and show the steps."""
    account = queries.account_of(current_user.id, account_id)
    try:
        check = service.check_again(current_user.id, account_id)
    except Conflict as error:
        flash(describe(error), "warning")
        return redirect(url_for("exchanges.show", account_id=account_id), 303)
    with transaction():
        service.store_check(current_user.id, account_id, check)
    return _account_page(account_id, RenameForm(formdata=None, label=account.label), check)


@blueprint.post("/exchanges/<int:account_id>/toggle")
@requires(Permission.EXCHANGES_OWN)
def toggle(account_id: int) -> ResponseReturnValue:
    """Switch an account on or off, as the button said: pressing twice does no harm."""
    on = request.form.get("active") == "1"
    with transaction():
        service.switch(current_user.id, account_id, on=on)
    if on:
        flash(_("The account is switched on."), "success")
    else:
        flash(_("The account is switched off. What ran on it is being stopped."), "info")
    return redirect(url_for("exchanges.show", account_id=account_id), 303)


@blueprint.route("/exchanges/<int:account_id>/delete", methods=["GET", "POST"])
@requires(Permission.EXCHANGES_OWN)
@proves_again
def delete(account_id: int) -> ResponseReturnValue:
    """Say what stays at the exchange and ask once more, then delete the account and its keys."""
    account = queries.account_of(current_user.id, account_id)
    traces = remains.traces_of(account_id)
    left = remains.remains_now(current_user.id, account_id, traces.symbols)
    form = LettingGoForm()
    if not form.agrees_with(left.seen):
        page = render_template(
            "exchanges/delete.html",
            account=account,
            venue=VENUES[account.venue],
            form=form,
            left=left,
            trouble=trouble_of(left),
            keepers=traces.keepers,
        )
        return page, UNPROCESSABLE if form.errors else 200
    try:
        with transaction():
            service.delete(
                current_user.id,
                account_id,
                leaves_stops=bool(left.seen),
                leaves_orders=left.has_dead_key,
            )
    except NotFound:
        raise
    except DomainError as error:
        flash(describe(error), "danger")
        return redirect(url_for("exchanges.show", account_id=account_id), 303)
    flash(_("The account is deleted. Its trades stay in your history."), "success")
    return redirect(url_for("exchanges.index"), 303)


def _lines(check: KeyCheck, venue: Venue) -> list[StepLine]:
    return [
        StepLine(
            str(STEPS[step.name.value]),
            step.state.value,
            _finding(step.code, {**step.values, "exchange": venue.name}),
        )
        for step in check.steps
    ]


def _finding(code: str, values: Mapping[str, object]) -> str:
    return str(FINDINGS[code]) % values if code in FINDINGS else ""


def _attach(form: Any, error: DomainError) -> None:
    """Show an error at its field, or above all fields."""
    g.refused = error.values
    if error.field and error.field in form:
        form[error.field].errors = [describe(error)]
    else:
        form.form_errors.append(describe(error))
