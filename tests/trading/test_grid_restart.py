"""A grid that starts with coins of before: every sell has its coins, every buy its cash."""

import random
from decimal import Decimal as D
from typing import Any

import pytest

from app.trading.backtest import run_backtest
from app.trading.market import FeeSide, MarketKind
from app.trading.orders import Side, client_order_id
from app.trading.position import Holdings
from app.trading.strategies.grid import GRID
from app.trading.strategy import InvalidParams, StopHow
from tests.long import few
from tests.trading import world
from tests.trading.world import Desk, candles, grid, market

BTC = market(
    symbol="BTC/USDT",
    base="BTC",
    tick=D("0.01"),
    lot=D("0.00001"),
    min_quantity=D("0.00001"),
    min_notional=D(5),
)
WIDE = {"lower": "60000", "upper": "70000", "grids": "50", "investment": "6000"}


def test_first_sells_of_a_coarse_lot_earn_what_their_coins_cost() -> None:
    """A lot that the fee would have kept back was never bought, so it is not paid for."""
    on = market(lot=D("0.1"))
    rows = candles(("95", "95", "95", "95"), ("95", "121", "95", "121"))
    result = run_backtest("grid", {"lower": "80", "upper": "120", "grids": 4,
                                   "investment": "1000"}, on, rows)  # fmt: skip
    assert result.matches
    for match in result.matches:
        paid = match.quantity / (1 - on.maker_fee) * match.buy_value / match.buy_quantity
        expected = match.sell_value - match.sell_fee - paid
        assert abs(match.profit - expected) < D("0.000001")


def test_coins_that_are_missing_but_too_few_to_buy_come_from_the_highest_sells() -> None:
    whole = GRID.start_state(grid(**WIDE), BTC, D(65000), Holdings(D(0), D(6000)))
    sells = sum((s.quantity for s in whole.slots if s.side is Side.SELL), D(0))
    held = sells - D("0.0000243")
    # So little is worth less than the venue's smallest order.
    state = GRID.start_state(grid(**WIDE), BTC, D(65000), Holdings(held, D(6000)))
    assert state.entry is None
    asked = [s.quantity for s in state.slots if s.side is Side.SELL]
    before = [s.quantity for s in whole.slots if s.side is Side.SELL]
    assert sum(asked, D(0)) == sells - D("0.00003")
    given = [b - a for a, b in zip(asked, before, strict=True)]
    assert given[-3:] == [D("0.00001")] * 3
    assert not any(given[:-3])


def test_however_many_tiny_lots_are_missing_they_are_taken_in_even_shares() -> None:
    on = market(lot=D("0.00000001"), min_notional=D(5))
    whole = GRID.start_state(grid(grids=10), on, D(100), Holdings(D(0), D(1000)))
    before = [s.quantity for s in whole.slots if s.side is Side.SELL]
    held = sum(before, D(0)) - D("0.04000001")
    state = GRID.start_state(grid(grids=10), on, D(100), Holdings(held, D(1000)))
    assert state.entry is None
    asked = [s.quantity for s in state.slots if s.side is Side.SELL]
    given = [b - a for a, b in zip(asked, before, strict=True)]
    assert sum(asked, D(0)) == held
    # Four millions of lots; one taken after the other they would take minutes.
    assert given == sorted(given) and max(given) - min(given) <= D("0.00000001")


def test_a_short_position_that_lacks_too_little_to_sell_is_taken_from_the_lowest_buys() -> None:
    short = grid(direction="short", grids=20, reserve="0.1")
    on = market(kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE)
    whole = GRID.start_state(short, on, D(101), Holdings(D(0), D(1000)))
    buys = [s.quantity for s in whole.slots if s.side is Side.BUY]
    owed = sum(buys, D(0)) - D("0.003")
    held = Holdings(-owed, D(1000) + owed * 101, owed * 101)
    state = GRID.start_state(short, on, D(101), held)
    assert state.entry is None
    asked = [s.quantity for s in state.slots if s.side is Side.BUY]
    assert sum(asked, D(0)) == owed
    assert [b - a for a, b in zip(asked, buys, strict=True)][:4] == [D("0.001")] * 3 + [D(0)]


@pytest.mark.parametrize("leverage", ["1", "2"])
def test_a_position_must_fit_the_leverage_with_which_it_goes_on(leverage: str) -> None:
    params = grid(direction="short", leverage=leverage)
    on = market(kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE)
    # Sold for 1,500, with 1,000 behind it.
    held = Holdings(D(-15), D(2500), D(1500))
    if leverage == "2":
        assert GRID.start_state(params, on, D(100), held)
        return
    with pytest.raises(InvalidParams) as caught:
        GRID.start_state(params, on, D(100), held)
    (found,) = caught.value.problems
    assert (found.field, found.code) == ("leverage", "leverage_below_position")


@pytest.mark.parametrize("seed", few(range(20), 10))
def test_no_level_starves_after_a_stop_and_a_new_start(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random.Random(seed)
    params = grid(
        **WIDE,
        spacing=source.choice(["geometric", "arithmetic"]),
        sizing=source.choice(["equal_base", "equal_quote"]),
    )
    epochs = number_starts(monkeypatch)
    desk = Desk(params, BTC, D(65000))
    price = 65000.0
    for epoch in range(1, 5):
        for _ in range(25):
            desk.see(str(round(price, 2)))
            price = max(60100, min(69900, price + source.gauss(0, 700)))
        assert not [code for code in desk.codes() if code.startswith("denied_")], epoch
        desk.see(str(round(price, 2)), stop=StopHow.KEEP)
        epochs[0] += 1
        start_again(desk)


def number_starts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    epochs = [1]

    def with_epoch(prefix: str, bot_id: int, _epoch: int, *rest: Any) -> str:
        return client_order_id(prefix, bot_id, epochs[0], *rest)

    monkeypatch.setattr(world, "client_order_id", with_epoch)
    return epochs


def start_again(desk: Desk) -> None:
    desk.state = GRID.start_state(
        desk.params, desk.market, desk.price, desk.books.position.holdings
    )
    desk.orders, desk.news, desk.inbox, desk.finished = {}, [], [], None
