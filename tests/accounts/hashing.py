"""Cheap password hashes for tests that are about something else; the real ones take long."""

from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher

from app.accounts import passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
REAL = passwords.hasher


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hash with the least that argon2 can do."""
    monkeypatch.setattr(passwords, "hasher", CHEAP)
    passwords.dummy_hash.cache_clear()
    yield
    passwords.dummy_hash.cache_clear()


@pytest.fixture
def real_hashes(cheap_hashes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash as the product does, for a test that is about just that."""
    monkeypatch.setattr(passwords, "hasher", REAL)


class CountingHasher(PasswordHasher):
    """Counts what takes the time of a log-in or registration."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.work = 0

    def hash(self, *args: Any, **kwargs: Any) -> str:
        self.work += 1
        return super().hash(*args, **kwargs)

    def verify(self, *args: Any, **kwargs: Any) -> Any:
        self.work += 1
        return super().verify(*args, **kwargs)


@pytest.fixture
def counting_hashes(cheap_hashes: None, monkeypatch: pytest.MonkeyPatch) -> CountingHasher:
    """Count the hashes that are made and compared."""
    hasher = CountingHasher()
    monkeypatch.setattr(passwords, "hasher", hasher)
    return hasher
