"""Commands on the master keys."""

import click

from app.accounts import rotation
from app.cli.edge import DatabaseGroup
from app.config import current_config

keys = DatabaseGroup("keys", help="The master keys under which secrets are sealed.")


@keys.command("rotate")
@click.option("--batch", type=click.IntRange(1, 10_000), default=rotation.BATCH, show_default=True)
def rotate(batch: int) -> None:
    """Seal everything under the first of BOTYARD_MASTER_KEYS, while all goes on.

    Stopped or killed it is started again, and does the rest.
    """
    outcome = rotation.rotate(batch, lambda done: click.echo(f"{done} done", err=True))
    click.echo(f"{outcome.done} values are now under {current_config().key_ring.current}.")
    if outcome.unreadable:
        places = "\n".join(outcome.unreadable[:20])
        raise click.ClickException(
            f"{len(outcome.unreadable)} values do not open with any of the keys given:\n{places}"
        )
    _say_what_is_needed()


@keys.command("status")
def status() -> None:
    """Count the values under each key: one without values may be removed."""
    _say_what_is_needed()


def _say_what_is_needed() -> None:
    ring, used = current_config().key_ring, rotation.keys_in_use()
    for kid in dict.fromkeys((*ring.keys, *used)):
        note = "current" if kid == ring.current else "" if kid in used else "may be removed"
        note = note if kid in ring.keys else "MISSING in BOTYARD_MASTER_KEYS"
        click.echo(f"{kid:12} {used.get(kid, 0):>8} {note}".rstrip())


commands: list[click.Command] = [keys]
