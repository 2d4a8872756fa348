"""Fixtures of the journeys."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import open_chromium


@pytest.fixture(scope="module")
def _chromium() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def browser(_chromium: Browser) -> Iterator[Browser]:
    """Return the browser of a file, as a start costs seconds; what a test leaves open is closed."""
    yield _chromium
    for context in _chromium.contexts:
        context.close()
