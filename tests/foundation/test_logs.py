import logging

import pytest

from app.logs import RepeatFilter, mask_secrets


@pytest.mark.parametrize(
    "line",
    [
        "login password=hunter2 failed",
        "{'api_key': 'hunter2', 'x': 1}",
        '{"secret": "hunter2"}',
        "GET /confirm?code=hunter2&x=1",
        "Authorization: hunter2",
        "postgresql://app:hunter2@db/botyard",
        "redis://:hunter2@redis/0",
        "apikey=hunter2",
    ],
)
def test_secrets_never_reach_a_log_line(line: str) -> None:
    assert "hunter2" not in mask_secrets(line)


def test_other_words_stay() -> None:
    line = "trade_executed symbol=BTC/USDT side=buy bot=7 status=ok"
    assert mask_secrets(line) == line


def line(
    text: str, level: int = logging.WARNING, error: Exception | None = None
) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error else None
    return logging.LogRecord("app.feed", level, "f.py", 1, "%s", (text,), exc_info)


def test_the_same_warning_is_told_once_and_then_with_its_count() -> None:
    now = [100.0]
    repeats = RepeatFilter(clock=lambda: now[0])
    assert [repeats.filter(line("no Redis")) for _ in range(5)] == [True] + [False] * 4
    now[0] += RepeatFilter.EVERY_S
    late = line("no Redis")
    assert repeats.filter(late)
    assert late.getMessage() == "no Redis (held back 4 times)"
    assert not repeats.filter(line("no Redis"))


def test_another_text_another_error_and_plain_news_are_never_held_back() -> None:
    repeats = RepeatFilter(clock=lambda: 0.0)
    assert repeats.filter(line("no Redis"))
    assert repeats.filter(line("no PostgreSQL"))
    assert repeats.filter(line("no Redis", error=OSError("refused")))
    assert repeats.filter(line("no Redis", error=OSError("timed out")))
    assert all(repeats.filter(line("tick", logging.INFO)) for _ in range(3))
