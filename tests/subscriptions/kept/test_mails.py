"""Mails about subscriptions that we keep, as somebody reads them in their language and zone."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from babel.dates import format_date
from flask import Flask

from app.accounts.models import User
from app.db import db
from app.formatting.filters import day
from app.i18n import use_locale, written_for
from app.notifications.mails import render_mail
from app.payments import refunds
from app.payments.jobs import write_receipts
from app.payments.rules import RefundTarget
from app.subscriptions.kept import jobs
from app.transactions import transaction
from tests.factories import make_user
from tests.subscriptions.kept.world import DECLINED, Person, choice

ENGLISH = re.compile(
    r"\b(hello|your|you|the|of|for|is|it|and|then|invoice|payment|plan|from|card|month|year)\b",
    re.IGNORECASE,
)
# Mails in which all stands that may stand in them.
RECEIPT = {
    "amount": "9", "way": "Visa", "day": "1.1.", "path": "/", "bought": [], "notes": ["-"],
    "in_wallet": "9", "is_open": True, "next_charge": "9",
}  # fmt: skip
BACK = {
    "amount": "9", "way": "Visa", "day": "1.1.", "path": "/", "paid": "9", "is_part": True,
    "is_to_wallet": False, "from_wallet": "9", "credit_note": "CN-1",
}  # fmt: skip


def read_in(person: Person, language: str, zone: str = "UTC") -> None:
    with transaction():
        profile = db.session.get_one(User, person.id).profile
        profile.language, profile.timezone = language, zone


def go_to_end(person: Person, **more: float) -> None:
    end = person.kept().period_end
    assert end is not None
    person.live_on(seconds=(end - person.clock.now + timedelta(**more)).total_seconds())


@pytest.mark.parametrize("language", ["ru", "pt_BR"])
def test_all_that_is_written_is_in_the_language_of_its_reader(
    person: Person, language: str
) -> None:
    read_in(person, language)
    person.subscribe(choice("pro", extra_bot=2), rail="demo")
    person.change_card(DECLINED)
    go_to_end(person, days=20)
    jobs.subscribe(person.id, "pro", "year", "k")
    with transaction():
        paid = person.payments()[0].id
        refunds.ask("k", paid, Decimal(9), RefundTarget.WALLET, None, "because")
    write_receipts()
    written = [
        text
        for template in (
            "renewal_due",
            "renewal_failed",
            "invoice_issued",
            "payment_received",
            "refund_made",
        )
        for text in person.letters(template)
    ]
    assert len(written) > 9
    written += [line.description for one in person.invoices() for line in one.lines]
    told = dict.fromkeys(("before", "now", "plan", "until", "total", "again"), "Pro")
    for template in ("plan_switched", "trial_ends", "payment_failed"):
        for bots in ([], ["A"], ["A", "B"]):
            values = {**told, "bots": bots, "pay_url": "http://localhost"}
            written += render_mail(template, language, values)
    for number in ("", "INV-1"):
        written += render_mail("payment_received", language, RECEIPT | {"number": number})
        written += render_mail("refund_made", language, BACK | {"number": number})
        written += render_mail("refund_failed", language, BACK | {"number": number})
    for text in written:
        words = re.sub(r"https?://\S+", "", text)
        assert not ENGLISH.search(words), text
        assert ".." not in words and "  " not in words.replace("\xa0", "."), text


def test_who_writes_reads_on_in_their_own_language_and_zone(app: Flask, person: Person) -> None:
    moment = datetime(2027, 3, 27, 23, 30, tzinfo=UTC)
    read_in(person, "ru", "Europe/Moscow")
    with app.test_request_context(), use_locale("pt_BR"):
        before = day(moment)
        with written_for(db.session.get_one(User, person.id)):
            assert day(moment) == "28 мар. 2027"
            with written_for(make_user()):
                assert day(moment) == "Mar 27, 2027"
            assert day(moment) == "28 мар. 2027"
        assert day(moment) == before == "27 de mar. de 2027"


# The clocks of Berlin go back on the last Sunday of October, and forward on that of March.
@pytest.mark.parametrize(
    ("begins", "zone", "due", "until"),
    [
        (datetime(2027, 9, 30, 22, 30, tzinfo=UTC), "Europe/Berlin", "31.10", "13.11"),
        (datetime(2028, 2, 26, 23, 15, tzinfo=UTC), "Europe/Berlin", "27.3", "10.4"),
        (datetime(2027, 6, 30, 22, 0, tzinfo=UTC), "Asia/Tokyo", "31.7", "14.8"),
        (datetime(2027, 6, 30, 1, 0, tzinfo=UTC), "America/New_York", "29.7", "12.8"),
    ],
)
def test_a_mail_names_the_days_of_its_readers_zone_as_the_pages_do(
    person: Person, begins: datetime, zone: str, due: str, until: str
) -> None:
    read_in(person, "en", zone)
    person.clock.reach(begins)
    person.fill_wallet("29")
    person.subscribe()
    go_to_end(person, days=4)
    letters = person.letters("renewal_due")

    def named(what: str) -> str:
        number, month = (int(part) for part in what.split("."))
        return format_date(begins.replace(month=month, day=number), "medium", locale="en")

    assert f"begins on {named(due)} " in letters[0]
    assert f"was due on {named(due)} " in letters[-1]
    assert f"goes on until {named(until)};" in letters[-1]
