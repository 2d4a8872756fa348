"""The SMTP adapter against a real server on loopback."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.adapters.messages import Delivery, Letter, Verdict
from app.adapters.messages.email import EmailChannel, compose, parse_server
from tests.notifications.mail_server import PASSWORD, USER, MailServer, mail_server

SENDER = "Botyard <no-reply@example.org>"
LETTER = Letter(
    recipient="ada@example.org",
    subject="Код 123456 — 😀",
    body="Olá,\n.\n..two dots\nПривет\n",
    language="pt_BR",
    reference="botyard-7-1",
)


class Certificate(NamedTuple):
    """One of our own for this machine: nobody trusts it who is not told to."""

    path: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    folder = tmp_path_factory.mktemp("certificate")
    public, private = folder / "public.pem", folder / "private.pem"
    public.write_bytes(made.public_bytes(pem))
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(pem, *plain))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return Certificate(public, context)


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def test_a_letter_arrives_as_it_was_written(server: MailServer) -> None:
    assert EmailChannel(server.url, SENDER).send(LETTER) == Delivery(Verdict.SENT)
    (mail,) = server.mails
    assert server.upgraded == [False]
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
        ("DATA", "554 looks like spam", Verdict.REFUSED, "mail_refused"),
        ("DATA", "452 disk full", Verdict.LATER, "mail_refused"),
    ],
)
def test_every_refusal_is_judged(
    server: MailServer, verb: str, answer: str, verdict: Verdict, reason: str
) -> None:
    server.answers[verb] = answer
    assert EmailChannel(server.url, SENDER).send(LETTER) == Delivery(verdict, reason)


def log_in(server: MailServer, user: str, password: str) -> str:
    return server.url.replace("://", f"://{user}:{quote(password)}@")


def test_a_log_in_is_sent_as_it_was_given(server: MailServer) -> None:
    url = log_in(server, USER, PASSWORD)
    assert EmailChannel(url, SENDER).send(LETTER) == Delivery(Verdict.SENT)
    assert server.log_ins == [(USER, PASSWORD)]


def test_a_wrong_password_is_tried_again_later(server: MailServer) -> None:
    delivery = EmailChannel(log_in(server, USER, "wrong"), SENDER).send(LETTER)
    assert delivery == Delivery(Verdict.LATER, "mail_login_refused")
    assert server.raw == []


@pytest.mark.parametrize("from_start", [False, True])
def test_mail_travels_encrypted_where_the_server_can(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch, from_start: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    with mail_server(certificate.context, from_start=from_start) as server:
        delivery = EmailChannel(log_in(server, USER, PASSWORD), SENDER).send(LETTER)
    assert delivery == Delivery(Verdict.SENT)
    assert server.log_ins == [(USER, PASSWORD)]
    assert server.upgraded == [not from_start]


@pytest.mark.parametrize("from_start", [False, True])
def test_a_server_that_nobody_vouches_for_gets_nothing(
    certificate: Certificate, from_start: bool
) -> None:
    with mail_server(certificate.context, from_start=from_start) as server:
        delivery = EmailChannel(log_in(server, USER, PASSWORD), SENDER).send(LETTER)
    assert delivery == Delivery(Verdict.LATER, "mail_no_encryption")
    assert (server.log_ins, server.raw) == ([], [])


def test_a_server_that_is_away_is_tried_again_later() -> None:
    delivery = EmailChannel("smtp://127.0.0.1:1", SENDER).send(LETTER)
    assert delivery == Delivery(Verdict.LATER, "mail_server_unreachable")


@pytest.mark.parametrize("command", ["EHLO", "RCPT", "DATA"])
def test_a_silent_server_does_not_hold_us(server: MailServer, command: str) -> None:
    server.silent_at = command
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

    url = log_in(server, USER, PASSWORD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "LOOPBACK", frozenset())
        delivery = EmailChannel(url, SENDER).send(LETTER)
    assert delivery == Delivery(Verdict.LATER, "mail_no_encryption")
    assert server.log_ins == []


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
