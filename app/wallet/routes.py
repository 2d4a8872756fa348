"""A person's wallet: balances, lines, one transaction, the lines as a file."""

from flask import Blueprint, render_template, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.formatting.cells import safe_cell
from app.listing.days import end_of, start_of
from app.listing.files import csv_file, iso
from app.listing.links import link_builder, read_args
from app.listing.paging import page_of, read_page
from app.money import exact_text
from app.wallet import queries
from app.wallet.forms import FilterForm
from app.wallet.queries import LineFilter, LineView
from app.wallet.texts import account_label, kind_label, rail_label, state_label
from app.wallet.topups import ref_links, top_up_address

blueprint = Blueprint("wallet", __name__)

KEYS = ("currency", "kind", "rail", "direction", "from", "to", "page")
COLUMNS = ("transaction", "time_utc", "kind", "state", "rail", "amount", "currency", "references")


@blueprint.get("/wallet")
@requires(Permission.WALLET_OWN)
def index() -> ResponseReturnValue:
    """Show what a person has, and the lines of a filter."""
    args = read_args(KEYS)
    form = FilterForm(request.args)
    form.offer(queries.line_choices(current_user.id))
    found = queries.list_lines(current_user.id, _filter(), read_page(args.get("page")))
    url = link_builder("wallet.index", args)
    return render_template(
        "wallet/index.html",
        balances=queries.balances_of(current_user.id),
        holds=queries.open_holds(current_user.id),
        lines=found.items,
        form=form,
        page=page_of(found, lambda number: url(page=number)),
        top_up_url=top_up_address(),
    )


@blueprint.get("/wallet/<int:posting_id>")
@requires(Permission.WALLET_OWN)
def show(posting_id: int) -> ResponseReturnValue:
    """Show one transaction with where the money came from and went."""
    transaction = queries.transaction_of(current_user.id, posting_id)
    return render_template(
        "wallet/show.html",
        transaction=transaction,
        links=ref_links(current_user.id, transaction.refs),
    )


@blueprint.get("/wallet.csv")
@requires(Permission.WALLET_OWN)
def export() -> ResponseReturnValue:
    """Give the lines of a filter as a file."""
    return csv_file("wallet.csv", COLUMNS, map(_row, queries.all_lines(current_user.id, _filter())))


def _row(line: LineView) -> list[str]:
    return [
        str(line.posting_id),
        iso(line.at),
        line.kind,
        line.state,
        line.rail,
        exact_text(line.amount),
        line.currency,
        safe_cell(" ".join(line.refs)),
    ]


def _filter() -> LineFilter:
    """Read the filter from the address; what can't be read means any."""
    args = read_args(KEYS)
    return LineFilter(
        currency=args.get("currency", ""),
        kind=args.get("kind", ""),
        rail=args.get("rail", ""),
        direction=args["direction"] if args.get("direction") in {"in", "out"} else "",
        first=start_of(args.get("from")),
        last=end_of(args.get("to")),
    )


@blueprint.record_once
def _join(state: BlueprintSetupState) -> None:
    state.app.jinja_env.filters.update(
        posting_kind=kind_label,
        posting_rail=rail_label,
        posting_state=state_label,
        ledger_account=account_label,
    )
