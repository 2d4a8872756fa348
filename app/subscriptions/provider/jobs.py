"""Queue entry points of subscriptions that a provider keeps."""

from app.subscriptions.provider import commands, leaving, promos
from app.transactions import transaction


def send_command(command_id: int) -> None:
    """Carry an order out that nobody waits for; any number of times."""
    commands.send_owed(command_id)


def send_due() -> None:
    """Order what is owed to those who left, and send what was not confirmed yet."""
    with transaction():
        leaving.order_ends()
    with transaction():
        ids = commands.due()
    for command_id in ids:
        send_command(command_id)


def push_promos() -> None:
    """Make promotion codes known where subscriptions are kept, and end those that have ended."""
    promos.push()
