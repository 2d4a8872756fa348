"""Mail by SMTP. Addresses: smtp://user:password@host:587 (STARTTLS), smtps://host:465 (TLS).

Passwords never travel unencrypted except to this very machine.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from app.adapters.messages import Delivery, Letter, Verdict

TIMEOUT_S = 10
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
PERMANENT = 500


class Server(NamedTuple):
    """A mail server as the operator named it."""

    host: str
    port: int
    user: str
    password: str
    tls_from_start: bool


class MailError(Exception):
    """The server offers no encryption, and a password would travel in the clear."""


def parse_server(url: str) -> Server:
    """Read the address of a mail server; raise ValueError without repeating the password."""
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("write smtp://user:password@host:587 or smtps://user:password@host:465")
    secure = parts.scheme == "smtps"
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port of the mail server is not a number") from None
    return Server(
        host=parts.hostname,
        port=port or (465 if secure else 587),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls_from_start=secure,
    )


class EmailChannel:
    """Sends through one SMTP server, one connection a letter."""

    def __init__(self, url: str, sender: str, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._sender = sender
        self._timeout_s = timeout_s

    def send(self, letter: Letter) -> Delivery:
        """Hand the letter to the server."""
        try:
            message = compose(letter, self._sender)
            with self._connection() as connection:
                connection.send_message(message)
        except (smtplib.SMTPException, OSError, MailError, ValueError) as error:
            return judge(error)
        return Delivery(Verdict.SENT)

    def check(self) -> Delivery:
        """Connect, encrypt and log in, and send nothing."""
        try:
            with self._connection() as connection:
                connection.noop()
        except (smtplib.SMTPException, OSError, MailError, ValueError) as error:
            return judge(error)
        return Delivery(Verdict.SENT)

    @contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        server = parse_server(self._url)
        context = ssl.create_default_context()
        connection: smtplib.SMTP
        if server.tls_from_start:
            connection = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout_s, context=context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=self._timeout_s)
        with connection:
            if not server.tls_from_start:
                _encrypt(connection, server, context)
            if server.user:
                connection.login(server.user, server.password)
            yield connection


def compose(letter: Letter, sender: str) -> EmailMessage:
    """Build the mail; the same letter gets the same Message-ID, so that a twin is recognised."""
    name, address = parseaddr(sender)
    domain = address.rpartition("@")[2] or "localhost"
    message = EmailMessage()
    message["From"] = Address(display_name=name, addr_spec=address)
    message["To"] = letter.recipient
    message["Subject"] = " ".join(letter.subject.split())
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = f"<{letter.reference}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.body)
    message["Content-Language"] = letter.language.replace("_", "-")
    return message


def judge(error: Exception) -> Delivery:
    """Turn what went wrong into a verdict; the text of the server stays out of it."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            codes = [code for code, _ in error.recipients.values()]
            refused = bool(codes) and min(codes) >= PERMANENT
            reason = "mail_recipient_refused"
        case smtplib.SMTPAuthenticationError():
            refused, reason = False, "mail_login_refused"
        case smtplib.SMTPResponseException():
            refused, reason = error.smtp_code >= PERMANENT, "mail_refused"
        case MailError() | ssl.SSLError():
            refused, reason = False, "mail_no_encryption"
        case OSError():
            refused, reason = False, "mail_server_unreachable"
        case ValueError():
            refused, reason = True, "mail_not_writable"
        case _:
            refused, reason = False, "mail_server_unreachable"
    return Delivery(Verdict.REFUSED if refused else Verdict.LATER, reason)


def _encrypt(connection: smtplib.SMTP, server: Server, context: ssl.SSLContext) -> None:
    connection.ehlo_or_helo_if_needed()
    if connection.has_extn("starttls"):
        connection.starttls(context=context)
        connection.ehlo()
    elif server.user and server.host not in LOOPBACK:
        raise MailError
