"""Bots that nobody looks at: marked, started anew, given up with a word to staff and owner."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.bots import jobs, silence, wake
from app.bots.models import BotState
from app.db import db, utc_now
from app.exchanges.leases import acquire, release, renew
from app.logs import mask_secrets
from app.notifications.queries import caught_mails
from app.trades.models import OrderRow
from app.transactions import transaction
from tests.bots.live_world import World
from tests.bots.test_live_wake import run_waiting
from tests.long import few

LONG_AGO = timedelta(minutes=5)


@pytest.fixture
def world(database: None) -> World:
    return World.make()


def freeze(world: World, bot: int) -> None:
    """Take a bot's heartbeat away."""
    world.change_bot(
        bot, last_tick_at=utc_now() - LONG_AGO, next_tick_at=utc_now() + timedelta(days=1)
    )


def silent_bot(world: World) -> int:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    freeze(world, bot)
    return bot


def sweep(world: World, bot: int, *, with_worker: bool = True) -> None:
    """Let the sweep come once more, a while after the last, with a worker that looked meanwhile."""
    with transaction():
        db.session.execute(
            text("update bots set restarted_at = now() - interval '1 minute' where id = :id"),
            {"id": bot},
        )
    if with_worker:
        wake.answer_call()
    jobs.mark_stale()


def mails() -> list[tuple[str, str, str]]:
    with transaction():
        return [(m.template, m.language, m.subject + "\n" + m.body) for m in caught_mails()]


def test_silent_bots_are_marked_told_and_started_anew_and_their_tick_takes_the_mark_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bot, fresh = world.add_bot(), world.add_bot()
    world.play(100)
    world.tick()
    freeze(world, bot)
    for _ in range(2):
        jobs.mark_stale()
    assert world.bot(bot).stale_since is not None
    assert world.bot(fresh).stale_since is None
    assert world.events(bot).count("bot_silent") == 1
    assert f"bot_silent bot={bot}" in caplog.text
    assert world.bot(bot).next_tick_at <= utc_now()
    run_waiting()
    assert (world.bot(bot).stale_since, world.bot(bot).state) == (None, "active")
    assert mails() == []


def test_a_bot_that_stays_silent_through_all_tries_is_given_up_and_its_owner_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bot = silent_bot(world)
    account = world.bot(bot).account_id
    # Somebody holds the account and does nothing: no worker gets at it, however often it is due.
    with transaction():
        tokens = acquire([account], "stuck")
    jobs.mark_stale()
    for tries in range(1, silence.MOST_RESTARTS):
        with transaction():
            assert renew(tokens)
        run_waiting()
        sweep(world, bot)
        assert (world.bot(bot).restarts, world.bot(bot).state) == (tries, "active")
    assert mails() == []
    for _ in range(3):
        sweep(world, bot)
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == (BotState.ERROR.value, "bot_given_up")
    assert world.events(bot).count("bot_gave_up") == 1
    assert caplog.text.count(f"bot_given_up bot={bot}") == 1
    assert caplog.text.count(f"bot_in_error bot={bot}") == 1
    line = next(each for each in caplog.messages if each.startswith("bot_in_error"))
    assert mask_secrets(line).endswith("reason=bot_given_up")
    (template, language, mail) = mails()[0]
    assert len(mails()) == 1
    assert (template, language) == ("bot_in_error", "en")
    assert f"{silence.MOST_RESTARTS} new starts did not help" in mail
    assert f"/bots/{bot}" in mail
    # Whoever gets at the account first takes its orders back.
    with transaction():
        release(tokens)
    world.change_bot(bot, last_tick_at=utc_now() - LONG_AGO)
    jobs.enqueue_due()
    run_waiting()
    with transaction():
        standing = db.session.query(OrderRow).filter_by(bot_id=bot, status="OPEN").count()
    assert (standing, world.bot(bot).state) == (0, "error")


@pytest.mark.long
def test_while_no_worker_looks_at_all_no_bot_is_to_blame(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bot = silent_bot(world)
    for _ in range(silence.MOST_RESTARTS + 3):
        sweep(world, bot, with_worker=False)
    row = world.bot(bot)
    assert (row.state, row.restarts) == ("active", 0)
    assert row.stale_since is not None
    assert "bots_not_ticked bots=1" in caplog.text
    run_waiting()
    assert world.bot(bot).stale_since is None


def test_an_exchange_that_is_away_ends_no_bot(world: World) -> None:
    bot = silent_bot(world)
    for _ in range(silence.MOST_RESTARTS + 3):
        wake.note_away(world.bot(bot).account_id)
        sweep(world, bot)
    assert (world.bot(bot).state, world.bot(bot).restarts) == ("active", 0)


@pytest.mark.parametrize("request_", few(["keep", "emergency"], 2))
def test_a_bot_that_was_asked_to_stop_is_never_given_up(world: World, request_: str) -> None:
    bot = silent_bot(world)
    world.change_bot(bot, state="stopping", stop_request=request_)
    for _ in range(silence.MOST_RESTARTS + 3):
        sweep(world, bot)
    assert (world.bot(bot).state, world.bot(bot).stop_request) == ("stopping", request_)
    run_waiting()
    assert world.bot(bot).state == ("locked" if request_ == "emergency" else "stopped")


@pytest.mark.long
def test_tries_of_an_earlier_silence_do_not_count(world: World) -> None:
    bot = silent_bot(world)
    jobs.mark_stale()
    for _ in range(3):
        sweep(world, bot)
    assert world.bot(bot).restarts == 3
    world.tick()
    freeze(world, bot)
    jobs.mark_stale()
    assert world.bot(bot).restarts == 0


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "an error of ours repeated"),
        ("ru", "повторялась наша ошибка"),
        ("pt_BR", "um erro nosso"),
    ],
)
def test_whoever_notices_it_the_owner_of_a_bot_in_error_gets_a_mail_in_their_language(
    world: World, language: str, words: str
) -> None:
    bot = world.add_bot()
    with transaction():
        db.session.execute(text("update profiles set language = :l"), {"l": language})
    reason: dict[str, Any] = {"code": "unexpected", "values": {}}
    world.change_bot(bot, state="error", state_since=utc_now(), state_reason=reason)
    for _ in range(2):
        jobs.mark_stale()
    assert [(m[0], m[1]) for m in mails()] == [("bot_in_error", language)]
    assert words in mails()[0][2]
    # The next time it gives up is another one.
    world.change_bot(bot, state_since=utc_now())
    jobs.mark_stale()
    assert len(mails()) == 2


def test_what_happened_long_ago_and_what_is_deleted_is_not_told(world: World) -> None:
    old, deleted = world.add_bot(), world.add_bot()
    world.change_bot(old, state="error", state_since=utc_now() - timedelta(days=2))
    world.change_bot(deleted, state="error", state_since=utc_now(), deleted_at=utc_now())
    jobs.mark_stale()
    assert mails() == []
