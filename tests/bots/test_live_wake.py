"""Who is woken when: prices, wishes, sweeps, and what happens when hints are lost."""

import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis
from rq import Worker
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

import worker
from app import events
from app.bots import jobs, wake
from app.bots.models import BotEquity
from app.db import db, utc_now
from app.errors import Conflict
from app.exchanges.events import AccountClosing, AccountSwitchedOff
from app.exchanges.leases import acquire, release
from app.extensions import redis_client
from app.markets.events import Move, PricesMoved
from app.queues import QueueName, queue
from app.trading.market import Triggers
from app.transactions import transaction
from tests.bots.live_world import World

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def world(database: None) -> World:
    """Return a world with a pair."""
    return World.make()


@pytest.fixture
def broken_redis(redis_url: str) -> Iterator[None]:
    """Take Redis away."""
    redis_client.configure("redis://127.0.0.1:1/0")
    try:
        yield
    finally:
        redis_client.configure(redis_url)


def move(market_id: int, low: str, high: str) -> None:
    """Announce that a price moved."""
    last = Decimal(high)
    events.publish(PricesMoved((Move(market_id, Decimal(low), last, last, 1),)))


def waiting() -> int:
    """Return how many jobs wait on the queue of ticks."""
    return queue(QueueName.TICKS).count


def at(below: str | None, above: str | None) -> Triggers:
    """Make triggers."""
    return Triggers(Decimal(below) if below else None, Decimal(above) if above else None)


# --- the index of prices --------------------------------------------------------------------------


def test_a_price_wakes_only_those_whose_trigger_it_reached(redis_db: Redis) -> None:
    wake.file_triggers([(1, 10, 100, at("90", "110")), (1, 11, 101, at("80", "120"))])
    assert wake.pop_crossed(1, Decimal("95"), Decimal("105")) == set()
    assert wake.pop_crossed(1, Decimal("90"), Decimal("95")) == {10}
    assert wake.pop_crossed(1, Decimal("70"), Decimal("130")) == {10, 11}
    assert wake.pop_crossed(1, Decimal("70"), Decimal("130")) == set()


def test_markets_are_apart_and_a_bot_can_be_taken_out(redis_db: Redis) -> None:
    wake.file_triggers([(1, 10, 100, at("90", "110")), (2, 10, 101, at("90", "110"))])
    wake.file_triggers([(1, 10, 100, Triggers())])
    assert wake.pop_crossed(1, Decimal(1), Decimal(1000)) == set()
    assert wake.pop_crossed(2, Decimal(1), Decimal(1000)) == {10}


@pytest.mark.parametrize("price", ["0.000012345678901234", "98765432109.87654321", "0.1"])
def test_a_price_exactly_at_the_trigger_wakes_whatever_its_digits(
    redis_db: Redis, price: str
) -> None:
    for triggers in (at(price, None), at(None, price)):
        wake.file_triggers([(1, 10, 100, triggers)])
        assert wake.pop_crossed(1, Decimal(price), Decimal(price)) == {10}


# --- the set of waiting accounts ------------------------------------------------------------------


def test_many_wishes_make_one_job_and_each_account_waits_once(redis_db: Redis) -> None:
    for _ in range(5):
        wake.request_ticks([1, 2, 3])
    assert waiting() == 1
    assert wake.count_due() == 3


def test_a_wish_after_the_worker_looked_makes_a_new_job(redis_db: Redis) -> None:
    wake.request_ticks([1])
    wake.answer_call()
    taken, mark = wake.take_due(10)
    assert taken == [1]
    wake.request_ticks([2])
    assert waiting() == 2
    wake.finish(taken, mark)
    assert wake.take_due(10)[0] == [2]


def test_a_wish_for_an_account_that_is_being_ticked_outlives_the_tick(redis_db: Redis) -> None:
    wake.request_ticks([1])
    wake.answer_call()
    taken, mark = wake.take_due(10)
    wake.request_ticks([1])
    wake.finish(taken, mark)
    assert wake.take_due(10)[0] == [1]


def test_a_finished_account_waits_no_more_and_a_dead_workers_shows_up_again(
    redis_db: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    wake.request_ticks([1, 2])
    taken, mark = wake.take_due(10)
    assert sorted(taken) == [1, 2]
    wake.finish([1], mark)
    assert wake.take_due(10)[0] == []
    later = time.time() + wake.TAKEN_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert wake.take_due(10)[0] == [2]


def test_without_redis_wishes_are_lost_and_nothing_breaks(broken_redis: None) -> None:
    wake.request_ticks([1])
    wake.put_back([1])
    wake.file_triggers([(1, 1, 1, at("1", "2"))])
    move(1, "1", "2")
    jobs.enqueue_due()


# --- jobs -----------------------------------------------------------------------------------------


MOST_JOBS = 1_000


def run_waiting() -> int:
    """Do what a worker would do with the jobs that wait; return how many there were."""
    ticks = queue(QueueName.TICKS)
    done = 0
    while ids := ticks.job_ids:
        assert done < MOST_JOBS, "each job asks for another one"
        for number in ids:
            job = ticks.fetch_job(number)
            ticks.remove(number)
            if job is not None:
                job.func()
                job.delete()
            done += 1
    return done


def test_a_price_that_moves_wakes_the_bot_and_its_fill_is_booked(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    wake.request_ticks(world.accounts())
    run_waiting()
    assert world.bot(bot).state == "active"
    world.play("99.2")
    move(world.market_id, "99.2", "99.2")
    assert run_waiting() == 0
    world.play("97.9")
    move(world.market_id, "97.9", "97.9")
    assert run_waiting() == 1
    assert len(world.trades(bot)) == 1


def test_a_price_that_came_before_the_triggers_were_filed_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = world.add_bot()
    world.play(100)
    real = wake.file_triggers

    def file_after_a_price(entries: Any) -> None:
        entries = list(entries)
        world.play("97.9")
        move(world.market_id, "97.9", "97.9")
        monkeypatch.setattr(wake, "file_triggers", real)
        real(entries)

    monkeypatch.setattr(wake, "file_triggers", file_after_a_price)
    wake.request_ticks(world.accounts())
    run_waiting()
    assert len(world.trades(bot)) == 1


def test_the_sweep_finds_whoever_is_due_and_nobody_else(world: World) -> None:
    due, later, stopped = world.add_bot(), world.add_bot(), world.add_bot()
    world.play(100)
    world.change_bot(later, next_tick_at=utc_now() + timedelta(seconds=30))
    world.change_bot(stopped, state="stopped")
    jobs.enqueue_due()
    assert set(wake.take_due(10)[0]) == {world.bot(due).account_id}


def test_after_a_flush_the_sweep_fills_the_index_again(world: World, redis_db: Redis) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    redis_db.flushdb()
    jobs.enqueue_due()
    row = world.bot(bot)
    assert wake.pop_crossed(world.market_id, Decimal("98"), Decimal("98")) == {row.account_id}
    assert wake.pop_crossed(world.market_id, Decimal("102"), Decimal("102")) == {row.account_id}
    assert wake.pop_crossed(world.market_id, Decimal("99"), Decimal("101")) == set()


def test_a_worker_stands_in_the_list_again_after_a_flush(redis_db: Redis) -> None:
    own = worker.TickWorker([queue(QueueName.TICKS)], connection=redis_db, name="ticks-of-a-test")
    own.register_birth()  # type: ignore[no-untyped-call]
    redis_db.flushdb()
    own.heartbeat()
    (listed,) = Worker.all(connection=redis_db)
    assert (listed.name, listed.queue_names()) == (own.name, [QueueName.TICKS.value])
    own.register_death()  # type: ignore[no-untyped-call]


def test_orders_left_by_a_stopped_bot_are_looked_at_now_and_then(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.change_bot(bot, state="stopping", stop_request="leave_orders")
    world.tick()
    jobs.enqueue_due()
    assert wake.take_due(10)[0] == []
    world.change_bot(bot, last_tick_at=utc_now() - timedelta(minutes=2))
    jobs.enqueue_due()
    assert wake.take_due(10)[0] == [world.bot(bot).account_id]


def test_an_account_held_by_another_worker_is_ticked_when_that_one_is_done(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    account = world.bot(bot).account_id
    with transaction():
        tokens = acquire([account], "place-9")
    wake.request_ticks([account])
    run_waiting()
    assert world.bot(bot).state == "starting"
    # It waits on, and the other worker's own end calls for it.
    assert wake.count_due() == 1
    with transaction():
        release(tokens)
    wake.finish([account], 1.0)
    run_waiting()
    assert world.bot(bot).state == "active"


def test_with_the_database_away_accounts_wait_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_bot()
    account = world.accounts()[0]

    def away(*_args: object) -> Any:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(jobs, "PAUSE_WHEN_AWAY_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "tick_accounts", away)
        wake.request_ticks([account])
        jobs.tick_due()
    time.sleep(0.06)
    assert wake.take_due(10)[0] == [account]


def test_value_curves_get_a_point_of_every_running_bot(world: World) -> None:
    bot, stopped = world.add_bot(), world.add_bot()
    world.play(100)
    world.tick()
    world.change_bot(stopped, state="stopped")
    jobs.sample_equity()
    jobs.sample_equity()
    with transaction():
        points = db.session.execute(select(BotEquity.__table__)).all()
    assert {point.bot_id for point in points} == {bot}
    metrics = world.metrics(bot)
    assert points[0].equity == metrics.quote + metrics.base * 100
    assert points[0].hold == metrics.hold_base * 100


# --- accounts -------------------------------------------------------------------------------------


def test_an_account_with_a_running_bot_can_not_be_closed(world: World) -> None:
    bot = world.add_bot()
    account = world.bot(bot).account_id
    with pytest.raises(Conflict, match="bot_runs_on_account"), transaction():
        events.publish(AccountClosing(account))
    world.change_bot(bot, state="stopped")
    with transaction():
        events.publish(AccountClosing(account))


def test_orders_that_were_left_keep_the_account_open(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.change_bot(bot, state="stopping", stop_request="leave_orders")
    world.tick()
    account = world.bot(bot).account_id
    with pytest.raises(Conflict, match="account_has_orders"), transaction():
        events.publish(AccountClosing(account))


def test_switching_an_account_off_stops_its_bots_and_says_why(world: World) -> None:
    bot, other = world.add_bot(), world.add_bot()
    world.play(100)
    world.tick()
    account = world.bot(bot).account_id
    with transaction():
        events.publish(AccountSwitchedOff(account))
    run_waiting()
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", "key_off")
    assert world.open_orders(bot) == []
    assert world.bot(other).state == "active"


def test_a_worker_that_begins_again_in_its_place_has_its_accounts_ticked_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [world.add_account() for _ in range(3)]
    monkeypatch.setattr(jobs._Place, "name", "place-1")
    wake.request_ticks(accounts)
    taken, _ = wake.take_due(10)
    with transaction():
        acquire(taken, "place-1")
    # Killed here: nobody may tick them, and nobody looks before the mark of the worker ends.
    assert wake.take_due(10)[0] == []
    jobs.resume()
    assert sorted(wake.take_due(10)[0]) == sorted(accounts)
    with transaction():
        assert set(acquire(accounts, "place-2")) == set(accounts)


def test_the_sweep_leaves_accounts_their_pause_and_their_worker(world: World) -> None:
    bot = world.add_bot()
    account = world.bot(bot).account_id
    wake.put_back([account], 10)
    jobs.enqueue_due()
    assert wake.take_due(10)[0] == []
    wake.request_ticks([account])
    assert wake.take_due(10)[0] == [account]
    jobs.enqueue_due()
    assert wake.take_due(10)[0] == []


def test_accounts_that_wait_for_a_moment_before_the_clock_was_set_back_are_taken_at_once(
    world: World,
) -> None:
    pause = {"1": time.time() + 3600, "2": time.time() + jobs.PAUSE_WHEN_PUT_OFF_S}
    redis_client.client.zadd(wake.DUE, pause)
    wake.remind([1, 2])
    assert wake.take_due(10)[0] == [1]
