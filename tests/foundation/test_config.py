import base64
import os
from decimal import Decimal
from pathlib import Path

import pytest

from app.config import load_config, read_env_file
from app.errors import ConfigError

MASTER = "k1:" + base64.urlsafe_b64encode(os.urandom(32)).decode()
PRODUCTION = {
    "BOTYARD_ENV": "production",
    "SECRET_KEY": "x" * 40,
    "BOTYARD_MASTER_KEYS": MASTER,
    "DATABASE_URL": "postgresql://db/botyard",
    "REDIS_URL": "redis://redis/0",
    "BASE_URL": "https://bots.example/",
}


def test_production_is_the_default_and_needs_its_secrets() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({})
    assert caught.value.code == "missing_variable"
    assert caught.value.field == "SECRET_KEY"


@pytest.mark.parametrize("name", sorted(set(PRODUCTION) - {"BOTYARD_ENV"}))
def test_production_names_the_variable_that_is_missing(name: str) -> None:
    environ = {key: value for key, value in PRODUCTION.items() if key != name}
    with pytest.raises(ConfigError) as caught:
        load_config(environ)
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOTYARD_ENV", "staging"),
        ("SECRET_KEY", "short"),
        ("BOTYARD_MASTER_KEYS", "k1:short"),
        ("MARKET_SOURCE", "dreams"),
        ("MARKET_REPLAY_SPEED", "fast"),
        ("MARKET_REPLAY_SPEED", "0"),
        ("MARKET_REPLAY_SPEED", "601"),
        ("MARKET_REPLAY_SPEED", "NaN"),
        ("TRUSTED_PROXIES", "-1"),
        ("SESSION_HOURS", "48"),
        ("METRICS_TOKEN", "fifteen-letters"),
        ("METRICS_TOKEN", "a token with an é in it"),
        ("METRICS_TOKEN", " sixteen-letters "),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({**PRODUCTION, name: value})
    assert caught.value.field == name


def test_a_config_does_not_print_its_secrets() -> None:
    config = load_config(
        {**PRODUCTION, "SMTP_URL": "smtp://user:hunter2@mail", "METRICS_TOKEN": "t" * 16}
    )
    text = repr(config)
    assert PRODUCTION["SECRET_KEY"] not in text
    assert MASTER not in text
    assert "hunter2" not in text
    assert "t" * 16 not in text


def test_development_works_without_any_variable() -> None:
    config = load_config({"BOTYARD_ENV": "development"})
    assert config.market_source == "synthetic"
    assert config.demo
    assert not config.is_production


def test_a_replay_file_chooses_the_replay() -> None:
    config = load_config({**PRODUCTION, "MARKET_REPLAY": "candles", "MARKET_REPLAY_SPEED": "600"})
    assert config.market_source == "replay"
    assert config.market_replay == Path("candles")
    assert config.market_replay_speed == Decimal(600)


def test_database_addresses_name_the_driver() -> None:
    assert load_config(PRODUCTION).database_url == "postgresql+psycopg://db/botyard"


def test_env_files_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "run.env"
    path.write_text("# comment\nA=1\nB=two=2\n\nnothing\n")
    assert read_env_file(path) == {"A": "1", "B": "two=2"}
    assert read_env_file(tmp_path / "absent") == {}


def test_calls_to_an_exchange_may_go_elsewhere_only_outside_production() -> None:
    bases = {"EXCHANGE_BASES": "bybit=http://127.0.0.1:9000/, okx=http://127.0.0.1:9001"}
    config = load_config({"BOTYARD_ENV": "testing", **bases})
    assert config.exchange_bases == {
        "bybit": "http://127.0.0.1:9000",
        "okx": "http://127.0.0.1:9001",
    }
    with pytest.raises(ConfigError) as raised:
        load_config({**PRODUCTION, **bases})
    assert raised.value.field == "EXCHANGE_BASES"
