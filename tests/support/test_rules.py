"""What may be done to a ticket in which state, and what may be written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Conflict, InvalidInput
from app.support.rules import (
    LONGEST_SUBJECT,
    LONGEST_TEXT,
    STATE_TABLE,
    Act,
    State,
    following,
    known_topic,
    tidy_subject,
    tidy_text,
)


def test_who_writes_last_decides_who_waits() -> None:
    for state in State:
        assert following(state, Act.WRITE) is State.OPEN
        assert following(state, Act.ANSWER) is State.ANSWERED


def test_only_what_is_not_closed_can_be_closed() -> None:
    assert set(STATE_TABLE) == set(State)
    assert following(State.OPEN, Act.CLOSE) is following(State.ANSWERED, Act.CLOSE) is State.CLOSED
    with pytest.raises(Conflict, match="ticket_closed"):
        following(State.CLOSED, Act.CLOSE)


@pytest.mark.parametrize("text", ["", " \t\n ", "\r\n", "\u200b", "\u202e \u2060"])
def test_nothing_is_not_a_message(text: str) -> None:
    for tidy in (tidy_subject, tidy_text):
        with pytest.raises(InvalidInput, match="ticket_empty"):
            tidy(text)


def test_what_is_too_long_says_how_long_it_may_be() -> None:
    assert tidy_subject("x" * LONGEST_SUBJECT) == "x" * LONGEST_SUBJECT
    with pytest.raises(InvalidInput) as refused:
        tidy_subject("x" * (LONGEST_SUBJECT + 1))
    assert (refused.value.field, refused.value.values) == ("subject", {"maximum": LONGEST_SUBJECT})
    with pytest.raises(InvalidInput, match="ticket_too_long"):
        tidy_text("x" * (LONGEST_TEXT + 1))


@pytest.mark.parametrize("text", ["a\0b", "a\x1bb", "\udcff"])
def test_what_no_page_can_show_is_refused(text: str) -> None:
    for tidy in (tidy_subject, tidy_text):
        with pytest.raises(InvalidInput, match="ticket_unreadable"):
            tidy(text)


def test_every_language_and_emoji_is_kept() -> None:
    for text in (
        "Привет, où está?",
        "👩‍👩‍👧‍👦 🏳️‍🌈",
        "שלום \u200f(1)",
        "<b>1 < 2</b> %(x)s {{ 7*7 }}",
    ):
        assert tidy_text(text) == text
    assert tidy_text("one\r\ntwo\rthree\n") == "one\ntwo\nthree"
    assert tidy_subject(" one\n  two ") == "one two"


@given(st.text(max_size=80))
def test_what_was_tidied_once_stays_as_it_is(text: str) -> None:
    for tidy in (tidy_subject, tidy_text):
        try:
            once = tidy(text)
        except InvalidInput:
            continue
        assert tidy(once) == once


def test_only_known_topics_pass() -> None:
    assert known_topic("money").value == "money"
    for text in ("", "Money", "x" * 10_000, "money\0"):
        with pytest.raises(InvalidInput, match="ticket_topic"):
            known_topic(text)
