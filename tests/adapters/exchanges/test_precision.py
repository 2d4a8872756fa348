"""Rounding to the exchange's steps: ours beside the library's, on the recorded rules of Bybit."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.exchanges.client import make_client
from app.adapters.exchanges.quirks import QUIRKS
from app.adapters.exchanges.reading import to_market
from app.money import ceil_to_step, floor_to_step
from app.trading.market import Market
from tests.adapters.exchanges.canned import spot_market
from tests.adapters.exchanges.test_shared_cases import bybit_markets
from tests.conftest import shared_folder

FILE = shared_folder() / "data" / "vectors" / "precision_bybit.json"


def cases() -> list[Any]:
    """Return every recorded case; numbers as they were written."""
    if not FILE.is_file():
        return []
    found = json.loads(FILE.read_text(), parse_float=Decimal)["cases"]
    return [pytest.param(case, id=f"{n}-{case['symbol']}") for n, case in enumerate(found)]


def client_and_market(symbol: str) -> tuple[Any, Market]:
    client = make_client("bybit")
    client.set_markets(bybit_markets())
    return client, to_market(client.market(symbol), QUIRKS["bybit"])


@pytest.mark.shared
@pytest.mark.parametrize("case", cases())
def test_recorded_rounding(case: dict[str, Any]) -> None:
    client, market = client_and_market(case["symbol"])
    tick, lot = market.tick, market.lot
    assert tick is not None
    assert lot is not None
    assert tick == Decimal(case["priceFilter"]["tickSize"])
    # Amounts agree: both are cut.
    raw_amount = Decimal(str(case["raw_amount"]))
    ours = floor_to_step(raw_amount, lot)
    if case["amount_to_precision"] == "InvalidOrder":
        # The library raises where nothing is left.
        assert ours == 0
        with pytest.raises(Exception, match="amount"):
            client.amount_to_precision(case["symbol"], str(raw_amount))
    else:
        assert ours == Decimal(case["amount_to_precision"])
        assert Decimal(client.amount_to_precision(case["symbol"], str(raw_amount))) == ours
    # Prices: ours never lie beyond the level, the library's lies within a tick of both.
    raw_price = Decimal(str(case["raw_price"]))
    below, above = floor_to_step(raw_price, tick), ceil_to_step(raw_price, tick)
    theirs = Decimal(case["price_to_precision"])
    assert below <= raw_price <= above
    assert theirs in {below, above}
    assert abs(theirs - raw_price) < tick
    # What is on a step already passes the library unchanged.
    for price in (below, above):
        assert Decimal(client.price_to_precision(case["symbol"], str(price))) == price


@pytest.mark.shared
@pytest.mark.parametrize("case", cases())
def test_recorded_limits(case: dict[str, Any]) -> None:
    _, market = client_and_market(case["symbol"])
    limits = case["limits"]
    if limits.get("amount_min") is not None:
        assert market.min_quantity == Decimal(case["lotSizeFilter"]["minOrderQty"])
    if limits.get("cost_min") is not None:
        rules = case["lotSizeFilter"]
        # Contracts and coins name it differently.
        told = rules.get("minOrderAmt") or rules["minNotionalValue"]
        assert market.min_notional == Decimal(told)


NUMBERS = st.decimals("0.00001", "99999", places=9)


@given(raw=NUMBERS, step=st.sampled_from(["0.1", "0.01", "0.000001", "0.5", "0.25", "10"]))
def test_prices_and_amounts_on_a_step_pass_the_library_unchanged(raw: Decimal, step: str) -> None:
    client = make_client("bybit")
    client.set_markets([{**spot_market("bybit"), "precision": {"price": step, "amount": step}}])
    for rounded in (floor_to_step(raw, Decimal(step)), ceil_to_step(raw, Decimal(step))):
        if rounded:
            assert Decimal(client.price_to_precision("BTC/USDT", str(rounded))) == rounded
            assert Decimal(client.amount_to_precision("BTC/USDT", str(rounded))) == rounded
    below, above = floor_to_step(raw, Decimal(step)), ceil_to_step(raw, Decimal(step))
    assert below <= raw <= above <= below + Decimal(step)
