"""The short slice of `make chaos`: twenty kills at a hostile exchange, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.exchanges.bases import use_bases
from app.adapters.exchanges.client import forget_markets
from tests.chaos.campaign import Campaign, phases
from tests.chaos.prices import made
from tests.chaos.rig import HASTE, Rig, running_rig
from tests.doubles.bybit.control import running_double

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("database")]

KILLS = 20


@pytest.fixture
def rig(environment: dict[str, str], database: None, tmp_path: Path) -> Iterator[Rig]:
    """Run workers and the stand-in around two accounts with two bots each."""
    with running_double(tmp_path / "journal.jsonl", seed=3) as control:
        own = {**environment, **HASTE, "EXCHANGE_BASES": f"bybit={control.url}"}
        use_bases({"bybit": control.url})
        forget_markets()
        try:
            with running_rig(own, control, made(3), tmp_path / "log", seed=3) as rig:
                rig.begin(accounts=2, bots=2)
                yield rig
        finally:
            use_bases({})
            forget_markets()


def test_twenty_kills_and_every_fault_mixed_leave_the_books_equal(rig: Rig) -> None:
    told: list[str] = []
    chosen = [phase for phase in phases() if phase.name in {"kills alone", "all mixed"}]
    result = Campaign(rig, told.append).run(KILLS, chosen)
    assert result.findings == []
    assert sum(result.kills.values()) >= KILLS
    assert sum(rig.control.do("counts")["faults"].values()) > 0
    assert result.fills > 20
    assert len(told) == 2
