"""Commands about people: administrators, the set-up code, the demo's log-ins."""

import click
from flask.cli import with_appcontext

from app.accounts import demo, queries, setup
from app.accounts.service import NewPerson, create_admin
from app.cli.edge import DatabaseGroup
from app.errors import DomainError
from app.i18n import describe
from app.transactions import transaction


@click.command("create-admin")
@click.option("--email", prompt="E-mail", help="Address of the administrator.")
@click.option(
    "--password",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="Asked for when it is not given; on the command line others may see it.",
)
@with_appcontext
def create_administrator(email: str, password: str) -> None:
    """Make a confirmed administrator."""
    try:
        with transaction():
            user = create_admin(NewPerson(email=email, password=password))
            made = user.email
    except DomainError as error:
        raise click.ClickException(describe(error)) from None
    click.echo(f"Administrator {made} is ready: log in at /login.")


setup_group = DatabaseGroup("setup", help="The first-run set-up.")


@setup_group.command("code")
def show_setup_code() -> None:
    """Show the code that the page /setup asks for."""
    if not queries.setup_is_open():
        raise click.ClickException("The set-up was done. More administrators: flask create-admin.")
    click.echo(setup.setup_code())


@click.command("logins")
@with_appcontext
def show_demo_logins() -> None:
    """Show the demo people who exist, with their passwords."""
    for login in demo.existing_logins():
        click.echo(f"{login.role.value:10} {login.email:24} {login.password}")


commands: list[click.Command] = [create_administrator, setup_group]
