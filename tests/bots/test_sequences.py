"""Lives of grids at random: after every step the books, the orders and the profit hold.

Each life has a kind and a number, and is the same each time. `make check-sequences LIVES=300` tries
more of them, `make check-sequences LIVES=1 SEED=17 KINDS=contract_long` one alone: a failure says
everything that happened in it. Fewer `STEPS` are the beginning of the same life.
"""

import os
from datetime import timedelta
from random import Random

import pytest

from app.bots.live import clock
from app.errors import DomainError
from tests.bots.sequences.kinds import KINDS, is_contract, settings_of
from tests.bots.sequences.life import Life
from tests.bots.sequences.steps import Player
from tests.bots.shop import Shop
from tests.bots.test_running import as_contract
from tests.long import few

FIRST = int(os.environ.get("SEED", "0"))
LIVES = int(os.environ.get("SEEDS", "1"))
STEPS = int(os.environ.get("STEPS", "10"))
NAMED = os.environ.get("KINDS", "all").split(",")
TRIED = [kind for kind in KINDS if kind in NAMED or NAMED == ["all"]]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + LIVES))
@pytest.mark.parametrize("kind", few(TRIED, 24))
def test_a_grid_keeps_its_promises_whatever_happens_to_it(
    database: None, monkeypatch: pytest.MonkeyPatch, kind: str, seed: int
) -> None:
    # What its owner cancels is placed anew at once, not after a minute.
    monkeypatch.setattr(clock, "RESTORE_AFTER", timedelta(0))
    random = Random(f"{kind}-{seed}")
    shop = Shop.open()
    if is_contract(kind):
        as_contract(shop)
    settings = settings_of(kind, random)
    try:
        bot_id = shop.add_bot(**settings)
    except DomainError as error:
        pytest.fail(f"{settings}: {error}")
    life = Life.begin(shop, bot_id)
    life.say(f"{kind}, seed {seed}: {settings}")
    try:
        Player(life, random).play(STEPS)
    except Exception as error:
        lines = "\n".join([*life.said, life.last_words()])
        raise AssertionError(f"{error}\n\n{lines}\n=> {type(error).__name__}: {error}") from error
