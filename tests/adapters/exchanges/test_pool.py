"""Open accounts are kept, and let go of when they changed, grew old, or there are too many."""

import pytest

from app.adapters.exchanges.pool import KEPT_FOR_S, Pool


class Thing:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_same_account_is_the_same_object_while_nothing_changed() -> None:
    pool = Pool()
    first = pool.get(1, "keys", Thing)
    assert pool.get(1, "keys", Thing) is first
    assert pool.get(2, "keys", Thing) is not first


def test_account_with_new_keys_is_opened_anew_and_the_old_one_closed() -> None:
    pool = Pool()
    first = Thing()
    pool.get(1, "old", lambda: first)
    assert pool.get(1, "new", Thing) is not first
    assert first.closed == 1
    assert len(pool) == 1


def test_least_recently_used_account_is_closed_first() -> None:
    pool = Pool(most=2)
    things = {number: Thing() for number in (1, 2, 3)}
    pool.get(1, "", lambda: things[1])
    pool.get(2, "", lambda: things[2])
    pool.get(1, "", Thing)
    pool.get(3, "", lambda: things[3])
    assert [things[number].closed for number in (1, 2, 3)] == [0, 1, 0]


def test_old_object_is_renewed_so_that_new_rules_are_seen() -> None:
    now = [0.0]
    pool = Pool(clock=lambda: now[0])
    first = pool.get(1, "", Thing)
    now[0] = KEPT_FOR_S - 1
    assert pool.get(1, "", Thing) is first
    now[0] = KEPT_FOR_S
    assert pool.get(1, "", Thing) is not first


def test_failure_to_open_keeps_what_there_was() -> None:
    pool = Pool()
    first = Thing()
    pool.get(1, "old", lambda: first)

    def fail() -> Thing:
        raise RuntimeError("away")

    with pytest.raises(RuntimeError):
        pool.get(1, "new", fail)
    assert first.closed == 0
    pool.drop(1)
    pool.drop(1)
    assert first.closed == 1
