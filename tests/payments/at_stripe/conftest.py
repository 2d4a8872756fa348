"""Stripe's stand-in, somebody who pays there, and their browser."""

from collections.abc import Callable

import pytest

from app.accounts.models import User
from tests.client import Client
from tests.subscriptions.conftest import fake, user

__all__ = ["client", "fake", "user"]


@pytest.fixture
def client(user: User, login_as: Callable[[User], Client]) -> Client:
    """Return the browser of a person who is logged in."""
    return login_as(user)
