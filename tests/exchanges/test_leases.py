"""One writer for each account: leases that end, tokens that only grow."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from app.db import db
from app.exchanges.leases import LEASE_SECONDS, acquire, release, renew, still_held, take_back
from app.transactions import transaction
from tests.at_once import at_once
from tests.factories import make_account, make_user


@pytest.fixture
def accounts(database: None) -> list[int]:
    """Return three accounts."""
    with transaction():
        return [make_account(make_user()).id for _ in range(3)]


def take(accounts: list[int], holder: str) -> dict[int, int]:
    """Take leases in a transaction of their own."""
    with transaction():
        return acquire(accounts, holder)


def held(tokens: dict[int, int], margin_s: float = 0) -> set[int]:
    """Ask in a transaction of its own which leases are still ours."""
    with transaction():
        return still_held(tokens, margin_s)


def let_pass(seconds: int) -> None:
    """Let time pass for every lease."""
    with transaction():
        db.session.execute(
            text("update account_leases set expires_at = expires_at - make_interval(secs => :s)"),
            {"s": seconds},
        )


def test_free_leases_are_taken_and_held(accounts: list[int]) -> None:
    tokens = take(accounts, "a")
    assert tokens == dict.fromkeys(accounts, 1)
    assert held(tokens) == set(accounts)


def test_nobody_else_takes_a_lease_that_runs(accounts: list[int]) -> None:
    take(accounts[:2], "a")
    assert take(accounts, "b") == {accounts[2]: 1}


def test_a_lease_that_ended_goes_to_the_next_with_a_greater_token(accounts: list[int]) -> None:
    old = take(accounts, "a")
    let_pass(LEASE_SECONDS + 1)
    assert held(old) == set()
    new = take(accounts, "b")
    assert new == dict.fromkeys(accounts, 2)
    assert held(old) == set()
    assert held(new) == set(accounts)


def test_a_lease_of_an_hour_was_given_before_the_clock_was_set_back_and_is_free(
    accounts: list[int],
) -> None:
    old = take(accounts, "a")
    let_pass(-3600)
    new = take(accounts, "b")
    assert new == dict.fromkeys(accounts, 2)
    assert (held(old), held(new)) == (set(), set(accounts))


def test_the_same_place_takes_its_lease_back_at_once_and_fences_its_former_self(
    accounts: list[int],
) -> None:
    old = take(accounts, "a")
    new = take(accounts, "a")
    assert new == dict.fromkeys(accounts, 2)
    assert held(old) == set()
    with transaction():
        release(old)
    assert held(new) == set(accounts)


def test_a_place_that_begins_anew_ends_what_it_left_and_fences_its_former_self(
    accounts: list[int],
) -> None:
    before = take(accounts[:2], "place-1")
    others = take(accounts[2:], "place-2")
    with transaction():
        assert sorted(take_back("place-1")) == sorted(accounts[:2])
        assert take_back("place-1") == []
    assert held(before) == set()
    assert held(others) == set(others)
    assert set(take(accounts, "place-3")) == set(accounts[:2])


def test_a_released_lease_is_free_and_its_token_grows_on(accounts: list[int]) -> None:
    tokens = take(accounts, "a")
    with transaction():
        release(tokens)
    assert held(tokens) == set()
    assert take(accounts, "b") == dict.fromkeys(accounts, 2)


def test_renewing_prolongs_only_what_is_still_ours(accounts: list[int]) -> None:
    tokens = take(accounts, "a")
    let_pass(LEASE_SECONDS - 5)
    assert held(tokens, margin_s=10) == set()
    with transaction():
        assert renew(tokens) == set(accounts)
    assert held(tokens, margin_s=10) == set(accounts)
    let_pass(LEASE_SECONDS + 1)
    with transaction():
        assert renew(tokens) == set()


def in_another_thread(app: Flask, work: Callable[[], Any], results: list[Any]) -> threading.Thread:
    """Run something with a connection of its own."""

    def run() -> None:
        with app.app_context():
            results.append(work())

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_whoever_asked_keeps_the_lease_to_the_end_of_the_transaction(
    app: Flask, accounts: list[int]
) -> None:
    tokens = take(accounts, "a")
    results: list[Any] = []
    with transaction():
        assert still_held(tokens) == set(accounts)
        # Time runs out while the transaction is open, and another worker comes.
        thread = in_another_thread(app, lambda: take(accounts, "a"), results)
        thread.join(20)
        assert results == [{}]
    assert take(accounts, "a") == dict.fromkeys(accounts, 2)


def test_of_many_workers_at_once_each_account_goes_to_one(app: Flask, accounts: list[int]) -> None:
    results = at_once(app, 6, lambda number: take(accounts, "abcdef"[number]))
    taken = [account for tokens in results for account in tokens]
    assert sorted(taken) == sorted(accounts)


def test_no_accounts_is_no_question(database: None) -> None:
    assert take([], "a") == {}
    assert held({}) == set()
