"""Stripe's stand-in, and somebody whose subscription it keeps."""

from collections.abc import Iterator

import pytest
from flask import Flask

from app.accounts.models import User
from tests.doubles.stripe import FakeStripe
from tests.factories import make_user
from tests.subscriptions.provider_world import stand_in


@pytest.fixture
def fake(app: Flask, database: None) -> Iterator[FakeStripe]:
    with stand_in(app) as stripe:
        yield stripe


@pytest.fixture
def user(fake: FakeStripe) -> User:
    return make_user()
