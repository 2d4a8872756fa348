"""Log lines: one line each, with the request or job they belong to, and never a secret."""

import logging
import re
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_SECRETS = re.compile(
    r"(?i)\b(password|secret|token|api_?key|passphrase|code|authorization|signature|sign)"
    r"(['\"]?\s*[=:]\s*['\"]?)([^\s'\",;&}]+)"
)
# user:password@ in addresses of databases and mail servers
_CREDENTIALS = re.compile(r"(://[^:/@\s]*):[^@/\s]+@")


def mask_secrets(text: str) -> str:
    """Replace values that follow a secret's name, and passwords in addresses, by asterisks."""
    return _CREDENTIALS.sub(r"\1:***@", _SECRETS.sub(r"\1\2***", text))


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
