"""Bring translations, tables and contents up to date; run once before the processes start.

Progress goes to standard error; standard output gets what the operator needs to log in.
"""

import io
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout

from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError

from dev import messages


def main() -> int:
    """Prepare everything; return the exit code."""
    _step("translations", messages.compile_catalogues)
    from flask.cli import ScriptInfo
    from flask_migrate import upgrade

    from app import create_app
    from app.accounts.queries import setup_is_open
    from app.config import current_config
    from app.db import db
    from app.errors import ConfigError
    from app.extensions import redis_client

    try:
        app = create_app()
    except ConfigError as error:
        print(f"    Bad setting: {error}", file=sys.stderr, flush=True)
        return 1
    info = ScriptInfo(create_app=lambda: app)

    def command(*words: str) -> None:
        app.cli.main(args=list(words), prog_name="flask", obj=info, standalone_mode=False)

    try:
        with app.app_context():
            _step("tables", upgrade)
            db.engine.dispose()
            redis_client.client.ping()
    except (OperationalError, RedisError) as error:
        # The driver's own words: they name the server and never the password.
        print(f"    A server does not answer: {_words_of(error)}", file=sys.stderr, flush=True)
        return 1
    demo = current_config().demo
    words = ("demo", "seed", "--content" if demo else "--no-content")
    _step("contents", lambda: _quietly(command, words))
    with app.app_context():
        waits = setup_is_open()
        db.engine.dispose()
    if demo:
        command("demo", "logins")
    elif waits:
        command("setup", "code")
    return 0


def _words_of(error: OperationalError | RedisError) -> str:
    cause = error.orig if isinstance(error, OperationalError) else error
    return " ".join(str(cause).split())


def _step(name: str, action: Callable[[], object]) -> None:
    started = time.monotonic()
    action()
    print(f"    {name}: ready ({time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)


def _quietly(command: Callable[..., None], words: Sequence[str]) -> None:
    """Keep a command's chatter for the case that it fails."""
    chatter = io.StringIO()
    try:
        with redirect_stdout(chatter):
            command(*words)
    except BaseException:
        print(chatter.getvalue(), file=sys.stderr)
        raise


if __name__ == "__main__":
    sys.exit(main())
