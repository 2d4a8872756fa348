from dataclasses import dataclass

import pytest

from app import events


@dataclass(frozen=True)
class Happened:
    number: int


def test_handlers_hear_their_class_only_and_once() -> None:
    heard: list[int] = []

    def handler(event: Happened) -> None:
        heard.append(event.number)

    events.on(Happened)(handler)
    events.on(Happened)(handler)
    events.publish(Happened(3))
    events.publish("something else")
    assert heard == [3]


def test_a_failing_handler_reaches_the_publisher() -> None:
    @dataclass(frozen=True)
    class Risky:
        pass

    @events.on(Risky)
    def fail(event: Risky) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        events.publish(Risky())
