"""Log lines: one line each, with the request or job they belong to, and never a secret."""

import logging
import re
import time
from collections.abc import Callable
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_SECRETS = re.compile(
    r"(?i)\b(password|secret|token|api_?key|passphrase|code|authorization|signature|sign)"
    r"(['\"]?\s*[=:]\s*['\"]?)([^\s'\",;&}]+)"
)
# Access tokens tell themselves, wherever they stand.
_TOKENS = re.compile(r"\bbotyard_[A-Za-z0-9_-]{8,}")
# user:password@ in addresses of databases and mail servers
_CREDENTIALS = re.compile(r"(://[^:/@\s]*):[^@/\s]+@")


# What opens something by itself, in the path of an address.
_OPENING_PATHS = re.compile(r"(/shared/)[^\s/?#\"']+")


def mask_path(text: str) -> str:
    """Replace by asterisks what opens something in the path of an address, and secrets."""
    return mask_secrets(_OPENING_PATHS.sub(r"\1***", text))


def mask_secrets(text: str) -> str:
    """Replace by asterisks what follows a secret's name, tokens, and passwords in addresses."""
    masked = _TOKENS.sub("botyard_***", _SECRETS.sub(r"\1\2***", text))
    return _CREDENTIALS.sub(r"\1:***@", masked)


class RepeatFilter(logging.Filter):
    """Lets the same warning through once in `EVERY_S`, and then says how often it was held back.

    While a server is away every process would tell the same several times a second.
    """

    EVERY_S = 30.0
    MOST = 500

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the line goes out; count it where not."""
        if record.levelno < logging.WARNING:
            return True
        error = repr(record.exc_info[1]) if record.exc_info else ""
        key = (record.name, record.getMessage(), error)
        now = self._clock()
        told_at, held_back = self._told.get(key, (None, 0))
        if told_at is not None and now - told_at < self.EVERY_S:
            self._told[key] = (told_at, held_back + 1)
            return False
        if key not in self._told and len(self._told) >= self.MOST:
            self._told.clear()
        self._told[key] = (now, 0)
        if held_back:
            record.msg, record.args = f"{key[1]} (held back {held_back} times)", None
        return True


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get()
        return mask_secrets(super().format(record))


def set_up_logging(level: int = logging.INFO) -> None:
    """Send log lines to standard error in one form."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Formatter("%(asctime)s %(levelname)s %(name)s request=%(request_id)s %(message)s")
    )
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It writes two lines for every call, with the address that was called.
    logging.getLogger("stripe").setLevel(max(level, logging.WARNING))
    # Lists its own parts before every answer of the command line.
    logging.getLogger("alembic.runtime.plugins").setLevel(max(level, logging.WARNING))
