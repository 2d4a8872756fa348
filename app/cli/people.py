"""Commands about people: administrators, the set-up code, the demo's log-ins."""

import click
from flask.cli import with_appcontext

from app.accounts import demo, queries, second_factor, setup
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
    code = demo.administrators_code()
    if code is not None:
        click.echo(f"           code {code} now for the administrator; later: flask demo code")


@click.command("code")
@with_appcontext
def show_demo_code() -> None:
    """Show the code that the log-in of the demo's administrator asks for now."""
    code = demo.administrators_code()
    if code is None:
        raise click.ClickException(
            "No code now: the last one was just used (wait half a minute), or there is no demo."
        )
    click.echo(code)


@click.command("forget-second-factor")
@click.argument("email")
@with_appcontext
def forget_second_factor(email: str) -> None:
    """Take a lost second factor from somebody whom you know to be the owner of EMAIL."""
    user = queries.user_by_email(email.strip().lower())
    if user is None:
        raise click.ClickException("There is nobody with this address.")
    with transaction():
        had = second_factor.take_away(user.id)
    click.echo("The second factor is gone." if had else "There was no second factor.")


commands: list[click.Command] = [create_administrator, setup_group, forget_second_factor]
