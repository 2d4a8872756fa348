from dev import messages


def test_every_message_is_translated_in_every_language() -> None:
    assert list(messages.problems()) == []
