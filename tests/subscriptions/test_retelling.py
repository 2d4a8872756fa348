"""Whatever happened to a subscription is told in whole sentences, never by a word of ours."""

from typing import Any

import pytest
from flask import Flask

from app.admin.histories import told
from app.db import utc_now
from app.i18n import use_locale
from app.subscriptions import service
from app.subscriptions.history import Change
from app.subscriptions.retelling import CHANGES, change_words
from app.transactions import transaction
from tests.long import few

DAY = "2026-12-24T10:00:00+00:00"
PRO: dict[str, Any] = {
    "plan": "pro",
    "addons": {},
    "state": "active",
    "rail": "wallet",
    "period_end": None,
}


@pytest.fixture(autouse=True)
def plans(app: Flask, database: None) -> None:
    with transaction():
        service.seed_plans()


def moved(before: dict[str, Any] | None, after: dict[str, Any]) -> Change:
    return Change("stripe:sub_1", "moved", {**PRO, **(before or {})}, {**PRO, **after}, None,
                  "provider", utc_now())  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (moved(None, {"state": "past_due"}), "The payment was overdue."),
        (moved({"state": "past_due"}, {}), "Paid: Pro."),
        (moved(None, {"state": "canceled", "plan": None}), "Pro ended."),
        (moved(None, {"plan": "premium"}), "Changed from Pro to Premium."),
        (moved(None, {"cancel_at": DAY}), "Cancelled: Pro ends on Dec 24, 2026."),
        (moved({"cancel_at": DAY}, {}), "The cancellation was taken back."),
        (moved(None, {"period_end": DAY}), "Pro goes on until Dec 24, 2026."),
        (moved(None, {"trial_end": DAY}), "The free days last until Dec 24, 2026."),
        (
            moved(None, {"paused": True}),
            "The charges are paused; what is paid for still holds.",
        ),
        (moved({"paused": True}, {}), "The charges go on."),
        (
            moved(None, {"waits_for_payment": True, "addons": {"extra_bot": 2}}),
            "Changed from Pro to Pro, 2 × Extra bot. A change waits for its payment.",
        ),
        (moved(None, {"secret": 1}), "Something else was told by the card provider."),
        (
            Change("staff", "given", None, {"plan": "pro", "ends_at": DAY}, 1, "", utc_now()),
            "Pro was given by staff until Dec 24, 2026.",
        ),
        (
            Change("staff", "given", None, {"plan": "pro", "ends_at": None}, 1, "", utc_now()),
            "Pro was given by staff, without an end.",
        ),
        (
            Change("staff", "ended", {"plan": "pro"}, {"plan": "pro"}, 1, "", utc_now()),
            "Pro was ended by staff.",
        ),
        (
            Change("kept:1", "way_changed", PRO, {**PRO, "rail": "demo"}, 1, "asked", utc_now()),
            "The next periods are paid by another way: Test card (demonstration).",
        ),
        (
            Change("kept:1", "ended", PRO, PRO, None, "unpaid", utc_now()),
            "Pro ended, because the payment did not come.",
        ),
    ],
)
def test_what_happened_is_a_sentence_on_both_pages(change: Change, words: str) -> None:
    assert change_words(change) == words
    assert told(change).what == words


@pytest.mark.parametrize("language", few(["ru", "en", "pt_BR"], 3))
def test_no_word_of_ours_is_shown_in_any_language(language: str) -> None:
    plain = {"plan": "pro", "addons": {}}
    with use_locale(language):
        for what in (*(key.partition(":")[0] for key in CHANGES), "moved", "unheard_of"):
            for cause in ("provider", "unpaid", "nobody_knows"):
                for source in ("kept:1", "stripe:sub_1", "staff"):
                    change = Change(source, what, plain, plain, None, cause, utc_now())
                    said = change_words(change)
                    assert said.endswith(".") and "_" not in said and "%(" not in said
