"""Commands about plans and subscriptions, and searches of the help in vain."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

import click

from app.accounts import queries as people
from app.accounts.models import User
from app.cli.edge import DatabaseGroup
from app.errors import DomainError
from app.faq import queries as faq
from app.i18n import describe
from app.subscriptions import history, queries, rights, seats, service
from app.subscriptions.kept import queries as kept_queries
from app.subscriptions.kept import returned
from app.subscriptions.kept import service as kept
from app.subscriptions.periods import Period
from app.subscriptions.terms import Choice
from app.transactions import transaction

plans = DatabaseGroup("plans", help="Plans and who has them.")
subscriptions = DatabaseGroup("subscriptions", help="What people pay to us for.")
help_group = DatabaseGroup("faq", help="The help.")


@plans.command("list")
def list_plans() -> None:
    """Show the plans and add-ons on offer with limits and prices, and the seats that are left."""
    for offer in (*queries.price_list(), *queries.addons_on_offer()):
        limits = offer.limits
        month = (
            f"{offer.month.amount} {offer.month.currency} a month" if offer.month else "no price"
        )
        click.echo(
            f"{limits.plan:10} {month:22} bots {limits.max_bots}, live {limits.max_live_bots}, "
            f"accounts {limits.max_exchanges}, check every {limits.tick_period_s} s"
        )
        for period in offer.prices:
            left = seats.left_of_offer(limits.plan, period)
            if left is not None:
                click.echo(f"{'':10} {left} left for a {period.code}")


@plans.command("history")
@click.argument("email")
def show_history(email: str) -> None:
    """Show what happened to a person's subscriptions, the newest first."""
    for change in history.history_of(_person(email).id):
        before, after = (json.dumps(one, sort_keys=True) for one in (change.before, change.after))
        click.echo(
            f"{change.at:%Y-%m-%d %H:%M} {change.source:16} {change.what:10} {before} -> {after}"
            f" {change.cause}"
        )


@plans.command("give")
@click.argument("email")
@click.argument("plan")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
    help="End of the plan in UTC; without it the plan does not end by itself.",
)
@click.option("--reason", required=True, help="Kept in the audit log.")
def give(email: str, plan: str, until: datetime | None, reason: str) -> None:
    """Give a person a plan in place of the present one."""
    end = until.replace(tzinfo=UTC) if until else None
    try:
        with transaction():
            rights.give_plan(None, _person(email).id, plan, end, reason)
    except DomainError as error:
        raise click.ClickException(describe(error)) from None
    until_text = f" until {end:%Y-%m-%d %H:%M} UTC" if end else ""
    click.echo(f"{email} has the plan {plan}{until_text}.")


@plans.command("name-price")
@click.argument("rail")
@click.argument("name")
@click.argument("plan")
@click.option("--period", default="month", help="month, year, 3-month ...")
def name_price(rail: str, name: str, plan: str, period: str) -> None:
    """Say what a provider (stripe) calls a price of ours (price_...)."""
    try:
        with transaction():
            service.name_price(rail, name, plan, Period.parse(period))
    except DomainError as error:
        raise click.ClickException(describe(error)) from None
    click.echo(f"{name} of {rail} is the price of {plan} for a {period}.")


@plans.command("end")
@click.argument("email")
@click.option("--reason", required=True, help="Kept in the audit log.")
def end(email: str, reason: str) -> None:
    """End a person's plan now; the free plan holds from here on."""
    try:
        with transaction():
            rights.end_plan(None, _person(email).id, reason)
    except DomainError as error:
        raise click.ClickException(describe(error)) from None
    click.echo(f"{email} has the free plan.")


@subscriptions.command("show")
@click.argument("email")
def show(email: str) -> None:
    """Show how a person's subscription stands."""
    standing = kept_queries.standing(_person(email).id)
    if standing is None:
        raise click.ClickException(f"{email} has no subscription that we keep.")
    for name, value in asdict(standing).items():
        click.echo(f"{name:16} {value}")


@subscriptions.command("change")
@click.argument("email")
@click.argument("plan")
@click.option("--period", default="month", help="month, year, 3-month, lifetime ...")
@click.option("--yes", is_flag=True, help="Do not ask.")
def change(email: str, plan: str, period: str, yes: bool) -> None:
    """Change a person's subscription, after a look at what it costs."""
    user_id = _person(email).id
    try:
        wanted = Choice(plan, Period.parse(period))
        with transaction():
            preview = kept.preview_change(user_id, wanted)
        for line in preview.lines:
            click.echo(f"{line.money.amount:>10} {line.money.currency} {line.description}")
        click.echo(f"{preview.due_now.amount:>10} {preview.due_now.currency} due now")
        click.echo(f"holds from {preview.takes_effect:%Y-%m-%d %H:%M} UTC, or once it is paid")
        if not yes:
            click.confirm("Change it?", abort=True)
        with transaction():
            invoice_id = kept.change(user_id, wanted, preview.token)
    except DomainError as error:
        raise click.ClickException(describe(error)) from None
    click.echo(f"It waits for invoice {invoice_id}." if invoice_id else "Done.")


@subscriptions.command("cancel")
@click.argument("email")
@click.option("--now", is_flag=True, help="At once, not at the end of what is paid.")
def cancel(email: str, now: bool) -> None:
    """Let a person's subscription end."""
    _with(email, lambda user_id: kept.cancel(user_id, cause="staff", at_once=now))


@subscriptions.command("resume")
@click.argument("email")
def resume(email: str) -> None:
    """Let a subscription go on that was to end."""
    _with(email, kept.undo_cancel)


@subscriptions.command("reprice-returned")
@click.option("--apply", "is_applied", is_flag=True, help="Do it; without it nothing is changed.")
def reprice_returned(is_applied: bool) -> None:
    """Show who came back after an end and still pays the price of before; with --apply end that.

    Before version 0034 of the tables the old price went on for ever.
    """
    found = returned.at_old_prices()
    for one in found:
        is_done = False
        if is_applied and not one.waits:
            with transaction():
                is_done = returned.reprice(one.kept_id)
        click.echo(
            f"kept:{one.kept_id:<8} user {one.user_id:<8} came back {one.came_back:%Y-%m-%d}"
            f"  {one.old.amount} -> {one.new.amount} {one.new.currency}"
            f" from {one.next_at:%Y-%m-%d} on: {_said_of(one, is_done)}"
        )
    if not found:
        click.echo("Nobody who came back pays an old price.")
    elif not is_applied:
        click.echo("Nothing was changed: --apply does it. Tell these people of their price first.")


def _said_of(one: returned.Returned, is_done: bool) -> str:
    if one.waits:
        return "its next period is asked for already; again after that day"
    return "done" if is_done else "to be corrected"


def _with(email: str, work: Callable[[int], None]) -> None:
    try:
        with transaction():
            work(_person(email).id)
    except DomainError as error:
        raise click.ClickException(describe(error)) from None
    click.echo("Done.")


@help_group.command("missed")
@click.option("--limit", default=50, type=click.IntRange(1, 1_000), show_default=True)
def missed(limit: int) -> None:
    """Show what people searched for in vain, the most frequent first."""
    for search in faq.missed_searches(limit):
        click.echo(f"{search.times:6} {search.language:6} {search.last_at:%Y-%m-%d} {search.query}")


def _person(email: str) -> User:
    user = people.user_by_email(email.strip().lower())
    if user is None:
        raise click.ClickException(f"Nobody has the address {email}.")
    return user


commands: list[click.Command] = [plans, subscriptions, help_group]
