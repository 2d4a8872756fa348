"""Log lines: one line each, with the request or job they belong to, and never a secret."""

import logging
import re
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


def mask_secrets(text: str) -> str:
    """Replace by asterisks what follows a secret's name, tokens, and passwords in addresses."""
    masked = _TOKENS.sub("botyard_***", _SECRETS.sub(r"\1\2***", text))
    return _CREDENTIALS.sub(r"\1:***@", masked)


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
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
