"""What the tests of the desk begin with."""

from collections.abc import Callable

import pytest

from app.accounts.models import Role, User
from app.subscriptions.service import seed_plans
from app.transactions import transaction
from tests.client import Client
from tests.factories import make_user


@pytest.fixture
def user(database: None) -> User:
    """Return a customer where plans are on sale."""
    with transaction():
        seed_plans()
    return make_user()


@pytest.fixture
def staff(database: None, login_as: Callable[[User], Client]) -> Client:
    """Return the browser of a manager."""
    return login_as(make_user(Role.MANAGER))
