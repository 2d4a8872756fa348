"""The back-test: deterministic, the same as paper trading, and its books agree with the venue's."""

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.backtest import EQUITY_POINTS, NoCandles, Replay, run_backtest
from app.trading.market import Candle, FeeSide, PricePoint, booked, candle_path, exact
from app.trading.orders import Status
from app.trading.strategies.grid import GRID
from app.trading.strategy import InvalidParams
from tests.examples import tried
from tests.trading.world import Desk, at, candles, grid, market

FREE = market(maker_fee=D(0), taker_fee=D(0))
PARAMS = {"lower": "80", "upper": "120", "grids": 4, "investment": "1000", "reserve": "0"}


def test_a_short_story_followed_by_hand() -> None:
    story = candles(("95", "96", "89", "95"), ("95", "101", "94", "100"))
    result = run_backtest("grid", PARAMS, FREE, story)
    # Buys 5.554 at 95, then 2.777 at 90, and sells those at 100.
    assert [(f.side.value, f.price, f.quantity) for f in result.fills] == [
        ("buy", D(95), D("5.554")),
        ("buy", D(90), D("2.777")),
        ("sell", D(100), D("2.777")),
    ]
    assert result.figures.grid == D("27.77")
    assert result.figures.total == D("5.554") * 5 + D("27.77")
    assert result.figures.price_change == D("27.77")
    assert result.figures.matched_trades == 1
    assert result.figures.buy_and_hold.quantize(D("0.001")) == D("52.632")
    assert (result.candles, result.candles_outside) == (2, 0)
    assert [point.equity for point in result.equity] == [1000 + D("2.777") * 5, D("1055.54")]


def test_a_touch_fills_only_if_asked_for() -> None:
    story = candles(("95", "96", "90", "95"))
    assert len(run_backtest("grid", PARAMS, FREE, story).fills) == 1
    assert len(run_backtest("grid", PARAMS, FREE, story, touch=True).fills) == 2


def test_the_path_of_a_candle_decides_what_fills_first() -> None:
    # Rising: low first, so the buy fills and its sell at 100 then too; falling: high first.
    rising = run_backtest("grid", PARAMS, FREE, candles(("95", "101", "89", "96")))
    falling = run_backtest("grid", PARAMS, FREE, candles(("95", "101", "89", "94")))
    assert (rising.figures.matched_trades, falling.figures.matched_trades) == (1, 0)


def test_candles_with_a_gap_trade_as_if_nothing_had_happened_in_between() -> None:
    story = candles(
        ("95", "96", "89", "95"), ("95", "101", "94", "100"), ("100", "101", "79", "85")
    )
    hour = 3_600_000
    torn = [story[0], *(each._replace(ts_ms=each.ts_ms + hour) for each in story[1:])]
    whole, gapped = (run_backtest("grid", PARAMS, FREE, each) for each in (story, torn))
    assert [(f.side, f.price, f.quantity) for f in whole.fills] == [
        (f.side, f.price, f.quantity) for f in gapped.fills
    ]
    assert whole.books == gapped.books
    assert len(whole.fills) > 4


def test_an_exit_ends_the_trading_and_not_the_measuring() -> None:
    params = {**PARAMS, "stop_loss": "75", "at_exit": "sell"}
    story = candles(("95", "95", "74", "74"), ("74", "110", "70", "110"))
    result = run_backtest("grid", params, FREE, story)
    assert result.finished == "stop_loss_reached"
    assert result.figures.value_now == result.equity[-1].equity == D("74") * D("11.108") + D("0.28")
    assert result.candles_outside == 1
    assert result.days_outside == D("0.000694444444444444")


def test_a_grid_that_followed_the_price_is_not_outside() -> None:
    """It was measured at the range of its start, from which it had gone long since."""
    params = {**PARAMS, "trailing_up": True, "trailing_up_limit": "200"}
    story = candles(("95", "165", "95", "158"), ("158", "159", "150", "150"))
    result = run_backtest("grid", params, FREE, story)
    assert "trailed_up" in {event.code for event in result.events}
    assert result.candles_outside == 0
    assert run_backtest("grid", PARAMS, FREE, story).candles_outside == 2


def test_drawdown_is_measured_at_the_closes() -> None:
    story = candles(
        ("100", "100", "100", "100"), ("100", "100", "80", "81"), ("81", "85", "81", "85")
    )
    result = run_backtest("grid", PARAMS, FREE, story)
    lows = [point.equity for point in result.equity]
    assert result.drawdown.largest == booked((lows[0] - lows[1]) / lows[0])


def test_without_candles_there_is_nothing_to_say() -> None:
    with pytest.raises(NoCandles):
        run_backtest("grid", PARAMS, FREE, [])


def test_a_grid_that_cannot_start_is_refused() -> None:
    with pytest.raises(InvalidParams, match="range_excludes_price"):
        run_backtest("grid", PARAMS, FREE, candles(("150", "150", "150", "150")))


def test_money_may_be_given_beside_the_parameters() -> None:
    story = candles(("95", "95", "95", "95"))
    result = run_backtest("grid", PARAMS, FREE, story, D(500))
    assert result.books.deposited == 500


def test_the_equity_curve_stays_small() -> None:
    story = candles(*[("95", "95", "95", "95")] * (EQUITY_POINTS * 5))
    result = run_backtest("grid", PARAMS, FREE, story)
    assert EQUITY_POINTS <= len(result.equity) <= 2 * EQUITY_POINTS
    assert result.equity[0].ts_ms == result.first_ms


@st.composite
def stories(draw: st.DrawFn) -> list[Candle]:
    """Draw candles that begin at 100 and go on where the last one ended."""
    rows, last = [], 10_000
    for _ in range(draw(st.integers(1, 40))):
        high = last + draw(st.integers(0, 1500))
        low = last - draw(st.integers(0, 1500))
        close = draw(st.integers(low, high))
        shift = max(0, 7000 - low) - max(0, high - 13_000)
        high, low, close = (value + shift for value in (high, low, close))
        opening = min(max(last, low), high)
        rows.append(tuple(str(D(value) / 100) for value in (opening, high, low, close)))
        last = close
    return candles(*rows)  # type: ignore[arg-type]


options = st.fixed_dictionaries(
    {
        "grids": st.integers(2, 15),
        "spacing": st.sampled_from(["arithmetic", "geometric"]),
        "sizing": st.sampled_from(["equal_base", "equal_quote"]),
        "reserve": st.sampled_from(["0", "0.02"]),
    },
    optional={"stop_loss": st.just("74"), "at_exit": st.sampled_from(["sell", "keep"])},
)
any_market = st.builds(
    market,
    fee_side=st.sampled_from(FeeSide),
    maker_fee=st.sampled_from([D(0), D("0.001")]),
    taker_fee=st.sampled_from([D(0), D("0.002")]),
    lot=st.sampled_from([D("0.001"), D("0.00000001"), None]),
)


@tried(25)
@given(stories(), options, any_market, st.booleans())
@exact
def test_the_result_agrees_with_the_venues_books_to_the_last_unit(
    story: list[Candle], changes: dict[str, Any], on: Any, touch: bool
) -> None:
    params = {**PARAMS, **changes, "lower": "75", "upper": "125"}
    replay = Replay(GRID, GRID.parse(params), on, D(1000), touch=touch)
    result = run_backtest("grid", params, on, story, touch=touch)
    assert result == run_backtest("grid", params, on, story, touch=touch)
    number = 0
    for candle in story:
        for price in candle_path(candle):
            number += 1
            if replay.books is None or replay.concerns(price):
                replay.see(PricePoint(number, at(number), price))
    assert replay.books is not None
    held = replay.books.position
    venue = replay.book.balances()
    assert venue["USDT"].total == held.quote == result.books.position.quote
    assert held.base == result.books.position.base
    assert held.base == (venue["ABC"].total if "ABC" in venue else 0)
    shown = result.figures
    assert shown.total == booked(held.quote + held.base * story[-1].close) - 1000
    assert shown.total == shown.grid + shown.price_change
    assert shown.grid == sum((match.profit for match in result.matches), D(0))
    _no_fill_is_used_twice(result)


def _no_fill_is_used_twice(result: Any) -> None:
    sells = [match.exit_client_id for match in result.matches]
    buys = [match.entry_client_id for match in result.matches if match.entry_client_id]
    assert len(sells) == len(set(sells))
    assert len(buys) == len(set(buys))
    filled = {o.client_id for o in result.orders if o.status is Status.FILLED}
    assert filled >= set(sells) | set(buys)


@pytest.mark.long
@tried(12)
@given(stories(), options, any_market)
def test_paper_trading_price_by_price_fills_the_same(
    story: list[Candle], changes: dict[str, Any], on: Any
) -> None:
    params = {**PARAMS, **changes, "lower": "75", "upper": "125"}
    result = run_backtest("grid", params, on, story)
    desk = Desk(grid(**params), on, story[0].open)
    for candle in story:
        for price in candle_path(candle):
            desk.see(price)

    def what(fills: Any) -> list[Any]:
        return [(f.side, f.price, f.quantity, f.fee) for f in fills]

    assert what(desk.fills) == what(result.fills)
    assert desk.books.position == result.books.position
    assert desk.books.grid_profit == result.figures.grid
    assert desk.events == list(result.events)
