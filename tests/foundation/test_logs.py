import pytest

from app.logs import mask_secrets


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
