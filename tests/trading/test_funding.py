"""Funding times, the usual rate, and what a back-test pays by it."""

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from app.trading.backtest import run_backtest
from app.trading.funding import FundingRate, times_between, usual_funding, usual_rate
from app.trading.inputs import read_market
from app.trading.market import Candle, FeeSide, MarketKind
from tests.trading.world import market

HOUR_MS = 3_600_000
PERP = market(
    kind=MarketKind.LINEAR, fee_side=FeeSide.QUOTE, funding_interval_s=8 * 3600,
    maker_fee=D("0.0002"), taker_fee=D("0.00055"),
)  # fmt: skip
GRID = {"lower": "80", "upper": "120", "grids": 4, "investment": "1000", "leverage": "2"}


def still(hours: int, step: int = 1) -> list[Candle]:
    return [
        Candle(number * HOUR_MS, D(95), D(95), D(95), D(95), D(1))
        for number in range(0, hours, step)
    ]


def test_the_usual_rate_is_a_hundredth_percent_for_eight_hours() -> None:
    assert usual_rate() == D("0.0001")
    assert usual_rate(4 * 3600) == D("0.00005")


@pytest.mark.parametrize(
    ("before", "until", "times"),
    [("07:59", "08:00", 1), ("08:00", "15:59", 0), ("08:00", "08:00", 0), ("07:00", "16:00", 2)],
)
def test_funding_times_stand_at_midnight_and_every_eight_hours(
    before: str, until: str, times: int
) -> None:
    first, last = (
        datetime.fromisoformat(f"2026-01-05T{each}:00").replace(tzinfo=UTC)
        for each in (before, until)
    )
    assert times_between(first, last, 28_800) == times
    assert times_between(last, first, 28_800) == 0


def test_rates_come_after_the_beginning_and_up_to_the_end() -> None:
    rates = list(usual_funding(8 * HOUR_MS, 24 * HOUR_MS))
    assert rates == [FundingRate(h * HOUR_MS, D("0.0001")) for h in (16, 24)]


def test_a_back_test_pays_by_the_rule_unless_rates_are_given() -> None:
    hours = still(25)
    ruled = run_backtest("grid", GRID, PERP, hours)
    given = run_backtest("grid", GRID, PERP, hours, funding=list(usual_funding(0, 24 * HOUR_MS)))
    free = run_backtest("grid", GRID, PERP, hours, funding=())
    assert ruled.figures == given.figures
    assert ruled.figures.funding < 0 == free.figures.funding
    assert ruled.figures.total == free.figures.total + ruled.figures.funding


def test_what_falls_due_in_a_gap_of_candles_is_paid_at_its_end() -> None:
    gap = run_backtest("grid", GRID, PERP, still(25, 24)).figures.funding
    assert gap == run_backtest("grid", GRID, PERP, still(25)).figures.funding


def test_coins_pay_nothing_and_a_contract_read_by_name_pays_every_eight_hours() -> None:
    spot, _ = read_market({"taker_fee": "0.001"})
    assert spot.funding_interval_s is None
    assert run_backtest("grid", {**GRID, "leverage": "1"}, spot, still(25)).figures.funding == 0
    contract, _ = read_market({"market_type": "linear"})
    assert contract.funding_interval_s == 28_800
    hourly, _ = read_market({"market_type": "linear", "funding_interval_s": 3600})
    assert hourly.funding_interval_s == 3600
