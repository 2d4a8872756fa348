"""A lower price that rounds to zero is named, never divided by; pure."""

from decimal import Decimal

import pytest

from app.trading.market import Market
from app.trading.strategies.grid_params import GridParams, Sizing, Spacing
from app.trading.strategies.grid_plan import plan_grid

MARKET = Market("AAA/USDT", "AAA", "USDT", tick=Decimal("0.01"), min_notional=Decimal(1))


@pytest.mark.parametrize("spacing", list(Spacing))
@pytest.mark.parametrize("sizing", list(Sizing))
def test_a_lower_price_under_the_tick_is_an_error_of_its_field(
    spacing: Spacing, sizing: Sizing
) -> None:
    params = GridParams(
        lower=Decimal("1e-18"),
        upper=Decimal(110),
        grids=10,
        spacing=spacing,
        sizing=sizing,
        investment=Decimal(1000),
    )
    plan = plan_grid(params, MARKET, Decimal(100))
    assert ("lower", "price_below_tick") in {(found.field, found.code) for found in plan.errors}
