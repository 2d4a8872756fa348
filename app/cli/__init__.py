"""Flask commands, one small file per subject."""

from flask import Flask

from app.cli import audit, bots, demo, keys, ledger, people, plans, promo, stripe, trading


def register_commands(app: Flask) -> None:
    """Join every command to the app."""
    subjects = (trading, bots, people, plans, promo, stripe, ledger, audit, keys, demo)
    for command in (command for subject in subjects for command in subject.commands):
        app.cli.add_command(command)
