"""Real workers at a hostile exchange over HTTP: paused, killed, and the short `make chaos`."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.adapters.exchanges.bases import use_bases
from app.adapters.exchanges.client import forget_markets
from app.db import db
from app.transactions import transaction
from tests.chaos.campaign import Campaign, phases
from tests.chaos.prices import made
from tests.chaos.rig import HASTE, Rig, running_rig
from tests.doubles.bybit.control import running_double

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("database")]

KILLS = 20


@pytest.fixture
def rig(environment: dict[str, str], database: None, tmp_path: Path) -> Iterator[Rig]:
    """Run workers and the stand-in around an account with two bots and two with contracts."""
    with running_double(tmp_path / "journal.jsonl", seed=3) as control:
        own = {**environment, **HASTE, "EXCHANGE_BASES": f"bybit={control.url}"}
        use_bases({"bybit": control.url})
        forget_markets()
        try:
            with running_rig(own, control, made(3), tmp_path / "log", seed=3) as rig:
                rig.begin(accounts=1, bots=2, contracts=2)
                yield rig
        finally:
            use_bases({})
            forget_markets()


@pytest.mark.long
def test_a_worker_paused_beyond_its_lease_does_no_harm_when_it_wakes(rig: Rig) -> None:
    first = rig.workers.places[0]
    for _ in range(3):
        rig.step(3)
        held = rig.wait_until_holding(first)
        rig.workers.signal(first, signal.SIGSTOP)
        with transaction():
            db.session.execute(
                text("update account_leases set expires_at = now() where holder = :name"),
                {"name": first.name},
            )
            # The database ends by itself, after ten seconds, what a paused worker has open.
            db.session.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and state like 'idle in trans%'"
                    " and pid <> pg_backend_pid()"
                )
            )
        rig.step(2)
        rig.wait_for_ticks(held)
        rig.workers.signal(first, signal.SIGCONT)
        rig.step(2)
    rig.audit()
    assert rig.findings() == rig.missing() == []
    assert not first.is_dead


@pytest.mark.long
def test_a_worker_killed_inside_its_lease_goes_on_at_once_in_its_place(rig: Rig) -> None:
    campaign = Campaign(rig, lambda line: None)
    campaign.leave_alone(3)
    rig.audit()
    assert rig.findings() == rig.missing() == []
    # A lease lasts twenty seconds; nobody has to wait for its end.
    assert max(campaign.result.alone) < 8


def test_twenty_kills_and_every_fault_mixed_leave_the_books_equal(rig: Rig) -> None:
    told: list[str] = []
    chosen = [phase for phase in phases() if phase.name in {"kills alone", "all mixed"}]
    result = Campaign(rig, told.append).run(KILLS, chosen)
    assert result.findings == result.missing == []
    assert sum(result.kills.values()) >= KILLS
    assert sum(rig.control.do("counts")["faults"].values()) > 0
    assert result.fills > 20
    assert len(told) == 2
    assert rig.ended() == []
    ended = rig.live.seats[0].bots[0]
    with transaction():
        db.session.execute(
            text("update bots set state = 'stopped' where id = :id").bindparams(id=ended)
        )
    (line,) = rig.ended()
    assert f"bot {ended} has ended as stopped" in line
