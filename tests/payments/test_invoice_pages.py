"""Pages of invoices for their owner: list, page, print view and file, in every language."""

import re
import zlib
from base64 import a85decode
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask_babel import force_locale
from reportlab.pdfbase import pdfmetrics
from sqlalchemy import select

from app.accounts.models import User
from app.db import db, utc_now
from app.money import Money
from app.payments import pdf, refunds, service
from app.payments.models import Refund
from app.payments.rules import Line, LineKind, NewInvoice, RefundTarget
from app.transactions import transaction
from tests.client import Client
from tests.factories import make_user
from tests.long import few
from tests.payments import world
from tests.payments.world import issue, open_page, pay, settle

Login = Callable[[User], Client]
STREAM = re.compile(
    rb"/Filter \[ /ASCII85Decode /FlateDecode \].*?stream\n(.*?)endstream", re.DOTALL
)


@pytest.fixture
def user(database: None) -> User:
    return make_user()


@pytest.fixture
def client(user: User, login_as: Login) -> Client:
    return login_as(user)


def rich_invoice(user_id: int, description: str) -> int:
    """Issue an invoice with every kind of sum on it."""
    now = utc_now()
    lines = (
        Line(
            LineKind.PLAN, description, Money(Decimal("29.00"), "USD"),
            period_start=now, period_end=now + timedelta(days=30),
        ),
        Line(LineKind.BOT, "Rented grid bot", Money(Decimal("10.00"), "USD"), quantity=2),
    )  # fmt: skip
    discount, tax = Money(Decimal("3.00"), "USD"), Money(Decimal("7.20"), "USD")
    with transaction():
        return service.issue(
            NewInvoice("rich", user_id, lines, discount, tax, due_at=now), "ordered"
        ).id


def unpacked(raw: bytes) -> bytes:
    """Return what the packed parts of a file say."""
    parts = (b"<~" + part.strip() for part in STREAM.findall(raw))
    return b"".join(zlib.decompress(a85decode(part, adobe=True)) for part in parts)


@pytest.mark.parametrize("language", few(["en", "ru", "pt_BR"], 3))
def test_the_page_the_print_view_and_the_file_stand_in_every_language(
    user: User, login_as: Login, language: str
) -> None:
    with transaction():
        user.profile.language = language
    client = login_as(user)
    invoice_id = rich_invoice(user.id, "Тариф Pro — ação nº 1 <b>&amp;")
    for path in ("", "/print"):
        page = client.get(f"/invoices/{invoice_id}{path}")
        assert page.status_code == 200
        assert "Тариф Pro — ação nº 1 &lt;b&gt;&amp;amp;" in page.text
    answer = client.get(f"/invoices/{invoice_id}.pdf")
    assert answer.content_type == "application/pdf"
    assert answer.headers["Content-Disposition"] == "attachment; filename=INV-000001.pdf"
    assert answer.data.startswith(b"%PDF-1.")
    assert answer.data == client.get(f"/invoices/{invoice_id}.pdf").data
    assert b"DejaVuSans" in answer.data
    assert b" Tj" in unpacked(answer.data)


def partly_refunded(user: User, client: Client) -> int:
    """Have an invoice paid, two parts of it given back, and a third one come to nothing."""
    invoice_id = issue(user.id, "20.00", tax="10.00")
    pay(client, open_page(client, invoice_id))
    settle(client)
    (payment,) = world.payments()
    for key, amount in (("a", "6.00"), ("b", "3.00"), ("c", "1.00")):
        with transaction():
            refunds.ask(key, payment.id, Decimal(amount), RefundTarget.WALLET, None, "because")
    with transaction():
        failed = db.session.scalars(select(Refund).where(Refund.key == "c")).one()
        failed.state = "failed"
    return invoice_id


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is written into files from now on."""
    written: list[str] = []
    write = pdf._text

    def note(words: str, *more: Any, **named: Any) -> object:
        written.append(words)
        return write(words, *more, **named)

    monkeypatch.setattr(pdf, "_text", note)
    return written


@pytest.mark.parametrize("language", few(["en", "ru", "pt_BR"], 3))
def test_a_credit_note_is_a_file_for_the_owner_of_its_invoice(
    user: User, login_as: Login, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    with transaction():
        user.profile.language = language
    client = login_as(user)
    page = client.get(f"/invoices/{partly_refunded(user, client)}").text
    notes = re.findall(r'href="(/credit-notes/(\d+)\.pdf)"', page)
    assert len(notes) == 2, "that of the refund that failed is none"
    written = noted(monkeypatch)
    answer = client.get(notes[0][0])
    assert (answer.status_code, answer.content_type) == (200, "application/pdf")
    assert answer.headers["Content-Disposition"] == "attachment; filename=CN-000001.pdf"
    assert answer.data == client.get(notes[0][0]).data
    assert {"INV-000001", user.email} <= set(written)
    amounts = [one.replace(",", ".") for one in written[7:16:4]]
    assert [re.sub(r"[^0-9.]", "", one) for one in amounts] == ["4.00", "2.00", "6.00"]
    failed = int(notes[1][1]) + 1
    assert client.get(f"/credit-notes/{failed}.pdf").status_code == 404
    assert login_as(make_user()).get(notes[0][0]).status_code == 404


def test_paper_lists_the_credit_notes_that_hold(
    user: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice_id = partly_refunded(user, client)
    written = noted(monkeypatch)
    assert client.get(f"/invoices/{invoice_id}.pdf").status_code == 200
    for said in (" ".join(written), client.get(f"/invoices/{invoice_id}/print").text):
        assert "CN-000001" in said and "CN-000002" in said and "CN-000003" not in said
        assert "(tax of it: 2.00" in said.replace("\xa0", " ")


def test_the_fonts_know_every_letter_of_our_languages(user: User, client: Client) -> None:
    client.get(f"/invoices/{issue(user.id)}.pdf")
    letters = (
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?()[]%&@#/+-–—−…’«»“”"
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ№ãáâàçéêíóôõúüÃÁÂÀÇÉÊÍÓÔÕÚ"
        "$€₽£\u00a0\u202f"
    )
    for name in (pdf.PLAIN, pdf.BOLD):
        known = pdfmetrics.getFont(name).face.charToGlyph
        assert [letter for letter in letters if ord(letter) not in known] == []


@pytest.mark.parametrize("words", ["x" * 200, "😀" * 200, "<br/>" * 40, "]]>&#0;" * 28])
def test_whatever_stands_on_a_line_gives_a_file(user: User, client: Client, words: str) -> None:
    invoice_id = rich_invoice(user.id, words)
    assert client.get(f"/invoices/{invoice_id}.pdf").data.startswith(b"%PDF")
    assert client.get(f"/invoices/{invoice_id}").status_code == 200


def test_what_was_given_back_stands_on_every_form_of_an_invoice(user: User, client: Client) -> None:
    invoice_id = issue(user.id)
    pay(client, open_page(client, invoice_id))
    settle(client)
    before = client.get(f"/invoices/{invoice_id}.pdf").data
    (payment,) = world.payments()
    staff = make_user()
    with transaction():
        service.refund(staff.id, "k" * 32, payment.id, Decimal(9), RefundTarget.WALLET, "a mistake")
    for path in ("", "/print"):
        assert "Given back" in client.get(f"/invoices/{invoice_id}{path}").text
    assert client.get(f"/invoices/{invoice_id}.pdf").data != before


def test_an_invoice_that_is_not_there_or_not_issued_is_404(user: User, client: Client) -> None:
    for number in (0, 999_999, 2**63, 10**30):
        for ending in ("", "/print", ".pdf"):
            assert client.get(f"/invoices/{number}{ending}").status_code == 404, (number, ending)
    assert client.get("/checkouts/999999").status_code == 404
    assert client.get(f"/checkouts/{2**70}").status_code == 404


def test_a_payment_under_way_is_no_payment_that_failed(user: User, client: Client) -> None:
    invoice_id = issue(user.id)
    page = open_page(client, invoice_id)
    pay(client, page, world.DECLINED)
    settle(client)
    told = client.get(f"/invoices/{invoice_id}").text
    assert "The last payment failed" in told and "Pay once more" not in told
    pay(client, page, world.CONFIRMS)
    settle(client)
    told = client.get(f"/invoices/{invoice_id}").text
    before, _summary, folded = told.partition("Pay once more</summary>")
    assert "/pay" not in before and f"/invoices/{invoice_id}/pay" in folded, "only who unfolds it"
    assert "A payment is under way" in told and "The last payment failed" not in told


def test_who_pays_after_a_declined_card_is_not_told_that_it_is_not_paid(
    user: User, client: Client
) -> None:
    page = open_page(client, issue(user.id))
    pay(client, page, world.DECLINED)
    settle(client)
    back = pay(client, page)
    told = client.get(back).text
    assert "Waiting for the provider" in told and "Not paid" not in told
    assert "a try that failed: The bank declined the card" in told
    settle(client)
    assert "The money has come" in client.get(back).text


def test_who_comes_back_from_a_top_up_is_not_asked_to_try_again_while_it_is_under_way(
    client: Client,
) -> None:
    page = client.post_form("/wallet/top-up", {"amount": "5", "currency": "USD", "rail": "demo"})
    back = urlsplit(pay(client, urlsplit(page.location).path)).path
    told = client.get(back).text
    assert "Waiting for the provider" in told and "Try again" not in told
    settle(client)
    told = client.get(back).text
    assert "The money has come." in told and 'href="/wallet">To the wallet' in told


def test_a_top_up_finer_than_a_cent_is_told_so(client: Client) -> None:
    form = {"amount": "5.001", "currency": "USD", "rail": "demo"}
    answer = client.post_form("/wallet/top-up", form)
    assert answer.status_code == 422 and "smallest unit of USD" in answer.text


@pytest.mark.parametrize("language", ["en", "ru", "pt_BR"])
def test_no_word_above_a_column_of_the_file_is_broken(app: Flask, language: str) -> None:
    pdf._load_fonts()
    with app.test_request_context(), force_locale(language):
        heads = pdf.heads()
    padding = 12
    for head, width in zip(heads, pdf.COLUMNS, strict=True):
        for word in head.split():
            assert pdfmetrics.stringWidth(word, pdf.BOLD, 9) + padding <= width, (head, width)


def test_a_paper_says_from_whom_it_is(user: User, login_as: Login) -> None:
    with transaction():
        user.profile.language = "ru"
    page = login_as(user).get(f"/invoices/{issue(user.id)}/print").text
    assert re.search(r"<dt>От кого</dt>\s*<dd>Botyard</dd>", page)
