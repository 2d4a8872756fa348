"""Fixtures of these tests."""

import pytest
from flask import Flask

from tests.api.programs import Program, give_token
from tests.bots.shop import Shop


@pytest.fixture
def shop(database: None) -> Shop:
    """Return a customer with paper money and a pair at 100."""
    return Shop.open()


@pytest.fixture
def program(app: Flask, shop: Shop) -> Program:
    """Return a program of the customer with all scopes."""
    return Program(app, give_token(shop.user_id))
