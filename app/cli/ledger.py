"""Commands on the ledger."""

import click

from app.cli.edge import DatabaseGroup
from app.wallet import check

ledger = DatabaseGroup("ledger", help="The ledger of all money.")


@ledger.command("verify")
def verify() -> None:
    """Add every entry up anew and compare it with the kept balances; exit 1 names what differs."""
    report = check.verify_now()
    if not report.is_whole:
        for difference in report.differences[: check.SHOWN]:
            click.echo(str(difference), err=True)
        raise click.ClickException(
            f"The ledger differs from its entries. Differences: {len(report.differences)}."
        )
    click.echo(
        f"The ledger is whole: {report.postings} postings, {report.entries} entries, every "
        "commodity sums to zero, every kept balance is the sum of its entries."
    )


commands: list[click.Command] = [ledger]
