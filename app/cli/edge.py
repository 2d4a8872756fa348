"""What commands that use the database have in common: plain words instead of tracebacks."""

from typing import Any

import click
from flask.cli import AppGroup, ScriptInfo
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from app.bots.wording import say
from app.errors import DomainError
from app.trades.queries import Line
from app.trading.strategy import InvalidParams

NOTHING_RUNS = (
    "The database or Redis does not answer. Start `make run` beside this, "
    "or set DATABASE_URL and REDIS_URL."
)


class DatabaseGroup(AppGroup):
    """A group of commands that need the running services."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command; what it refuses or lacks becomes one sentence and exit code 1."""
        try:
            return super().invoke(context)
        except DomainError as error:
            with context.ensure_object(ScriptInfo).load_app().app_context():
                raise click.ClickException(_in_words(error)) from None
        except (OperationalError, InterfaceError, RedisError):
            raise click.ClickException(NOTHING_RUNS) from None


def _in_words(error: DomainError) -> str:
    """Say what is wrong, setting by setting under the names that the command takes."""
    if isinstance(error, InvalidParams):
        lines = [f"{each.field}: {say(Line(each.code, each.values))}" for each in error.problems]
        return "\n".join(lines)
    words = say(Line(error.code, error.values))
    return f"{error.field}: {words}" if error.field else words
