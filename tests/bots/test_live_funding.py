"""Funding and liquidation of grids on paper contracts: both books, late looks, back-test."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from app.bots.live import tick_accounts
from app.bots.models import Bot
from app.bots.upkeep import find_due_accounts
from app.db import db, utc_now
from app.exchanges.audits import ask_for_audit
from app.exchanges.models import ExchangeAccount, PaperBalance, PaperFunding, PaperStake
from app.exchanges.queries import slowest_cursors
from app.markets.models import MarketRow
from app.markets.queries import to_market
from app.trades.models import FundingRow
from app.trading.backtest import run_backtest
from app.trading.funding import FundingRate
from app.trading.market import Candle, booked, candle_path
from app.trading.performance import figures
from app.transactions import transaction
from tests.bots.live_world import GRID, HOLDER, World, candles_of, wander
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")

D = Decimal


@pytest.fixture
def world(database: None) -> World:
    world = World.make()
    with transaction():
        market = db.session.get_one(MarketRow, world.market_id)
        market.kind, market.fee_side, market.symbol = "linear", "quote", "AAA/USDT:USDT"
        market.maker_fee, market.taker_fee = D("0.0002"), D("0.00055")
        market.max_leverage, market.funding_interval_s = D(100), 28_800
        market.tiers = [["0", "0.005", "0"], ["2000", "0.01", "10"]]
    return world


def rows_of(table: Any) -> list[Any]:
    with transaction():
        return list(db.session.execute(select(table.__table__).order_by(table.__table__.c.id)))


def wallet(account_id: int) -> Decimal:
    with transaction():
        row = db.session.get_one(PaperBalance, (account_id, "USDT"))
        return row.free + row.locked


def stake(account_id: int, market_id: int) -> Decimal:
    with transaction():
        return db.session.get_one(PaperStake, (account_id, market_id)).base


def assert_ties(world: World, bot: int) -> None:
    """See that the venue's money and ours moved alike, funding and all, and that profit adds up."""
    row = world.metrics(bot)
    account = world.bot(bot).account_id
    signed = row.base_cost if row.base > 0 else -row.base_cost
    assert wallet(account) - world.deposit == row.quote + signed - row.deposited + row.withdrawn
    assert stake(account, world.market_id) == row.base
    paid = [each.amount for each in rows_of(PaperFunding) if each.account_id == account]
    booked_here = [each.amount for each in rows_of(FundingRow) if each.bot_id == bot]
    assert paid == booked_here
    assert row.funding == sum(paid)
    with transaction():
        bot_row = db.session.get_one(Bot, bot)
        market = db.session.get_one(MarketRow, world.market_id)
        from app.bots.figures import books_of
        from app.bots.models import BotMetrics

        books = books_of(db.session.get_one(BotMetrics, bot_row.id))
        shown = figures(books, market.last_price or D(0), to_market(market))
    assert shown.total == shown.grid + shown.price_change + shown.funding
    assert shown.total == shown.value_now - row.deposited + row.withdrawn


@pytest.mark.long
@pytest.mark.parametrize("direction", ["neutral", "long", "short"])
@pytest.mark.parametrize("seed", (1, 2))
def test_funding_at_random_times_is_in_both_books_to_the_last_unit(
    world: World, direction: str, seed: int
) -> None:
    random = Random(seed)
    bot = world.add_bot(direction=direction, leverage="3")
    world.play(100)
    world.tick()
    for price in wander(seed, 60, step="4"):
        due = random.random() < 0.3
        rate = D(random.randint(-3_000, 3_000)) / 1_000_000 if due else None
        world.play(price, funding=rate)
        if random.random() < 0.7:
            world.tick()
    world.tick()
    assert len(rows_of(PaperFunding)) > 5
    assert world.metrics(bot).funding != 0
    assert_ties(world, bot)


def test_longs_pay_and_the_log_of_payments_names_rate_and_price(world: World) -> None:
    bot = world.add_bot(direction="long", leverage="3")
    world.play(100)
    world.tick()
    held = world.metrics(bot).base
    world.play("101", funding=D("0.0001"))
    world.tick()
    (payment,) = rows_of(PaperFunding)
    assert (payment.rate, payment.price) == (D("0.0001"), D(101))
    assert payment.amount == -booked(booked(held * 101) * D("0.0001"))
    assert world.metrics(bot).funding == payment.amount


def test_who_holds_nothing_pays_nothing(world: World) -> None:
    world.add_bot(direction="neutral", leverage="3")
    world.play(100)
    world.tick()
    world.play("100.01", funding=D("0.01"))
    world.tick()
    assert rows_of(PaperFunding) == rows_of(FundingRow) == []


@pytest.mark.long
def test_a_late_tick_pays_and_trades_as_prompt_ones(world: World) -> None:
    bots = [world.add_bot(direction="long", leverage="3", stop_loss_share="0.2") for _ in range(2)]
    world.play(100)
    world.tick()
    late, prompt = (world.bot(bot).account_id for bot in bots)
    for number, price in enumerate(wander(4, 40, step="4")):
        world.play(price, funding=D("0.004") if number % 7 == 0 else None)
        tick_accounts([prompt], HOLDER)
    tick_accounts([late], HOLDER)
    first, second = (
        [(f.side, f.price, f.quantity, f.fee, f.at) for f in world.fills(bot)] for bot in bots
    )
    assert first == second
    assert len(first) > 5
    one, other = (world.metrics(bot) for bot in bots)
    assert (one.quote, one.funding, one.grid_profit) == (
        other.quote, other.funding, other.grid_profit,
    )  # fmt: skip
    assert world.bot(bots[0]).state == world.bot(bots[1]).state
    for bot in bots:
        assert_ties(world, bot)


def funded(candles: Sequence[Candle], every: int) -> list[FundingRate]:
    return [
        FundingRate(candle.ts_ms, D(number - 5) / 10_000)
        for number, candle in enumerate(candles)
        if number and number % every == 0
    ]


@pytest.mark.long
@pytest.mark.parametrize("direction", few(["long", "short", "neutral"], 3))
@pytest.mark.parametrize("leverage", few(("3", "20"), 2))
def test_paper_is_the_back_test_with_funding_and_liquidation(
    world: World, direction: str, leverage: str
) -> None:
    candles = candles_of(wander(21, 150, step="5"))
    rates = funded(candles, 3)
    params = {**GRID, "direction": direction, "leverage": leverage}
    with transaction():
        row = db.session.get_one(MarketRow, world.market_id)
        market = to_market(row)
    expected = run_backtest("grid", params, market, candles, funding=rates)
    bot = world.add_bot(direction=direction, leverage=leverage)
    account = world.bot(bot).account_id
    due = {rate.ts_ms: rate.rate for rate in rates}
    for candle in candles:
        first, *rest = candle_path(candle)
        world.play(first, funding=due.get(candle.ts_ms))
        if candle is candles[0]:
            tick_accounts([account], HOLDER)
        world.play(*rest)
    for _ in range(3):
        tick_accounts([account], HOLDER)
    fills = [(f.side, f.price, f.quantity, f.fee) for f in world.fills(bot)]
    assert fills == [(f.side.value, f.price, f.quantity, f.fee) for f in expected.fills]
    assert len(fills) > 5
    ours, books = world.metrics(bot), expected.books
    assert ours.funding == books.funding
    assert ours.funding != 0 or leverage == "20"
    assert (ours.quote, ours.base, ours.base_cost) == (
        books.position.quote, books.position.base, books.position.base_cost,
    )  # fmt: skip
    assert ours.grid_profit == books.grid_profit
    liquidated = world.events(bot).count("position_liquidated") == 1
    assert liquidated == (expected.finished == "liquidated")
    assert_ties(world, bot)


def test_a_liquidation_takes_the_margin_of_the_position_and_nobody_elses_money(
    world: World,
) -> None:
    bot = world.add_bot(direction="long", leverage="20", lower="70", upper="110")
    account = world.bot(bot).account_id
    world.play(100)
    world.tick()
    world.play("97.9")
    world.tick()
    held = world.metrics(bot)
    # By the formula of the venue: the entry less the margin and plus what is maintained.
    forced = held.base_cost / held.base * (1 - 1 / D(20) + D("0.01")) - 10 / held.base
    world.play((forced + D("0.01")).quantize(D("0.01")))
    world.tick()
    assert world.bot(bot).state == "active"
    world.play((forced - D("0.01")).quantize(D("0.01")))
    for _ in range(3):
        world.tick()
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", "liquidated")
    assert stake(account, world.market_id) == world.metrics(bot).base == 0
    assert world.metrics(bot).quote > 0
    assert wallet(account) > world.deposit - D(1000)
    assert_ties(world, bot)


def test_a_position_that_a_stopped_bot_has_kept_goes_on_paying_and_is_liquidated(
    world: World,
) -> None:
    bot = world.add_bot(direction="long", leverage="20", lower="70", upper="110")
    account = world.bot(bot).account_id
    world.play(100)
    world.tick()
    world.change_bot(bot, state="stopping", stop_request="keep")
    for _ in range(2):
        world.tick()
    assert world.bot(bot).state == "stopped"
    assert world.metrics(bot).base > 0
    assert not world.open_orders(bot)
    with transaction():
        assert world.market_id in slowest_cursors()
    world.change_bot(bot, last_tick_at=utc_now() - timedelta(minutes=5))
    with transaction():
        assert account in find_due_accounts(10)
    world.play("99", funding=D("0.001"))
    world.tick()
    assert world.metrics(bot).funding < 0
    assert_ties(world, bot)
    world.play("60")
    world.tick()
    assert world.metrics(bot).base == 0
    assert world.bot(bot).state == "stopped"
    assert world.events(bot).count("position_liquidated") == 1
    assert_ties(world, bot)
    world.change_bot(bot, last_tick_at=utc_now() - timedelta(minutes=5))
    with transaction():
        assert account not in find_due_accounts(10)


def test_a_payment_that_a_crash_left_unbooked_is_booked_before_any_later_price(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = world.add_bot(direction="long", leverage="3")
    account = world.bot(bot).account_id
    world.play(100)
    world.tick()
    world.play("99", funding=D("0.001"))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("app.bots.live.decide", crash)
        with pytest.raises(KeyboardInterrupt):
            tick_accounts([account], HOLDER)
    assert len(rows_of(PaperFunding)) == 1
    assert world.metrics(bot).funding == 0
    world.play("98")
    world.tick()
    assert len(rows_of(FundingRow)) == 1
    assert_ties(world, bot)


def test_a_position_that_differs_from_the_venues_is_told_with_both_sides(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = world.add_bot(direction="long", leverage="3")
    account = world.bot(bot).account_id
    world.play(100)
    world.tick()
    held = world.metrics(bot).base

    def audit() -> None:
        with transaction():
            ask_for_audit([account])
        world.tick()

    audit()
    # Somebody trades the contract by hand: the venue's position moves, our books do not.
    with transaction():
        row = db.session.get_one(PaperStake, (account, world.market_id))
        row.base, row.cost = row.base + 1, row.cost + 100
    audit()
    audit()
    with transaction():
        from app.bots.ties import told_differences

        told = [each for each in told_differences() if each.currency == "AAA/USDT:USDT"]
    assert [(each.ours, each.venue) for each in told] == [(D(0), D(1))]
    assert held == world.metrics(bot).base
    assert "books_differ" in world.events(bot)


@pytest.mark.long
def test_a_position_that_is_gone_for_sure_ends_its_bot_before_its_orders_open_another(
    world: World,
) -> None:
    bot = world.add_bot(direction="long", leverage="3")
    account = world.bot(bot).account_id
    world.play(100)
    world.tick()
    held = world.metrics(bot).base
    with transaction():
        row = db.session.get_one(PaperStake, (account, world.market_id))
        row.base = row.cost = D(0)
    states = []
    for _ in range(4):
        with transaction():
            ask_for_audit([account])
        world.tick()
        states.append(world.bot(bot).state)
    assert states == ["active", "stopping", "stopped", "stopped"]
    reason = world.bot(bot).state_reason
    assert reason["code"] == "position_changed_outside"
    assert reason["values"] == {"ours": f"{held.normalize():f}", "venue": "0"}
    assert world.open_orders(bot) == []


def test_whether_a_position_is_gone_for_sure_is_asked_soon(world: World) -> None:
    bot = world.add_bot(direction="long", leverage="3")
    account = world.bot(bot).account_id
    world.play(100)
    assert world.tick().suspects == set()
    with transaction():
        row = db.session.get_one(PaperStake, (account, world.market_id))
        row.base = row.cost = D(0)
        db.session.get_one(ExchangeAccount, account).audited_at = utc_now() - timedelta(hours=1)
    assert world.tick().suspects == {account}
    # Nobody asks: the next tick compares by itself.
    world.tick()
    assert world.bot(bot).state_reason["code"] == "position_changed_outside"
    for _ in range(2):
        assert world.tick().suspects == set()


def test_without_told_margins_the_greatest_leverage_says_what_is_maintained(world: World) -> None:
    with transaction():
        row = db.session.get_one(MarketRow, world.market_id)
        row.tiers = None
        market = to_market(row)
    from app.trading.contracts import Stake, forced_close

    found = forced_close(Stake(D(10), D(1000)), D(0), D(10), market)
    assert found == D("90.5")
    unknown = replace(market, max_leverage=None)
    assert forced_close(Stake(D(10), D(1000)), D(0), D(10), unknown) == D(91)
