"""One live tick on the paper venue: orders, fills, states, log, and what happens twice."""

from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from app.bots import live
from app.bots.live import asking, tick_accounts
from app.db import utc_now
from app.trading import engine
from app.trading.backtest import BacktestResult, run_backtest
from app.trading.market import FeeSide, Market
from tests.bots.live_world import GRID, World, candles_of, path_of, wander
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def world(database: None) -> World:
    """Return a world with a pair and a person."""
    return World.make()


# --- the ladder -----------------------------------------------------------------------------------


def test_a_started_grid_buys_coins_and_places_its_ladder(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    assert world.tick().failed == 0
    assert world.bot(bot).state == "active"
    assert world.bot(bot).started_at is not None
    orders = world.open_orders(bot)
    assert len(orders) == 10
    assert {order.side for order in orders} == {"buy", "sell"}
    assert world.orders(bot)[0].purpose == "entry"
    assert all(order.exchange_order_id and order.sent_at for order in orders)
    world.assert_books_agree()


def test_a_tick_without_news_changes_no_order_and_no_fill(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    before = world.orders(bot), world.fills(bot), world.metrics(bot), world.events(bot)
    for _ in range(3):
        assert world.tick().sent == 0
    assert (world.orders(bot), world.fills(bot), world.metrics(bot), world.events(bot)) == before


def test_a_bot_waits_for_its_market_to_have_a_price(world: World) -> None:
    bot = world.add_bot()
    world.tick()
    world.tick()
    assert world.bot(bot).state == "starting"
    assert world.bot(bot).last_error == "no_price"
    assert world.events(bot) == ["no_price"]
    world.play(100)
    world.tick()
    assert world.bot(bot).state == "active"
    assert world.bot(bot).last_error is None


def test_a_plan_that_cannot_work_any_more_ends_in_an_error_with_its_code(world: World) -> None:
    bot = world.add_bot()
    world.play(150)
    world.tick()
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("error", "range_excludes_price")
    assert world.orders(bot) == []
    assert row.next_tick_at is None


def test_a_filled_level_is_answered_and_the_round_trip_is_told(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9", "98.5")
    world.tick()
    (trade,) = world.trades(bot)
    assert (trade.status, trade.entry_price, trade.exit_price) == ("open", 98, None)
    world.play("100.1")
    world.tick()
    (trade,) = world.trades(bot)
    assert (trade.status, trade.entry_price, trade.exit_price) == ("closed", 98, 100)
    assert trade.profit == world.metrics(bot).grid_profit
    logic = trade.logic
    ids = {order.id: order.client_id for order in world.orders(bot)}
    assert logic["orders"] == [ids[trade.entry_order_id], ids[trade.exit_order_id]]
    assert (logic["code"], logic["exit"]["code"]) == ("grid_start", "answers_buy")
    assert logic["config_version"] == 1
    assert logic["tick_id"]


def test_coins_of_the_first_purchase_close_as_round_trips_too(world: World) -> None:
    bot = world.add_bot()
    world.play(100, "102.5")
    world.tick()
    # Both prices came before the bot started; the level above the price stays empty.
    assert world.trades(bot) == []
    world.play("106.5")
    world.tick()
    (trade,) = world.trades(bot)
    assert (trade.status, trade.exit_price, trade.logic["code"]) == (
        "closed",
        106,
        "first_purchase",
    )
    assert trade.profit == world.metrics(bot).grid_profit


# --- late is prompt is back-test ------------------------------------------------------------------


def paper_market(fee_side: FeeSide = FeeSide.RECEIVED_ASSET) -> Market:
    """Return the rules of the world's pair."""
    return Market(
        "AAA/USDT",
        "AAA",
        "USDT",
        tick=Decimal("0.01"),
        lot=Decimal("0.0001"),
        min_quantity=Decimal("0.0001"),
        min_notional=Decimal(1),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
        fee_side=fee_side,
    )


def assert_same(world: World, bot: int, expected: BacktestResult) -> None:
    """Compare a bot's books with those of a back-test, order by order and to the last unit."""
    fills = [
        (f.side, f.price, f.quantity, f.fee, f.fee_currency, f.maker) for f in world.fills(bot)
    ]
    assert fills == [
        (f.side.value, f.price, f.quantity, f.fee, f.fee_currency, f.maker) for f in expected.fills
    ]
    assert [_logical(order) for order in world.orders(bot)] == [
        (
            o.key.purpose.value, o.key.level, o.key.side.value, o.key.cycle, o.attempt, o.price,
            o.quantity, o.status.value, o.filled, o.value, o.fee_base, o.fee_quote,
        )
        for o in expected.orders
    ]  # fmt: skip
    metrics, position = world.metrics(bot), expected.books.position
    assert (metrics.quote, metrics.base, metrics.base_cost, metrics.fees, metrics.fills) == (
        position.quote,
        position.base,
        position.base_cost,
        position.fees,
        position.fills,
    )
    assert metrics.grid_profit == expected.books.grid_profit
    assert metrics.matched_trades == len(expected.matches)
    assert metrics.hold_base == expected.books.hold_base
    closed = [trade for trade in world.trades(bot) if trade.status == "closed"]
    if expected.finished is None:
        assert sum(trade.profit for trade in closed) == metrics.grid_profit
    assert world.events(bot)[: len(expected.events)] == [line.code for line in expected.events]
    world.assert_books_agree()


def _logical(order: Any) -> tuple[Any, ...]:
    return (
        order.purpose, order.level, order.side, order.cycle, order.attempt, order.price,
        order.quantity, order.status, order.filled, order.value, order.fee_base, order.fee_quote,
    )  # fmt: skip


# So many ticks bring any of these stories to rest, each at its next news.
MOST_TICKS = 3_000


def play_late(world: World, prices: list[Decimal], seed: int) -> None:
    """Let prices happen; ticks come now at once, now much later, from changing workers."""
    random = Random(seed)
    world.play(prices[0])
    world.tick()
    rest = prices[1:]
    while rest:
        late = random.choice([1, 1, 2, 5, 30, 200])
        world.play(*rest[:late])
        rest = rest[late:]
        # A tick that takes too long leaves the rest to the next one.
        for _ in range(MOST_TICKS):
            if not world.tick(holder=f"place-{random.randint(1, 3)}").unfinished:
                break
        else:
            pytest.fail(f"never at rest after {len(prices) - len(rest)} prices")


@pytest.mark.long
@pytest.mark.parametrize("seed", few(range(8), 8))
def test_late_ticks_trade_exactly_as_the_back_test(world: World, seed: int) -> None:
    candles = candles_of(wander(seed, 400))
    expected = run_backtest("grid", GRID, paper_market(), candles, Decimal(1000))
    assert len(expected.fills) > 20
    bot = world.add_bot()
    play_late(world, path_of(candles), seed)
    assert_same(world, bot, expected)


@pytest.mark.parametrize(
    ("params", "finish"),
    few(
        [
            ({"stop_loss": "93", "at_exit": "sell"}, "stop_loss_reached"),
            ({"take_profit": "106", "at_exit": "sell"}, "take_profit_reached"),
            (
                {"take_profit": "106", "at_exit": "keep", "spacing": "geometric"},
                "take_profit_reached",
            ),
            ({"upper": "104", "lower": "96", "grids": 4, "sizing": "equal_quote"}, None),
        ],
        4,
    ),
)
def test_exits_and_excursions_are_the_same_late_as_in_the_back_test(
    world: World, params: dict[str, Any], finish: str | None
) -> None:
    candles = candles_of(wander(3, 400, step="2.4"))
    given = {**GRID, **params}
    expected = run_backtest("grid", given, paper_market(), candles, Decimal(1000))
    assert expected.finished == finish
    bot = world.add_bot(**params)
    play_late(world, path_of(candles), 5)
    assert_same(world, bot, expected)
    row = world.bot(bot)
    if finish:
        assert (row.state, row.state_reason["code"]) == ("stopped", finish)
        assert world.open_orders(bot) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("params", "finish"),
    [
        ({"stop_loss": "93", "at_exit": "sell"}, "stop_loss_reached"),
        ({"take_profit": "106", "at_exit": "sell"}, "take_profit_reached"),
        ({"upper": "104", "lower": "96", "grids": 4, "sizing": "equal_quote"}, None),
    ],
)
def test_a_tick_that_runs_out_of_time_passes_no_price_by(
    world: World, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], finish: str | None
) -> None:
    monkeypatch.setattr(live, "LONGEST_TICK_S", 0.0)
    candles = candles_of(wander(3, 250, step="2.4"))
    given = {**GRID, **params}
    expected = run_backtest("grid", given, paper_market(), candles, Decimal(1000))
    assert expected.finished == finish
    bot = world.add_bot(**params)
    play_late(world, path_of(candles), 5)
    assert_same(world, bot, expected)


def test_bots_on_one_account_do_not_touch_each_other(world: World) -> None:
    account = world.add_account()
    bots = [world.add_bot(account), world.add_bot(account, grids=20), world.add_bot(grids=5)]
    prices = wander(11, 150)
    play_late(world, prices, 1)
    for bot in bots:
        assert len(world.fills(bot)) > 5
        open_now = len(world.open_orders(bot))
        assert open_now == world.bot(bot).strategy_state["slots"].__len__()
    world.assert_books_agree()


# --- stopping -------------------------------------------------------------------------------------


def run_a_while(world: World, **params: Any) -> int:
    """Return a bot that has traded and stands somewhere inside its range."""
    bot = world.add_bot(**params)
    world.play(100)
    world.tick()
    world.play("97.9", "95.9", "98.1")
    world.tick()
    return bot


def stop(world: World, bot: int, how: str) -> None:
    """Ask for a stop as the service does."""
    world.change_bot(bot, state="stopping", stop_request=how, next_tick_at=utc_now())


def test_stop_and_keep_cancels_every_order_and_keeps_the_coins(world: World) -> None:
    bot = run_a_while(world)
    stop(world, bot, "keep")
    world.tick()
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"], row.stop_request) == (
        "stopped",
        "stop_requested",
        None,
    )
    assert world.open_orders(bot) == []
    assert world.metrics(bot).base > 0
    assert row.next_tick_at is None
    world.assert_books_agree()


def test_stop_and_sell_leaves_no_coins_and_closes_the_open_round_trips(world: World) -> None:
    bot = run_a_while(world)
    assert any(trade.status == "open" for trade in world.trades(bot))
    stop(world, bot, "sell")
    world.tick()
    assert world.bot(bot).state == "stopped"
    assert world.metrics(bot).base < Decimal("0.0001") * 2
    assert all(trade.status == "closed" for trade in world.trades(bot))
    assert world.orders(bot)[-1].purpose == "close"
    world.assert_books_agree()


def test_orders_left_at_the_venue_are_still_booked_when_they_fill(world: World) -> None:
    bot = run_a_while(world)
    stop(world, bot, "leave_orders")
    world.tick()
    assert world.bot(bot).state == "stopped"
    assert len(world.open_orders(bot)) == 10
    fills = len(world.fills(bot))
    world.play("93.9")
    world.tick()
    assert len(world.fills(bot)) > fills
    # Nobody answers them.
    assert len(world.open_orders(bot)) < 10
    world.assert_books_agree()


def test_an_order_left_at_the_venue_closes_its_round_trip_when_it_fills(world: World) -> None:
    bot = run_a_while(world)
    stop(world, bot, "leave_orders")
    world.tick()
    waiting = [trade.id for trade in world.trades(bot) if trade.status == "open"]
    world.play("93.9", "112")
    world.tick()
    world.tick()
    trades = world.trades(bot)
    closed = [trade for trade in trades if trade.status == "closed"]
    assert waiting
    assert set(waiting) <= {trade.id for trade in closed}
    # What was bought after the stop is held: no sell answers it.
    held = [trade.quantity for trade in trades if trade.status == "open"]
    assert held
    assert abs(sum(held) - world.metrics(bot).base) < Decimal("0.0001") * 20
    sums = world.metrics(bot)
    assert sums.matched_trades == len(closed)
    assert sums.grid_profit == sum(trade.profit for trade in closed)
    assert "level_sold" in world.events(bot)[world.events(bot).index("bot_stopped") :]
    told = world.events(bot)
    world.tick()
    assert (world.trades(bot), world.metrics(bot), world.events(bot)) == (trades, sums, told)
    world.assert_books_agree()


def test_a_restart_first_takes_back_what_the_start_before_has_left(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    stop(world, bot, "leave_orders")
    world.tick()
    world.restart_bot(bot)
    world.tick()
    assert world.bot(bot).state == "active"
    orders = world.open_orders(bot)
    assert len(orders) == 10
    assert {order.epoch for order in orders} == {2}
    world.assert_books_agree()


def test_an_emergency_cancels_all_sells_all_and_locks(world: World) -> None:
    bot = run_a_while(world)
    stop(world, bot, "emergency")
    world.tick()
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("locked", "emergency_stop")
    assert world.open_orders(bot) == []
    assert world.metrics(bot).base < Decimal("0.0001") * 2
    world.tick()
    assert world.bot(bot).state == "locked"
    world.assert_books_agree()


@pytest.mark.parametrize("how", ["keep", "sell", "leave_orders", "emergency"])
def test_a_bot_stopped_before_its_first_tick_places_nothing(world: World, how: str) -> None:
    bot = world.add_bot()
    world.play(100)
    stop(world, bot, how)
    world.tick()
    assert world.bot(bot).state == ("locked" if how == "emergency" else "stopped")
    assert world.orders(bot) == []


def test_a_bot_that_could_not_start_can_still_be_stopped(world: World) -> None:
    bot = world.add_bot()
    world.play(150)
    stop(world, bot, "keep")
    world.tick()
    assert world.bot(bot).state == "stopped"


def test_a_reason_given_with_the_stop_is_kept(world: World) -> None:
    bot = run_a_while(world)
    reason = {"code": "stopped_by_staff", "values": {"why": "abuse"}}
    world.change_bot(bot, state="stopping", stop_request="keep", state_reason=reason)
    world.tick()
    assert world.bot(bot).state_reason == reason


def test_stop_start_stop_start_makes_one_chain_of_orders(world: World) -> None:
    bot = world.add_bot()
    world.play(100)
    world.tick()
    for _ in range(3):
        stop(world, bot, "keep")
        world.tick()
        world.restart_bot(bot)
        world.tick()
    orders = world.orders(bot)
    assert len(world.open_orders(bot)) == 10
    assert world.bot(bot).epoch == 4
    assert len({order.client_id for order in orders}) == len(orders)
    # Coins that it kept need not be bought again.
    assert [order.purpose for order in orders].count("entry") == 1
    world.assert_books_agree()


# --- failures -------------------------------------------------------------------------------------


def test_a_failing_bot_spoils_nothing_for_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = world.add_bot(), world.add_bot()
    world.play(100)
    world.tick()
    world.play("97.9")
    real = engine.tick

    def fail_for_one(strategy: Any, view: Any, limits: Any) -> Any:
        if view.orders and world.bot_of_order(view.orders[0].client_id) == bad:
            raise ZeroDivisionError
        return real(strategy, view, limits)

    world.remember_owners()
    with monkeypatch.context() as patch:
        patch.setattr(asking, "tick", fail_for_one)
        for failures in range(1, 5):
            report = world.tick()
            assert report.failed == 1
            assert world.bot(bad).state == "active"
            assert world.bot(bad).failures == failures
            assert world.bot(bad).last_error == "unexpected"
        world.tick()
    assert world.bot(bad).state == "error"
    assert world.bot(bad).state_reason["code"] == "unexpected"
    assert world.bot(good).state == "active"
    assert len(world.trades(good)) == 1
    # Its fill is booked all the same: fills are facts.
    assert len(world.fills(bad)) == len(world.fills(good))
    # Nobody would answer the next ones: its orders are taken back, its coins stay.
    assert world.open_orders(bad) == []
    assert world.metrics(bad).base > 1
    world.restart_bot(bad)
    world.tick()
    assert world.bot(bad).state == "active"
    world.assert_books_agree()


def test_a_bot_that_failed_once_goes_on_where_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = run_a_while(world)
    world.play("93.9")
    with monkeypatch.context() as patch:
        patch.setattr(asking, "tick", _always_fail)
        world.tick()
    pause = world.bot(bot).next_tick_at - utc_now()
    assert pause > timedelta(seconds=60)
    world.tick()
    assert world.bot(bot).failures == 0
    assert len(world.open_orders(bot)) == 10
    world.assert_books_agree()


def _always_fail(*_args: object) -> Any:
    raise RuntimeError("no")


def test_values_that_break_a_statement_stop_only_their_own_account(world: World) -> None:
    good, bad = world.add_bot(), world.add_bot()
    world.play(100)
    world.tick()
    world.change_bot(bad, tick_number=2**63 - 1)
    world.play("97.9")
    for failures in range(1, 5):
        report = world.tick()
        assert report.put_off == {world.bot(bad).account_id}
        assert (world.bot(bad).failures, world.bot(bad).state) == (failures, "active")
        assert len(world.trades(good)) == 1
    world.tick()
    assert (world.bot(bad).state, world.bot(bad).state_reason["code"]) == ("error", "unexpected")
    world.change_bot(bad, tick_number=0)
    world.restart_bot(bad)
    world.tick()
    assert world.bot(bad).state == "active"
    world.assert_books_agree()


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [5, 15, 60])
def test_the_next_tick_is_due_within_the_period_and_ticks_are_counted(
    world: World, period: int
) -> None:
    bot = world.add_bot()
    world.change_bot(bot, tick_period_s=period)
    world.play(100)
    world.tick()
    row = world.bot(bot)
    assert timedelta(0) < row.next_tick_at - row.last_tick_at <= timedelta(seconds=period - 2)
    number = row.tick_number
    tick_accounts([row.account_id], "place-2")
    assert world.bot(bot).tick_number == number + 1
