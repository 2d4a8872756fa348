"""Presets from what the price did: range, number of grids, and why there is none; pure."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.bots.presets import (
    KINDS,
    ORDER_MARGIN,
    Kind,
    NoPreset,
    Preset,
    make_preset,
    percentile,
)
from app.trading.market import Candle, Market
from app.trading.strategies.grid_figures import GridPlan
from app.trading.strategies.grid_params import GridParams, Spacing
from app.trading.strategies.grid_plan import plan_grid

NOW = datetime(2026, 1, 5, tzinfo=UTC)
MARKET = Market(
    "AAA/USDT", "AAA", "USDT",
    tick=Decimal("0.01"), lot=Decimal("0.0001"), min_notional=Decimal(5),
    maker_fee=Decimal("0.001"), taker_fee=Decimal("0.001"),
)  # fmt: skip
KIND = Kind("test", 10, Decimal("0.005"))
MONEY = Decimal(1000)


def swings(days: int, low: int = 90, high: int = 110) -> list[Candle]:
    """Return candles of an hour that walk evenly between two prices."""
    span = high - low
    candles = []
    for hour in range(days * 24):
        place = hour % (2 * span)
        middle = Decimal(low + (place if place <= span else 2 * span - place))
        opened = NOW - timedelta(hours=days * 24 - hour)
        ts_ms = int(opened.timestamp() * 1000)
        candles.append(Candle(ts_ms, middle, middle, middle, middle, Decimal(1)))
    return candles


def plan_of(preset: Preset, grids: int) -> GridPlan:
    params = GridParams(
        lower=preset.lower,
        upper=preset.upper,
        grids=grids,
        spacing=Spacing.GEOMETRIC,
        investment=MONEY,
        reserve=Decimal("0.01"),
    )
    return plan_grid(params, MARKET, Decimal(100))


def made(days: int = 12, price: str = "100", money: Decimal = MONEY, kind: Kind = KIND) -> Preset:
    found = make_preset(kind, swings(days), MARKET, Decimal(price), money, NOW)
    assert isinstance(found, Preset)
    return found


def test_the_range_holds_all_but_the_outer_twentieths_of_the_days() -> None:
    preset = made()
    assert Decimal(90) < preset.lower < Decimal(93)
    assert Decimal(107) < preset.upper < Decimal(110)
    assert preset.from_time == NOW - timedelta(days=10)
    assert preset.to_time == NOW


def test_as_many_grids_as_still_earn_enough_and_not_one_more() -> None:
    preset = made()
    now, one_more = plan_of(preset, preset.grids), plan_of(preset, preset.grids + 1)
    assert now.profit_per_grid and one_more.profit_per_grid
    assert now.profit_per_grid.lowest >= KIND.profit > one_more.profit_per_grid.lowest


def test_with_little_money_the_size_of_orders_sets_the_number() -> None:
    money = Decimal(60)
    preset = made(money=money)
    for grids, fits in ((preset.grids, True), (preset.grids + 1, False)):
        minimum = plan_of(preset, grids).minimum_investment
        assert minimum is not None
        assert (minimum * ORDER_MARGIN <= money) is fits
    assert preset.grids < made().grids


@pytest.mark.parametrize("price", ["80", "130"])
def test_a_range_is_widened_to_hold_the_price(price: str) -> None:
    preset = made(price=price)
    assert preset.lower < Decimal(price) < preset.upper


def test_the_stop_loss_lies_five_percent_below() -> None:
    preset = made()
    assert abs(preset.stop_loss / preset.lower - Decimal("0.95")) < Decimal("0.0002")
    assert MARKET.price_down(preset.stop_loss) == preset.stop_loss


def test_without_enough_days_the_reason_names_them() -> None:
    found = make_preset(KIND, swings(3), MARKET, Decimal(100), MONEY, NOW)
    assert isinstance(found, NoPreset)
    assert (found.code, found.values) == ("preset_short_history", {"days": 10, "have": 3})


def test_a_price_that_stood_still_gives_no_preset() -> None:
    found = make_preset(KIND, swings(12, 100, 101), MARKET, Decimal(100), MONEY, NOW)
    assert isinstance(found, NoPreset)
    assert found.code == "preset_fees_too_high"


def test_too_little_money_for_two_orders_is_named() -> None:
    found = make_preset(KIND, swings(12), MARKET, Decimal(100), Decimal(1), NOW)
    assert isinstance(found, NoPreset)
    assert found.code == "preset_needs_more"
    assert Decimal(str(found.values["needed"])) > 1


def test_the_three_presets_come_from_ninety_thirty_and_seven_days() -> None:
    assert [(kind.name, kind.days, kind.profit) for kind in KINDS] == [
        ("careful", 90, Decimal("0.008")),
        ("balanced", 30, Decimal("0.005")),
        ("active", 7, Decimal("0.003")),
    ]


def test_a_percentile_lies_between_its_neighbours() -> None:
    values = [Decimal(number) for number in range(101)]
    assert percentile(values, Decimal("0.05")) == 5
    assert percentile([Decimal(1), Decimal(2)], Decimal("0.5")) == Decimal("1.5")
    assert percentile([Decimal(7)], Decimal("0.95")) == 7
