import pytest

from dev import messages


# `make test` asks the same beside the tests.
@pytest.mark.long
def test_every_message_is_translated_in_every_language() -> None:
    assert list(messages.problems()) == []
