"""What must be right before anything starts; each problem is one clear sentence."""

import errno
import fcntl
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

MINIMUM_PYTHON = (3, 11)
MINIMUM_FREE_BYTES = 1_000_000_000
PORT_PATIENCE_S = 6.0
HIGHEST_PORT = 65535


class CannotStart(Exception):
    """Botyard cannot start; the message says why and what helps."""


def check_python() -> None:
    """Refuse an interpreter that is too old."""
    if sys.version_info < MINIMUM_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        raise CannotStart(f"Python 3.11 or newer is needed; this is {found}.")


def make_folder(folder: Path) -> None:
    """Make the folder of all that is kept between runs, and prove that we may write there."""
    probe = folder / ".write-test"
    try:
        folder.mkdir(exist_ok=True)
        probe.write_text("x")
        probe.unlink()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise CannotStart(f"No space is left on the disk of {folder}.") from None
        raise CannotStart(f"No right to write in {folder} ({error.strerror}).") from None


def check_space(folder: Path) -> None:
    """Refuse a disk that would soon be full."""
    free = shutil.disk_usage(folder).free
    if free < MINIMUM_FREE_BYTES:
        raise CannotStart(
            f"Only {free // 1_000_000} MB are free on the disk of {folder}; "
            "at least 1 GB is needed."
        )


def take_lock(path: Path) -> IO[str]:
    """Make this the only run over a folder; the lock ends with the process, however it ends."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise CannotStart(
            f"Botyard runs here already (process {holder}). "
            f"Stop it by Ctrl-C in its terminal or by: kill {holder}"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def check_settings(environ: Mapping[str, str]) -> None:
    """Refuse a wrong setting before any server is started for it."""
    from app.config import load_config
    from app.errors import ConfigError

    given = {name: value for name, value in environ.items() if value}
    try:
        # What we would make ourselves is not missing.
        load_config({"BOTYARD_ENV": "development", **given})
    except ConfigError as error:
        raise CannotStart(f"wrong setting: {error}") from None


def read_port(environ: Mapping[str, str]) -> int:
    """Return the port of the web server."""
    text = environ.get("PORT") or "8000"
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= HIGHEST_PORT:
        raise CannotStart(f"PORT must be a number from 1 to {HIGHEST_PORT}, not {text!r}.")
    return int(text)


def check_port(port: int, patience: float = PORT_PATIENCE_S) -> None:
    """Refuse a port that somebody else has; one that a dying web server still has gets free."""
    deadline = time.monotonic() + patience
    while True:
        try:
            _try_port(port)
        except PermissionError:
            raise CannotStart(
                f"Port {port} is only for root. Choose another: make run PORT=8000"
            ) from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise CannotStart(
                    f"Port {port} is in use by another program. Choose another one with the "
                    f"variable PORT: make run PORT={port + 1 if port < HIGHEST_PORT else 8000}"
                ) from None
            time.sleep(0.25)
        else:
            return


def _try_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
