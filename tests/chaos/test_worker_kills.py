"""Workers are killed, paused and doubled while bots trade: no order twice, no fill lost."""

import signal
import time
from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import text

from app.bots import jobs, wake
from app.db import db
from app.transactions import transaction
from tests.bots.live_world import World, candles_of, path_of, wander
from tests.bots.test_live import assert_same
from tests.chaos.worker_world import (
    Worker,
    expected_of,
    is_at_work,
    is_mid_tick,
    let_happen,
    running,
    wait_for,
    wait_until_done,
)

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("database")]

BOTS = 12
KILLS = 20
# About as long as a tick of all bots takes.
LONGEST_WAIT_S = 0.3


def begin(world: World, prices: list[Decimal]) -> list[int]:
    """Add bots that want to start, at the first price."""
    world.play(prices[0])
    bots = [world.add_bot() for _ in range(BOTS)]
    wake.request_ticks(world.accounts())
    return bots


def assert_undisturbed(world: World, bots: list[int], candles: list[object]) -> None:
    """See that every bot has traded as if nothing had happened."""
    expected = expected_of(candles)  # type: ignore[arg-type]
    assert len(expected.fills) > 20
    for bot in bots:
        assert_same(world, bot, expected)


def test_twenty_kills_in_the_middle_of_a_tick_change_nothing(
    environment: dict[str, str],
) -> None:
    world = World.make()
    candles = candles_of(wander(21, 300))
    prices = path_of(candles)
    bots = begin(world, prices)
    random = Random(1)
    rest = prices[1:]
    size = len(rest) // KILLS + 1
    worker = Worker(environment, "ticks", "--name", "chaos")
    with running(worker):
        wait_until_done(world)
        for _ in range(KILLS):
            let_happen(world, *rest[:size])
            rest = rest[size:]
            wait_for(lambda: is_at_work(world))
            # Somewhere in it: between two statements, or within one.
            time.sleep(random.random() * LONGEST_WAIT_S)
            worker.kill()
            worker.start()
        assert rest == []
        wait_until_done(world)
        assert worker.stop() == 0
    assert_undisturbed(world, bots, list(candles))


@pytest.mark.long
def test_two_workers_and_one_that_was_paused_beyond_its_leases_do_no_harm(
    environment: dict[str, str],
) -> None:
    world = World.make()
    candles = candles_of(wander(22, 300))
    prices = path_of(candles)
    bots = begin(world, prices)
    rest = prices[1:]
    first = Worker(environment, "ticks", "--name", "first")
    second = Worker(environment, "ticks", "--name", "second")
    with running(first), running(second):
        wait_until_done(world)
        for pause in range(3):
            let_happen(world, *rest[:50])
            rest = rest[50:]
            wait_for(lambda: is_at_work(world))
            first.signal(signal.SIGSTOP)
            let_happen(world, *rest[:10])
            rest = rest[10:]
            end_what_was_frozen()
            wait_until_done(world)
            first.signal(signal.SIGCONT)
            assert first.is_running, pause
        let_happen(world, *rest)
        wait_until_done(world)
        assert second.stop() == 0
        assert first.stop() == 0
    assert_undisturbed(world, bots, list(candles))


def end_what_was_frozen() -> None:
    """Do as if the leases of "first" had run out, and the time of a standing transaction too."""
    with transaction():
        db.session.execute(
            text("update account_leases set expires_at = now() where holder = 'first'")
        )
        db.session.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and state like 'idle in trans%'"
                " and pid <> pg_backend_pid()"
            )
        )


@pytest.mark.long
def test_bots_of_a_frozen_worker_are_marked_stale_and_ticked_by_another(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    world = World.make()
    candles = candles_of(wander(24, 200))
    prices = path_of(candles)
    bots = begin(world, prices)
    first = Worker(environment, "ticks", "--name", "first")
    second = Worker(environment, "ticks", "--name", "second")
    with running(first):
        wait_until_done(world)
        let_happen(world, *prices[1:100])
        wake.request_ticks(world.accounts())
        wait_for(is_mid_tick)
        first.signal(signal.SIGSTOP)
        # As if five minutes had gone by: no lease, and no transaction that stands still.
        end_what_was_frozen()
        with transaction():
            db.session.execute(
                text("update bots set last_tick_at = last_tick_at - interval '5 minutes'")
            )
        jobs.mark_stale()
        assert stale(world, bots) == bots
        assert caplog.text.count("bot_silent") == BOTS
        with running(second):
            wait_for(lambda: stale(world, bots) == [])
            first.signal(signal.SIGCONT)
            let_happen(world, *prices[100:])
            wait_until_done(world)
            assert second.stop() == 0
        assert first.stop() == 0
    for bot in bots:
        assert world.events(bot).count("bot_silent") == 1
    with transaction():
        db.session.execute(text("delete from bot_events where code = 'bot_silent'"))
    # Apart from that line it was as if nothing had happened.
    assert_undisturbed(world, bots, list(candles))


def stale(world: World, bots: list[int]) -> list[int]:
    return [bot for bot in bots if world.bot(bot).stale_since is not None]


@pytest.mark.long
def test_a_worker_ends_cleanly_in_the_middle_of_its_work(environment: dict[str, str]) -> None:
    world = World.make()
    candles = candles_of(wander(23, 200))
    prices = path_of(candles)
    bots = begin(world, prices)
    worker = Worker(environment, "ticks", "--name", "chaos")
    with running(worker):
        wait_for(is_mid_tick)
        assert worker.stop() == 0
        # It gave back what it held.
        assert not is_mid_tick()
        worker.start()
        wait_until_done(world)
        let_happen(world, *prices[1:])
        wait_until_done(world)
        assert worker.stop() == 0
    assert_undisturbed(world, bots, list(candles))
