"""docs/api.md is true: its routes, scopes and codes are those of the code, its examples run."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

from app.accounts.tokens import Scope
from app.api.texts import TEXTS
from app.db import db
from app.i18n import has_text
from app.markets.models import MarketRow
from app.transactions import transaction
from tests.api.programs import give_token
from tests.api.test_gate import ROUTES
from tests.bots.shop import Shop

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
CODES = re.findall(r"^\| \d{3} \| (.*) \|$", PAGE, re.MULTILINE)


def test_every_route_stands_in_the_table_with_its_scope() -> None:
    told = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \| `([a-z:]+)` \|", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(ROUTES)


def test_every_scope_is_explained() -> None:
    assert set(re.findall(r"^\| `([a-z]+:[a-z]+)` \| ", PAGE, re.MULTILINE)) == set(Scope)


def test_every_code_has_a_sentence_and_every_own_code_is_told(app: Flask) -> None:
    told = {code for line in CODES for code in re.findall(r"`([a-z0-9_]+)`", line)}
    assert len(told) > 40
    assert {code for code in told if not has_text(code)} == set()
    assert set(TEXTS) <= told


@pytest.fixture
def site(app: Flask, shop: Shop) -> Iterator[str]:
    """Serve the app over loopback, with the pair of the examples."""
    with transaction():
        market = db.session.get_one(MarketRow, shop.market_id)
        market.symbol, market.base = "BTC/USDT", "BTC"
    shop.play(Decimal(60_000))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(timeout=10)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_examples_run_as_they_stand(shop: Shop, site: str) -> None:
    assert len(BLOCKS) == 3
    environment = {**os.environ, "SITE": site, "TOKEN": give_token(shop.user_id), "NO_PROXY": "*"}
    (account,) = json.loads(run(BLOCKS[0], environment))["items"]
    made = json.loads(run(BLOCKS[1].replace("ACCOUNT=1", f"ACCOUNT={account['id']}"), environment))
    assert (made["name"], made["state"]) == ("By curl", "stopped")
    lines = run(BLOCKS[2].replace("BOT=1", f"BOT={made['id']}"), environment)
    bot = shop.bot(made["id"])
    assert '"confirm"' in lines
    assert (bot.name, bot.stop_request) == ("Renamed", "emergency")


def run(script: str, environment: dict[str, str]) -> str:
    words = ["sh", "-e", "-c", script]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
