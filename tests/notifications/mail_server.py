"""A mail server on loopback (aiosmtpd) that keeps what it takes, or refuses as it is told to."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

TAKEN = "250 taken"
USER, PASSWORD = "user", "pass@word"  # the only log-in that is right
ENDS_WITHIN_S = 30


class MailServer:
    """What came in, and what it answers.

    `answers` maps MAIL, RCPT or DATA to the line that refuses it; to the command in `silent_at` it
    never answers.
    """

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, str] = {}
        self.silent_at = ""
        self.raw: list[bytes] = []
        self.log_ins: list[tuple[str, str]] = []
        # Of each mail whether STARTTLS came before it.
        self.upgraded: list[bool] = []

    @property
    def mails(self) -> list[EmailMessage]:
        policy = email.policy.default
        return [email.message_from_bytes(raw, policy=policy) for raw in self.raw]

    def log_in(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        self.log_ins.append(given)
        return AuthResult(success=given == (USER, PASSWORD), handled=False)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, name: str, said: list[str]
    ) -> list[str]:
        await self._answer("EHLO")
        session.host_name = name
        return said

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return await self._answer("MAIL")

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return await self._answer("RCPT")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = await self._answer("DATA")
        if answer == TAKEN:
            assert isinstance(envelope.original_content, bytes)
            self.raw.append(envelope.original_content)
            self.upgraded.append(session.ssl is not None)
        return answer

    async def _answer(self, command: str) -> str:
        if command == self.silent_at:
            await asyncio.Event().wait()
        return self.answers.get(command, TAKEN)


class _AnyPort(Controller):
    """A server on a port that the machine chooses."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd says no types there

    def end(self) -> None:
        """Stop it; unlike `stop`, which waits for its thread without end."""
        assert self._thread is not None
        self.loop.call_soon_threadsafe(self.cancel_tasks)
        self._thread.join(ENDS_WITHIN_S)
        assert not self._thread.is_alive(), "the mail server does not end"


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, *, from_start: bool = False
) -> Iterator[MailServer]:
    """Run a server until the block ends; with TLS by STARTTLS, or from the start."""
    catcher = MailServer()
    controller = _AnyPort(
        catcher,
        hostname="127.0.0.1",
        port=0,
        ssl_context=tls if from_start else None,
        tls_context=None if from_start else tls,
        authenticator=catcher.log_in,
        auth_require_tls=False,
    )
    controller.start()
    scheme = "smtps" if from_start else "smtp"
    catcher.url = f"{scheme}://127.0.0.1:{controller.port}"
    try:
        yield catcher
    finally:
        controller.end()
