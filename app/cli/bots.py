"""Commands on bots, for whoever has the machine: they work on every owner's bots."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import click

from app.bots import running, service, starting, stopping
from app.bots.inventory import InventoryBot, any_bot, bot_json, inventory
from app.bots.live import tick_accounts
from app.bots.mending import bots_with_trades, mend_trades
from app.bots.rules import Action, may, next_state
from app.bots.venue_check import ask_venue
from app.cli.edge import DatabaseGroup
from app.trading.codec import to_json
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
    with transaction():
        owner = any_bot(bot_id).user_id
    balances = ask_venue(owner, bot_id)

    def start() -> None:
        if next_state(any_bot(bot_id).state, Action.START) is None:
            raise click.ClickException(f"Bot {bot_id} runs already.")
        starting.start_as_planned_now(owner, bot_id, balances)

    _do(start)
    click.echo(f"Bot {bot_id} is starting.")


@bots.command("stop")
@click.argument("bot_id", type=int)
@click.option("--then", "then", type=click.Choice(list(HOW)), default="keep", show_default=True)
def stop_bot(bot_id: int, then: str) -> None:
    """Stop a bot, and say what becomes of its coins and orders."""

    def stop() -> None:
        owner = any_bot(bot_id).user_id
        stopping.request_stop(owner, bot_id, HOW[then], by_operator=True)

    _do(stop)
    _say_state(bot_id)


@bots.command("emergency")
@click.argument("bot_id", type=int)
def emergency_bot(bot_id: int) -> None:
    """Cancel all orders of a bot, sell its coins at market and lock it."""
    _do(lambda: stopping.emergency_stop(any_bot(bot_id).user_id, bot_id))
    _say_state(bot_id)


@bots.command("unlock")
@click.argument("bot_id", type=int)
def unlock_bot(bot_id: int) -> None:
    """Let a locked bot be started again."""
    _do(lambda: stopping.unlock(any_bot(bot_id).user_id, bot_id))
    click.echo(f"Bot {bot_id} is unlocked.")


@bots.command("resume")
@click.argument("bot_id", type=int)
def resume_bot(bot_id: int) -> None:
    """Let a paused bot trade on."""
    _do(lambda: stopping.resume(any_bot(bot_id).user_id, bot_id))
    click.echo(f"Bot {bot_id} goes on.")


@bots.command("change")
@click.argument("bot_id", type=int)
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--yes", is_flag=True, help="Do it; without it only the cost is shown.")
def change_bot(bot_id: int, settings: tuple[str, ...], yes: bool) -> None:
    """Give a bot other settings: print what it costs while it trades, and with --yes do it."""
    values = _read_settings(settings)
    with transaction():
        bot = any_bot(bot_id)
        if may(bot.state, Action.EDIT):
            if yes:
                service.change_bot(bot.user_id, bot_id, values)
            done = "has its new settings" if yes else "does not trade: it costs nothing; add --yes"
            click.echo(f"Bot {bot_id} {done}.")
            return
        cost = running.edit_preview(bot.user_id, bot_id, values)
        if yes:
            running.edit_running(bot.user_id, bot_id, values, cost.seen)
    shown = to_json(replace(cost.edit, state=None))
    click.echo(json.dumps(shown, indent=1))
    if yes:
        click.echo(f"Bot {bot_id} changes at its next tick.")


@bots.command("limits")
@click.argument("bot_id", type=int)
@click.argument("limits", nargs=-1, metavar="NAME=VALUE...")
def limit_bot(bot_id: int, limits: tuple[str, ...]) -> None:
    """Set the limits beyond which a bot pauses; without any, it has none."""
    values = _read_settings(limits)
    _do(lambda: service.set_limits(any_bot(bot_id).user_id, bot_id, values))
    click.echo(f"Bot {bot_id} has {len(values)} limits: {', '.join(sorted(values)) or 'none'}.")


@bots.command("money")
@click.argument("bot_id", type=int)
@click.option("--add", "added", type=Decimal, help="Raise the investment by so much.")
@click.option("--take", "taken", type=Decimal, help="Take so much of the earned money out.")
def move_money(bot_id: int, added: Decimal | None, taken: Decimal | None) -> None:
    """Put money into a trading bot or take earned money out; show how much can be moved."""

    def move() -> running.MoneyLimits:
        owner = any_bot(bot_id).user_id
        if added is not None:
            running.add_money(owner, bot_id, added)
        if taken is not None:
            running.take_out(owner, bot_id, taken)
        return running.money_limits(owner, bot_id)

    with transaction():
        limits = move()
    most_in = "unknown" if limits.most_in is None else f"{limits.most_in:f}"
    click.echo(f"can be put in: {most_in}; can be taken out: {limits.most_out:f} {limits.currency}")


@bots.command("tick")
@click.argument("bot_id", type=int)
def tick_bot(bot_id: int) -> None:
    """Tick the account of a bot now, in this process."""
    account_id = _found(bot_id).account_id
    report = tick_accounts([account_id], f"cli-{os.getpid()}")
    if report.busy:
        raise click.ClickException("A worker is ticking this account right now; try again.")
    click.echo(f"Ticked: {report.fills} fills, {report.sent} orders sent, {report.failed} failed.")


@bots.command("mend-trades")
@click.option("--write", is_flag=True, help="Do it; without it only what would change is shown.")
def mend(write: bool) -> None:
    """End trades as carried over whose coins a former version has counted twice."""
    with transaction():
        numbers = bots_with_trades()
    found = []
    for number in numbers:
        with transaction():
            mended = mend_trades(number, write=write)
        if mended is not None:
            found.append(mended)
            click.echo(
                f"Bot {number}: {mended.trades} trades, {mended.profit:f} {mended.currency}"
                " counted twice."
            )
    done = "corrected" if write or not found else "to be corrected: add --write"
    click.echo(f"{sum(each.trades for each in found)} trades of {len(found)} bots {done}.")


def _read_settings(settings: tuple[str, ...]) -> dict[str, object]:
    values: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.BadParameter(f"{setting}: write NAME=VALUE.")
        if name in values:
            raise click.BadParameter(f"{name} stands twice.")
        values[name] = value or None
    return values


def _do(action: Callable[[], None]) -> None:
    with transaction():
        action()


def _say_state(bot_id: int) -> None:
    # What was done already is left as it is, so say what it is now.
    with transaction():
        click.echo(f"Bot {bot_id} is {any_bot(bot_id).state}.")


def _found(bot_id: int) -> InventoryBot:
    for bot in inventory(bot_id):
        return bot
    raise click.ClickException(f"There is no bot {bot_id}.")


commands: list[click.Command] = [bots]
