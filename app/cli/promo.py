"""Commands about promotion codes, for staff and their scripts."""

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from app.cli.edge import DatabaseGroup
from app.money import Money, exact_text
from app.subscriptions.promotions import queries, service
from app.subscriptions.promotions.queries import CodePage
from app.subscriptions.promotions.rules import MAX_PERIODS, MAX_REDEMPTIONS, Terms, normal
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import Discount
from app.transactions import transaction

promo = DatabaseGroup("promo", help="Promotion codes.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Exact(click.ParamType[Decimal]):
    """A decimal number, read exactly."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Read it, or say that it is none."""
        try:
            read = Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not a number.", param, ctx)
        if not read.is_finite():
            self.fail(f"{value!r} is not a number.", param, ctx)
        return read


@promo.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that have ended too.")
@_json
def list_codes(everything: bool, as_json: bool) -> None:
    """Show the codes that can be used, the newest first."""
    _print(queries.listed(everything=everything), as_json=as_json)


@promo.command("create")
@click.argument("code")
@click.option("--percent", type=Exact(), help="Takes off, in percent.")
@click.option("--amount", type=Exact(), help=f"or takes off, in {CURRENCY}.")
@click.option(
    "--periods",
    type=click.IntRange(0, MAX_PERIODS),
    default=1,
    show_default=True,
    help="Off how many periods; 0: off all of them.",
)
@click.option("--max", "most", type=click.IntRange(1, MAX_REDEMPTIONS), help="Used how often.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="In UTC.")
@click.option("--plan", "plans", multiple=True, help="Only for this plan; may be given again.")
@_json
def create(
    code: str,
    percent: Decimal | None,
    amount: Decimal | None,
    periods: int,
    most: int | None,
    expires: datetime | None,
    plans: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a code; it can't be changed afterwards, only ended."""
    terms = Terms(
        Discount(
            normal(code),
            percent=percent,
            amount=Money(amount, CURRENCY) if amount is not None else None,
            periods=periods or None,
        ),
        plans,
        expires.replace(tzinfo=UTC) if expires else None,
        most,
    )
    with transaction():
        made = service.make(None, terms)
    _print([queries.page_of(made)], as_json=as_json)


@promo.command("end")
@click.argument("code")
@_json
def end(code: str, as_json: bool) -> None:
    """Let nobody begin with a code any more; who has it keeps it. Again: nothing."""
    with transaction():
        code_id = queries.by_code(code).id
        service.switch(None, code_id, active=False)
    _print([queries.page_of(code_id)], as_json=as_json)


def _print(pages: list[CodePage], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_values(page) for page in pages], indent=1))
        return
    for page in pages:
        told = _values(page)
        off = f"{told['percent']} %" if told["percent"] else f"{told['amount']} {CURRENCY}"
        most = f" of {told['max_redemptions']}" if told["max_redemptions"] else ""
        click.echo(
            f"{told['code']:20} {off:>14} off {told['periods'] or 'all'} periods, taken "
            f"{told['redeemed']}{most}, for {', '.join(told['plans']) or 'all plans'}, "
            f"{told['state']}"
        )


def _values(page: CodePage) -> dict[str, Any]:
    terms, discount = page.terms, page.terms.discount
    return {
        "code": discount.code,
        "percent": exact_text(discount.percent) if discount.percent is not None else None,
        "amount": exact_text(discount.amount.amount) if discount.amount else None,
        "currency": discount.amount.currency if discount.amount else None,
        "periods": discount.periods,
        "plans": list(terms.plans),
        "expires_at": terms.expires_at.isoformat() if terms.expires_at else None,
        "max_redemptions": terms.max_redemptions,
        "redeemed": page.redeemed,
        "state": "active" if page.is_live else "ended",
        "created_at": page.created_at.isoformat(),
    }


commands: list[click.Command] = [promo]
