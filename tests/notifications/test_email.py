"""The SMTP adapter against a real server on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.messages import Delivery, Letter, Verdict
from app.adapters.messages.email import EmailChannel, compose, parse_server
from tests.notifications.mail_server import MailServer, mail_server

SENDER = "Botyard <no-reply@example.org>"
LETTER = Letter(
    recipient="ada@example.org",
    subject="Код 123456 — 😀",
    body="Olá,\n.\n..two dots\nПривет\n",
    language="pt_BR",
    reference="botyard-7-1",
)


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def test_a_letter_arrives_as_it_was_written(server: MailServer) -> None:
    assert EmailChannel(server.url, SENDER).send(LETTER) == Delivery(Verdict.SENT)
    (mail,) = server.mails
    assert (mail["From"], mail["To"]) == (SENDER, LETTER.recipient)
    assert mail["Subject"] == LETTER.subject
    assert mail["Message-ID"] == "<botyard-7-1@example.org>"
    assert mail["Content-Language"] == "pt-BR"
    assert mail.get_content().replace("\r\n", "\n") == LETTER.body


def test_the_check_sends_nothing(server: MailServer) -> None:
    assert EmailChannel(server.url, SENDER).check() == Delivery(Verdict.SENT)
    assert server.raw == []


@pytest.mark.parametrize(
    ("verb", "answer", "verdict", "reason"),
    [
        ("RCPT", "550 no such user", Verdict.REFUSED, "mail_recipient_refused"),
        ("RCPT", "451 greylisted", Verdict.LATER, "mail_recipient_refused"),
        ("MAIL", "550 not from you", Verdict.REFUSED, "mail_refused"),
        ("MAIL", "421 too busy", Verdict.LATER, "mail_refused"),
        (".", "554 looks like spam", Verdict.REFUSED, "mail_refused"),
        (".", "452 disk full", Verdict.LATER, "mail_refused"),
    ],
)
def test_every_refusal_is_judged(
    server: MailServer, verb: str, answer: str, verdict: Verdict, reason: str
) -> None:
    server.answers[verb] = answer
    assert EmailChannel(server.url, SENDER).send(LETTER) == Delivery(verdict, reason)


def test_a_wrong_password_is_tried_again_later(server: MailServer) -> None:
    server.answers["AUTH"] = "535 wrong"
    url = server.url.replace("smtp://", "smtp://user:pass%40word@")
    delivery = EmailChannel(url, SENDER).send(LETTER)
    assert delivery == Delivery(Verdict.LATER, "mail_login_refused")


def test_a_server_that_is_away_is_tried_again_later() -> None:
    delivery = EmailChannel("smtp://127.0.0.1:1", SENDER).send(LETTER)
    assert delivery == Delivery(Verdict.LATER, "mail_server_unreachable")


def test_a_silent_server_does_not_hold_us(server: MailServer) -> None:
    server.silent = True
    delivery = EmailChannel(server.url, SENDER, timeout_s=0.2).send(LETTER)
    assert delivery == Delivery(Verdict.LATER, "mail_server_unreachable")


@pytest.mark.parametrize("url", ["", "http://x", "smtp://", "smtp://h:port", "x"])
def test_a_wrong_server_address_is_said_without_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="smtp|port") as refused:
        parse_server(url)
    assert "secret" not in str(refused.value)
    assert EmailChannel(url, SENDER).send(LETTER).verdict is Verdict.REFUSED


def test_server_addresses_are_read() -> None:
    server = parse_server("smtps://user%40x:p%2Fw@mail.example.org")
    assert server == ("mail.example.org", 465, "user@x", "p/w", True)
    assert parse_server("smtp://mail.example.org").port == 587


def test_a_password_never_leaves_unencrypted(server: MailServer) -> None:
    """Beyond loopback a server without TLS gets no log-in."""
    from app.adapters.messages import email as adapter

    url = server.url.replace("smtp://", "smtp://user:secret@")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "LOOPBACK", frozenset())
        delivery = EmailChannel(url, SENDER).send(LETTER)
    assert delivery == Delivery(Verdict.LATER, "mail_no_encryption")
    assert not any(command.startswith("AUTH") for command in server.commands)


def test_no_header_can_be_slipped_in() -> None:
    letter = Letter("ada@example.org", "Hello\r\nBcc: evil@example.org", "x", "en", "r")
    mail = compose(letter, SENDER)
    assert mail["Subject"] == "Hello Bcc: evil@example.org"
    assert mail["Bcc"] is None
    wrong = Letter("ada@example.org\r\nBcc: evil@example.org", "x", "x", "en", "r")
    with pytest.raises(ValueError, match="newline|linefeed|header"):
        compose(wrong, SENDER)


def test_every_template_has_subject_and_body() -> None:
    folder = Path(__file__).resolve().parents[2] / "app" / "templates" / "mail"
    names = [path.name for path in folder.iterdir() if path.is_dir()]
    assert names
    for name in names:
        assert {path.name for path in (folder / name).iterdir()} == {"subject.txt", "body.txt"}
