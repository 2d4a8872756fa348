"""What `make test` does in part, and `make check-long` in whole."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.conftest import shared_folder

_LONG = pytest.mark.long


def thinned(step: int) -> pytest.MarkDecorator:
    """Give a test its `step`: it looks at every so-manieth case, and once more, long, at all."""
    return pytest.mark.parametrize(
        "step", [pytest.param(step, id="some"), pytest.param(1, id="all", marks=_LONG)]
    )


def few(values: Iterable[Any], step: int) -> list[Any]:
    """Return values to parametrize with; all but every so-manieth are long."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=_LONG)
        if number % step
        else value
        for number, value in enumerate(values)
    ]


def twin(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a story on made data that is told on recorded ones too: long, where those are."""
    return _LONG(test) if shared_folder().is_dir() else test
