"""Flask commands, one small file per subject."""

from flask import Flask

from app.cli import bots, demo, people, trading


def register_commands(app: Flask) -> None:
    """Join every command to the app."""
    for command in (*trading.commands, *bots.commands, *people.commands, *demo.commands):
        app.cli.add_command(command)
