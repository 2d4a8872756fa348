"""Commands on bots, for whoever has the machine: they work on every owner's bots."""

import json
import os
from collections.abc import Callable

import click

from app.bots import service
from app.bots.inventory import InventoryBot, any_bot, bot_json, inventory
from app.bots.live import tick_accounts
from app.bots.planning import prospect
from app.bots.rules import Action, next_state
from app.cli.edge import DatabaseGroup
from app.trading.strategy import StopHow
from app.transactions import transaction

HOW = {"keep": StopHow.KEEP, "sell": StopHow.SELL, "leave-orders": StopHow.LEAVE_ORDERS}

bots = DatabaseGroup("bots", help="List, show, start, stop and tick bots.")


@bots.command("list")
@click.option("--json", "as_json", is_flag=True, help="Exact numbers as text, for programs.")
def list_bots(as_json: bool) -> None:
    """List every bot that is not deleted."""
    rows = [bot_json(bot) for bot in inventory()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(
            f"{row['id']:>5}  {row['state']:9} {row['mode']:5} {row['exchange']:8}"
            f" {row['symbol']:10} {row['profit']['total']:>14} {row['currency']:5} {row['name']}"
        )


@bots.command("show")
@click.argument("bot_id", type=int)
def show_bot(bot_id: int) -> None:
    """Print one bot as JSON."""
    click.echo(json.dumps(bot_json(_found(bot_id)), indent=1))


@bots.command("start")
@click.argument("bot_id", type=int)
def start_bot(bot_id: int) -> None:
    """Start a bot at the present price, with the plan as it is now."""

    def start() -> None:
        bot = any_bot(bot_id)
        if next_state(bot.state, Action.START) is None:
            raise click.ClickException(f"Bot {bot_id} runs already.")
        service.request_start(bot.user_id, bot_id, prospect(bot).seen)

    _do(start)
    click.echo(f"Bot {bot_id} is starting.")


@bots.command("stop")
@click.argument("bot_id", type=int)
@click.option("--then", "then", type=click.Choice(list(HOW)), default="keep", show_default=True)
def stop_bot(bot_id: int, then: str) -> None:
    """Stop a bot, and say what becomes of its coins and orders."""

    def stop() -> None:
        owner = any_bot(bot_id).user_id
        service.request_stop(owner, bot_id, HOW[then], by_operator=True)

    _do(stop)
    click.echo(f"Bot {bot_id} is stopping.")


@bots.command("emergency")
@click.argument("bot_id", type=int)
def emergency_bot(bot_id: int) -> None:
    """Cancel all orders of a bot, sell its coins at market and lock it."""
    _do(lambda: service.emergency_stop(any_bot(bot_id).user_id, bot_id))
    click.echo(f"Bot {bot_id} is being closed and locked.")


@bots.command("unlock")
@click.argument("bot_id", type=int)
def unlock_bot(bot_id: int) -> None:
    """Let a locked bot be started again."""
    _do(lambda: service.unlock(any_bot(bot_id).user_id, bot_id))
    click.echo(f"Bot {bot_id} is unlocked.")


@bots.command("tick")
@click.argument("bot_id", type=int)
def tick_bot(bot_id: int) -> None:
    """Tick the account of a bot now, in this process."""
    account_id = _found(bot_id).account_id
    report = tick_accounts([account_id], f"cli-{os.getpid()}")
    if report.busy:
        raise click.ClickException("A worker is ticking this account right now; try again.")
    click.echo(f"Ticked: {report.fills} fills, {report.sent} orders sent, {report.failed} failed.")


def _do(action: Callable[[], None]) -> None:
    with transaction():
        action()


def _found(bot_id: int) -> InventoryBot:
    for bot in inventory(bot_id):
        return bot
    raise click.ClickException(f"There is no bot {bot_id}.")


commands: list[click.Command] = [bots]
