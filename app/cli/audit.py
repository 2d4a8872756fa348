"""Commands on the audit trail."""

import click

from app.accounts import audit_chain
from app.accounts.audit_chain import Link
from app.cli.edge import DatabaseGroup

audit = DatabaseGroup("audit", help="The audit trail.")


@audit.command("verify")
@click.option("--noted", metavar="ID:HASH", help="A newest row that an earlier check has printed.")
def verify(noted: str | None) -> None:
    """Check that no row was changed, removed or put between; exit 1 names the first broken one."""
    report = audit_chain.check_chain(_read(noted))
    if report.broken_id is not None:
        raise click.ClickException(
            f"The audit trail is broken at row {report.broken_id}: it, or what stood right before "
            f"it, was changed. {report.rows} rows before it are whole."
        )
    if report.lost is not None:
        raise click.ClickException(
            f"The rows fit together, but row {report.lost.id} is not the one that was noted: "
            "the end was cut off, or everything was written anew."
        )
    click.echo(f"The audit trail is whole: {report.rows} rows. Note the newest: {report.head}")


def _read(noted: str | None) -> Link | None:
    try:
        return audit_chain.parse_link(noted) if noted else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--noted") from None


commands: list[click.Command] = [audit]
