"""Demo content: seeds that may run any number of times."""

import click

from app.accounts.demo import seed_people
from app.bots.demo import seed_bots
from app.cli.edge import DatabaseGroup
from app.cli.people import show_demo_code, show_demo_logins
from app.exchanges.service import seed_exchanges
from app.faq.service import seed_faq
from app.markets.service import seed_markets
from app.subscriptions.service import seed_plans
from app.transactions import transaction

demo = DatabaseGroup("demo", help="Demo content.")


@demo.command("seed")
@click.option("--content/--no-content", default=True, help="People and bots beside the basics.")
def seed(content: bool) -> None:
    """Fill in what every installation needs, and (with content) the demo people and bots."""
    steps = [seed_exchanges, seed_markets, seed_plans, seed_faq]
    if content:
        steps += [seed_people, seed_bots]
    for step in steps:
        with transaction():
            step()
        click.echo(f"{step.__name__}: ready")


demo.add_command(show_demo_logins)
demo.add_command(show_demo_code)

commands: list[click.Command] = [demo]
