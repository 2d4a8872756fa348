"""Commands about Stripe: its callbacks, prices, and whether its books and ours agree."""

from datetime import UTC, datetime

import click

from app.cli.edge import DatabaseGroup
from app.db import utc_now
from app.payments.books import backfill, endpoints, queries, reconcile
from app.payments.books.jobs import start_of_yesterday
from app.subscriptions.provider import prices
from app.transactions import transaction

stripe = DatabaseGroup("stripe", help="Stripe: prices, missed callbacks, and comparing the books.")
STRIPE = "stripe"
# How long is compared before a line says that it goes on.
SLICE_S = 30.0
MOST_TYPES = 20

_moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


@stripe.command("backfill")
@click.option("--since", type=_moment, help="In UTC; thirty days back at most, which is default.")
@click.option("--types", default="", help="Only these types of events, with commas between.")
def fetch_missed(since: datetime | None, types: str) -> None:
    """Fetch events that were not delivered, the oldest first, and have them applied.

    May be stopped and run again at any time: what is known stays as it is.
    """
    wanted = tuple(filter(None, (word.strip() for word in types.split(","))))
    if len(wanted) > MOST_TYPES:
        raise click.ClickException(f"Stripe takes {MOST_TYPES} types in one call at most.")
    found = backfill.run(STRIPE, since.replace(tzinfo=UTC) if since else None, wanted)
    click.echo(
        f"Events that were not delivered: {found.listed}. New here: {found.stored}, known: "
        f"{found.known}, about nothing that is kept here: {found.skipped}."
    )


@stripe.command("reconcile")
@click.option(
    "--since", type=_moment, help="Payments, refunds, disputes from here on; default: yesterday."
)
@click.option("--rail", default=STRIPE, show_default=True, help="Another rail, such as demo.")
def compare(since: datetime | None, rail: str) -> None:
    """Compare every subscription and invoice, and what was paid lately, with the provider.

    What differs is brought in line; exit 1 lists what could not be.
    """
    start = since.replace(tzinfo=UTC) if since else start_of_yesterday(utc_now())
    with transaction():
        run_id = reconcile.begin(rail, start)
    while not reconcile.go_on(rail, SLICE_S):
        click.echo(f"Compared so far: {queries.run_of(run_id).compared}.")
    run = queries.run_of(run_id)
    if run.ended_at is None:
        raise click.ClickException("Another process compares these books right now.")
    click.echo(
        f"Compared: {run.compared}, of others: {run.others}, brought in line: {run.fixed}, "
        f"differences: {run.differences}."
    )
    for one in queries.differences_of(run_id):
        word = "fixed " if one.is_fixed else "DIFFERS"
        told = f"{word} {one.kind} {one.external_id} {one.field}: here {one.here!r}"
        click.echo(f"{told}, there {one.there!r} {one.reason or ''}".rstrip(), err=not one.is_fixed)
    if run.differences:
        raise click.ClickException("The books differ.")


@stripe.command("check")
def check_endpoint() -> None:
    """Ask Stripe whether it sends us all callbacks that we need; exit 1 names what is missing."""
    found, address = endpoints.check(STRIPE), endpoints.address_of(STRIPE)
    for version in found.other_versions:
        told = version or "that of the account"
        click.echo(f"An endpoint tells in another version of the API: {told}.")
    if not found.is_on:
        raise click.ClickException(f"No endpoint at Stripe that is switched on has {address}.")
    for event in found.missing:
        click.echo(f"missing {event}", err=True)
    if found.missing:
        raise click.ClickException(f"Add these events to the endpoint {address}.")
    click.echo(f"Stripe sends all callbacks that are needed to {address}.")


@stripe.command("prices")
def make_prices() -> None:
    """Make every price on sale known at Stripe; run again it makes only what is missing."""
    for key, name in prices.make_all(STRIPE).items():
        click.echo(f"{key:12} {name}")


commands: list[click.Command] = [stripe]
