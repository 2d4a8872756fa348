"""The back-test of every kind of grid: the same fills as a bot that is driven tick by tick."""

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest

from app.trading.backtest import Replay, run_backtest
from app.trading.funding import FundingRate
from app.trading.market import FeeSide, MarketKind, PricePoint, Tier, booked
from app.trading.strategies.grid import GRID
from tests.long import few
from tests.trading.world import Desk, at, candles, grid, market

PERP = market(
    kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE, maker_fee=D("0.0002"), taker_fee=D("0.0005"),
    tiers=(Tier(D(0), D("0.005")),),
)  # fmt: skip
PATH = [
    "100", "98", "91", "103", "99", "108", "113", "121", "128", "134", "126", "117", "104", "93",
    "86", "79", "74", "69", "77", "88", "97", "106",
]  # fmt: skip
KINDS: list[tuple[Any, dict[str, Any]]] = [
    (market(), {}),
    (market(), {"grids": 16, "max_resting": 5}),
    (market(), {"trailing_up": True, "trailing_down": True}),
    (market(), {"trailing_up": True, "grids": 12, "max_resting": 4}),
    (market(), {"trigger_price": "108"}),
    (market(), {"profit_use": "reinvest"}),
    (market(), {"stop_loss_share": "0.12", "at_exit": "sell"}),
    (market(), {"upper": None, "grids": None, "step": "0.04", "infinity": True}),
    (PERP, {"leverage": "2"}),
    (PERP, {"direction": "short", "trailing_down": True}),
    (PERP, {"direction": "neutral", "leverage": "3", "grids": 10}),
    (PERP, {"direction": "neutral", "max_resting": 4, "grids": 10}),
]


@pytest.mark.parametrize(("on", "changes"), few(KINDS, 3))
def test_the_back_test_fills_as_a_bot_does_that_also_looks_in_between(
    on: Any, changes: dict[str, Any]
) -> None:
    params = grid(**changes)
    desk, replay = Desk(params, on, D(100)), Replay(GRID, params, on, D(1000))
    seq = 0
    for before, after in zip(PATH, PATH[1:], strict=False):
        # A live bot is also asked between the prices that concern it.
        for price in (D(before), (D(before) + D(after)) / 2, D(after)):
            seq += 1
            desk.see(price)
            desk.settle()
            point = PricePoint(seq, at(seq), price)
            if replay.books is None or replay.concerns(price):
                replay.see(point)
    bare = [(f.side, f.price, f.quantity, f.fee) for f in desk.fills]
    assert bare == [(f.side, f.price, f.quantity, f.fee) for f in replay.fills]
    assert len(bare) > 5
    assert desk.books.position == replay.books.position if replay.books else False
    assert [m.profit for m in desk.matches] == [m.profit for m in replay.matches]


def rows(*prices: str) -> list[Any]:
    return candles(*((price, price, price, price) for price in prices), minutes=60)


def test_funding_is_paid_at_its_times_and_kept_apart() -> None:
    params = {"lower": "80", "upper": "120", "grids": 4, "investment": "1000"}
    hours = rows("95", "95", "95", "95")
    rates = [FundingRate(hours[1].ts_ms, D("0.001")), FundingRate(hours[3].ts_ms - 1, D("-0.002"))]
    result = run_backtest("grid", params, PERP, hours, funding=rates)
    base = result.books.position.base
    assert result.figures.funding == booked(base * 95) * D("0.001")
    plain = run_backtest("grid", params, PERP, hours)
    assert result.figures.total == plain.figures.total + result.figures.funding
    assert result.figures.price_change == plain.figures.price_change


def test_a_liquidation_ends_the_back_test_with_nothing_left() -> None:
    params = {
        "lower": "80", "upper": "120", "grids": 4, "investment": "1000", "leverage": "20",
    }  # fmt: skip
    result = run_backtest("grid", params, PERP, rows("100", "85", "70", "100"))
    assert result.finished == "liquidated"
    assert [line.code for line in result.events][-1] == "liquidated"
    assert abs(result.figures.value_now) < D("1e-12")
    assert result.figures.total == result.figures.value_now - 1000
    assert all(order.status.is_final for order in result.orders)


def test_the_plan_names_the_liquidation_that_the_back_test_meets() -> None:
    params = grid(leverage="20", reserve="0.02")
    plan = GRID.plan(params, PERP, D(100))
    assert plan.liquidation is not None
    below = plan.liquidation.below
    assert below is not None
    assert "liquidation_inside_range" in [each.code for each in plan.warnings]
    # Every buy that the plan counts fills on the way when the range ends above the liquidation.
    mild = replace(params, leverage=D(3))
    found = GRID.plan(mild, PERP, D(100)).liquidation
    assert found is not None
    assert found.below is not None
    assert found.below < 80
    cents = found.below.quantize(D("0.01"))
    for last, end in ((cents + 1, None), (cents - 1, "liquidated")):
        fell = rows("100", "79", str(last))
        assert run_backtest("grid", GRID.encode_params(mild), PERP, fell).finished == end
