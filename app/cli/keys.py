"""Commands on the master keys and the data keys under them."""

import click

from app.accounts import data_keys as exchange
from app.accounts import rotation
from app.cli.edge import DatabaseGroup
from app.config import current_config
from app.db import db

keys = DatabaseGroup("keys", help="The master keys under which secrets are sealed.")


@keys.command("rotate")
@click.option("--batch", type=click.IntRange(1, 10_000), default=rotation.BATCH, show_default=True)
@click.option("--data-keys", is_flag=True, help="Give every person a new data key.")
def rotate(batch: int, data_keys: bool) -> None:
    """Seal everything under the first of BOTYARD_MASTER_KEYS, while all goes on.

    With --data-keys every person gets a new data key, and what they entrusted to us is sealed anew
    under it. Stopped or killed it is started again, and does the rest.
    """
    if data_keys:
        _rotate_data_keys(batch)
        return
    outcome = rotation.rotate(batch, _tell)
    click.echo(f"{outcome.done} values are now under {current_config().key_ring.current}.")
    _complain(outcome)
    _say_what_is_needed()


def _rotate_data_keys(batch: int) -> None:
    left = exchange.owners_left()
    db.session.rollback()
    if left:
        click.echo(f"Going on with a run that was broken off: {left} people left.")
    outcome = exchange.rotate_data_keys(batch, _tell)
    click.echo(f"{outcome.done} values are now under new data keys.")
    _complain(outcome)


def _tell(done: int) -> None:
    click.echo(f"{done} done", err=True)


def _complain(outcome: rotation.Rotated) -> None:
    if outcome.unreadable:
        places = "\n".join(outcome.unreadable[:20])
        raise click.ClickException(
            f"{len(outcome.unreadable)} values do not open with any of the keys given:\n{places}"
        )


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
