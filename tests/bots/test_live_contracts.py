"""Grids on paper contracts: positions, shorts, liquidation, and books that tie to the wallet."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text

from app.bots import ties
from app.bots.ties import stands_of
from app.db import db
from app.exchanges.models import ExchangeAccount, PaperBalance, PaperStake
from app.markets.models import MarketRow
from app.transactions import transaction
from tests.bots.live_world import World, wander
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def world(database: None) -> World:
    world = World.make()
    with transaction():
        market = db.session.get_one(MarketRow, world.market_id)
        market.kind, market.fee_side = "linear", "quote"
    return world


def wallet(world: World) -> Decimal:
    with transaction():
        row = db.session.execute(select(PaperBalance.__table__)).one()
    return row.free + row.locked  # type: ignore[no-any-return]


def stake(world: World) -> Any:
    with transaction():
        return db.session.execute(select(PaperStake.__table__)).one()


def assert_wallet_agrees(world: World, bot: int) -> None:
    """See that profit is what the wallet has moved by, and the position ours, to the last unit."""
    metrics = world.metrics(bot)
    position = stake(world)
    assert position.base == metrics.base
    assert position.cost == metrics.base_cost
    signed = metrics.base_cost if metrics.base > 0 else -metrics.base_cost
    moved = metrics.quote + signed - metrics.deposited + metrics.withdrawn
    assert wallet(world) - Decimal(10_000) == moved
    number = world.bot(bot).account_id
    money = wallet(world)
    with transaction():
        stands = stands_of({number: {"USDT": money}})
    assert stands[number].ours["USDT"] == moved


@pytest.mark.parametrize("direction", few(["short", "long", "neutral"], 3))
def test_a_grid_on_a_contract_trades_and_ties_to_the_wallet(world: World, direction: str) -> None:
    bot = world.add_bot(direction=direction, leverage="3")
    world.play(100)
    world.tick()
    assert world.bot(bot).state == "active"
    assert stake(world).leverage == 3
    sign = {"long": 1, "short": -1, "neutral": 0}[direction]
    assert (stake(world).base > 0) - (stake(world).base < 0) == sign
    for price in wander(11, 60, step="4"):
        world.play(price)
        world.tick()
    assert world.metrics(bot).fills > 15
    assert world.metrics(bot).matched_trades > 2
    sides = {trade.side for trade in world.trades(bot) if trade.status == "closed"}
    assert sides <= ({"long"} if direction == "long" else {"short", "long"})
    assert_wallet_agrees(world, bot)


# With funding this is told of a long grid in test_live_funding.py.
@pytest.mark.long
def test_a_late_tick_trades_as_prompt_ones(world: World) -> None:
    prices = wander(4, 40, step="4")
    bots = [world.add_bot(direction="neutral", leverage="3") for _ in range(2)]
    world.play(100)
    world.tick()
    late, prompt = (world.bot(bot).account_id for bot in bots)
    from app.bots.live import tick_accounts

    for price in prices:
        world.play(price)
        tick_accounts([prompt], "place-1")
    tick_accounts([late], "place-1")
    first, second = ([(f.side, f.price, f.quantity, f.fee) for f in world.fills(b)] for b in bots)
    assert first == second
    assert len(first) > 10


def test_a_stop_with_a_sale_closes_a_short_by_buying(world: World) -> None:
    bot = world.add_bot(direction="short", leverage="3")
    world.play(100)
    world.tick()
    assert world.metrics(bot).base < 0
    world.change_bot(bot, state="stopping", stop_request="sell")
    for _ in range(2):
        world.tick()
    assert world.bot(bot).state == "stopped"
    assert world.metrics(bot).base == 0
    assert_wallet_agrees(world, bot)


@pytest.mark.long
def test_an_order_that_was_left_closes_its_short_trade_when_it_fills(world: World) -> None:
    bot = world.add_bot(direction="short", leverage="3")
    world.play(100)
    world.tick()
    world.change_bot(bot, state="stopping", stop_request="leave_orders")
    world.tick()
    before = world.metrics(bot)
    assert (world.bot(bot).state, before.matched_trades) == ("stopped", 0)
    world.play("93.9")
    world.tick()
    sums, trades = world.metrics(bot), world.trades(bot)
    assert before.base < sums.base < 0
    assert sums.matched_trades == len(trades) == sums.fills - before.fills
    assert sum(trade.quantity for trade in trades) == sums.base - before.base
    assert {(trade.status, trade.side) for trade in trades} == {("closed", "short")}
    assert sums.grid_profit == sum(trade.profit for trade in trades) > 0
    assert_wallet_agrees(world, bot)


@pytest.mark.long
def test_orders_that_a_liquidation_takes_with_it_are_no_news(world: World) -> None:
    account = world.add_account(Decimal(1_000))
    world.deposit = Decimal(1_000)
    bot = world.add_bot(account, direction="long", leverage="10", lower="70", upper="110")
    world.play(100)
    for _ in range(2):
        world.tick()
    world.play(99, 40)
    # Orders that stand are looked up by an audit.
    with transaction():
        db.session.get_one(ExchangeAccount, account).audited_at = None
    for _ in range(3):
        world.tick()
    assert world.bot(bot).state_reason["code"] == "liquidated"
    assert "order_cancelled_outside" not in world.events(bot)


def test_a_liquidation_is_booked_told_and_ends_the_bot(world: World) -> None:
    account = world.add_account(Decimal(1_000))
    world.deposit = Decimal(1_000)
    bot = world.add_bot(account, direction="long", leverage="10", lower="70", upper="110")
    world.play(100)
    world.tick()
    assert world.metrics(bot).base > 0
    world.play("80", "71", "40")
    for _ in range(3):
        world.tick()
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", "liquidated")
    assert world.events(bot).count("position_liquidated") == 1
    assert world.metrics(bot).base == stake(world).base == 0
    assert world.open_orders(bot) == []
    metrics = world.metrics(bot)
    assert wallet(world) - Decimal(1_000) == metrics.quote - metrics.deposited
    with transaction():
        db.session.execute(text("update exchange_accounts set fills_cursor = ''"))
    before = world.metrics(bot)
    world.tick()
    assert world.metrics(bot) == before


def test_a_stop_that_rests_covers_the_whole_position_and_only_reduces(world: World) -> None:
    bot = world.add_bot(direction="long", leverage="3", stop_loss="85", at_exit="sell")
    world.play(100)
    world.tick()
    for price in ("97.9", "95.9", "98.1"):
        world.play(price)
        world.tick()
        (stop,) = [o for o in world.open_orders(bot) if o.purpose == "protect"]
        assert stop.quantity == world.metrics(bot).base
    world.play("84")
    for _ in range(3):
        world.tick()
    assert world.bot(bot).state == "stopped"
    assert world.metrics(bot).base == 0
    assert_wallet_agrees(world, bot)


@pytest.mark.long
def test_fills_told_in_another_order_are_no_difference_and_a_real_one_is(world: World) -> None:
    bot = world.add_bot(direction="long", leverage="3")
    world.play(100)
    world.tick()
    for price in (97, 101, 94, 101):
        world.play(price)
        world.tick()
    audit(world)
    # The venue had a buy before the last sale; we were told of it after that.
    late = next(fill for fill in world.fills(bot) if fill.side == "sell")
    number = world.bot(bot).account_id
    with transaction():
        change = "update fills set at = at + interval '1 hour' where id = :id"
        db.session.execute(text(change), {"id": late.id})
        (row,) = ties.stands_of({number: {}}).values()
        moved = ties._in_order(number, row).ours["USDT"] - row.ours["USDT"]
        assert moved != 0
        db.session.execute(text("update paper_balances set free = free + :n"), {"n": moved})
    for _ in range(3):
        audit(world)
    assert "books_differ" not in world.events(bot)
    with transaction():
        db.session.execute(text("update paper_balances set free = free + 1"))
    for _ in range(3):
        audit(world)
    assert world.events(bot).count("books_differ") == 1


def audit(world: World) -> None:
    with transaction():
        db.session.execute(text("update exchange_accounts set audited_at = null"))
    world.tick()
