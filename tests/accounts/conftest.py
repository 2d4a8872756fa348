"""Fixtures of these tests."""

from tests.accounts.hashing import cheap_hashes, counting_hashes, real_hashes

__all__ = ["cheap_hashes", "counting_hashes", "real_hashes"]
