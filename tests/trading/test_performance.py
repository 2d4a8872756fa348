"""Figures: their definitions followed by hand, and the identity of profit and its parts."""

import json
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.trading.market import FeeSide, booked, exact
from app.trading.orders import Fill, Side
from app.trading.performance import (
    Books,
    Drawdown,
    Flow,
    average_invested,
    break_even,
    figures,
    held_instead,
    invested_now,
    opened,
    yearly_pace,
)
from app.trading.position import Position
from tests.conftest import shared_folder
from tests.trading.world import at, market, position_of

FREE = market(maker_fee=D(0), taker_fee=D(0))


def fill(
    side: Side, price: str, quantity: str, fee: str = "0", currency: str = "USDT", number: int = 0
) -> Fill:
    return Fill(
        f"t{number}", "by1", side, D(price), D(quantity), D(fee), currency, at(number), True
    )


def test_a_position_adds_up_coins_cash_cost_and_fees() -> None:
    fills = [
        fill(Side.BUY, "100", "2", "0.002", "ABC"),
        fill(Side.BUY, "50", "2", "0.1"),
        fill(Side.SELL, "120", "1.999", "0.24"),
    ]
    found = position_of(D(1000), fills, market())
    assert found.base == D("1.999")
    assert found.quote == 1000 - 200 - D("100.1") + D("239.88") - D("0.24")
    # Cost 300.1 for 3.998 coins, half of them sold.
    assert found.base_cost == D("150.05")
    assert found.average_entry == booked(D("150.05") / D("1.999"))
    assert found.fees == D("0.2") + D("0.1") + D("0.24")
    assert found.fills == 3


def test_without_coins_there_is_no_average_entry() -> None:
    bought = Position(quote=D(100)).after(fill(Side.BUY, "10", "1"), FREE)
    sold = bought.after(fill(Side.SELL, "12", "1"), FREE)
    assert (sold.average_entry, sold.base_cost, sold.quote) == (None, D(0), D(102))


def test_a_fee_in_a_third_currency_is_paid_from_the_cash() -> None:
    found = Position(quote=D(100)).after(fill(Side.BUY, "10", "1", "0.01", "BNB"), FREE, D(500))
    assert (found.quote, found.base, found.fees) == (D(85), D(1), D(5))


def test_every_figure_of_one_round_trip_by_hand() -> None:
    on = market(taker_fee=D("0.1"), fee_side=FeeSide.QUOTE)
    position = position_of(
        D(1000), [fill(Side.BUY, "100", "4", "4"), fill(Side.SELL, "150", "1", "1.5")], on
    )
    books = Books(
        position=position,
        deposited=D(1000),
        withdrawn=D(20),
        grid_profit=D("47.5"),
        funding=D(2),
        matched_trades=1,
        hold_base=D(9),
    )
    shown = figures(books, D(200), on, D(500), timedelta(days=10))
    cash = D(1000) - 404 + D("148.5")
    assert shown.value_now == cash + 600
    assert shown.total == cash + 600 + 20 - 1000
    assert shown.total_share == shown.total / 500
    assert shown.price_change == shown.total - D("47.5") - 2
    assert shown.fees == D("5.5")
    assert shown.buy_and_hold == 9 * 200 + 20 - 1000
    assert shown.average_entry == 101
    assert shown.break_even == booked((1000 - 20 - cash) / (3 * D("0.9")))
    assert shown.yearly_pace == booked(D("47.5") / 500 / 10 * 365)
    assert shown.invested == 1000


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.decimals("0.0001", 10**5, places=8),
            st.decimals("0.0001", 10**4, places=8),
            st.decimals(0, 1, places=18),
            st.sampled_from(["ABC", "USDT"]),
        ),
        max_size=20,
    ),
    st.decimals("0.0001", 10**6, places=8),
    st.decimals(-1000, 1000, places=18),
    st.decimals(-1000, 1000, places=18),
)
@exact
def test_total_is_always_the_sum_of_its_parts(
    rows: list[Any], price: D, grid: D, funding: D
) -> None:
    fills = [
        Fill(str(i), "by1", s, p, q, f, c, at(i), True) for i, (s, p, q, f, c) in enumerate(rows)
    ]
    position = position_of(D(1000), fills, market())
    shown = figures(Books(position, D(1000), D(0), grid, funding), price, market())
    assert shown.total == shown.grid + shown.price_change + shown.funding
    coins = sum((f.quantity if f.side is Side.BUY else -f.quantity for f in fills), D(0))
    coins -= sum((f.fee for f in fills if f.fee_currency == "ABC"), D(0))
    cash = sum((f.price * f.quantity * (-1 if f.side is Side.BUY else 1) for f in fills), D(0))
    cash -= sum((f.fee for f in fills if f.fee_currency == "USDT"), D(0))
    assert (position.base, position.quote) == (coins, 1000 + cash)


def test_buy_and_hold_pays_the_taker_fee_once() -> None:
    assert held_instead(D(1000), D(100), market(taker_fee=D("0.25"))) == D("7.5")
    in_quote = market(taker_fee=D("0.25"), fee_side=FeeSide.QUOTE)
    assert held_instead(D(1000), D(100), in_quote) == 8


def test_a_bot_that_only_started_has_earned_nothing() -> None:
    shown = figures(opened(D(1000), D(100), FREE), D(120), FREE)
    assert (shown.total, shown.buy_and_hold, shown.break_even) == (D(0), D(200), None)


def test_a_break_even_at_or_below_zero_is_told_as_it_is() -> None:
    found = break_even(Books(Position(quote=D(1500), base=D(1)), deposited=D(1000)), FREE)
    assert found == -500


@pytest.mark.parametrize(
    ("deposited", "withdrawn", "total", "invested"),
    [(1000, 0, 50, 1000), (1000, 30, 50, 1000), (1000, 80, 50, 970), (1000, 80, -10, 920)],
)
def test_profit_taken_out_does_not_lower_the_money_invested(
    deposited: int, withdrawn: int, total: int, invested: int
) -> None:
    assert invested_now(D(deposited), D(withdrawn), D(total)) == invested


@pytest.mark.parametrize(
    ("time", "pace"),
    [
        (None, None),
        (timedelta(days=6, hours=23, minutes=59), None),
        (timedelta(days=7), D("0.521428571428571428")),
    ],
)
def test_there_is_no_yearly_pace_before_seven_days(time: timedelta | None, pace: D | None) -> None:
    assert yearly_pace(D(10), D(1000), time) == pace


def test_money_is_averaged_over_time() -> None:
    flows = [Flow(at(0), D(100)), Flow(at(30), D(200)), Flow(at(60), D(-300))]
    assert average_invested(flows, at(30)) == 100
    assert average_invested(flows[:2], at(60)) == (100 * 30 + 300 * 30) / D(60)
    assert average_invested(flows, at(120)) == (100 * 30 + 300 * 30) / D(120)
    assert average_invested([], at(1)) == 0
    assert average_invested(flows[:1], at(0)) == 100


def worst(values: list[str | int], flows: dict[int, int] | None = None) -> Drawdown:
    found = Drawdown()
    for number, value in enumerate(values):
        flow = D((flows or {}).get(number, 0))
        if flow or found.is_news(D(value)):
            found = found.after(D(value), at(number), flow)
    return found


def test_the_largest_fall_is_told_with_its_times() -> None:
    found = worst([100, 120, 90, 130, 117, 125, 91, 140])
    assert found.largest == D("0.3")
    assert (found.from_time, found.to_time) == (at(3), at(6))


def test_money_taken_out_is_no_fall() -> None:
    assert worst([100, 50, 45], {1: -50}).largest == D("0.1")
    assert worst([100, 300, 285], {1: 200}).largest == D("0.05")


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=50))
def test_the_largest_fall_is_that_of_all_pairs(values: list[int]) -> None:
    pairs = [
        booked(D(a - b) / a)
        for i, a in enumerate(values)
        for b in values[i:]
        if a == max(values[: i + 1])
    ]
    assert worst(list(values)).largest == max(pairs)


def recorded_drawdowns() -> list[Any]:
    """Return the published cases of a largest fall."""
    path = shared_folder() / "data" / "vectors" / "metrics.json"
    if not path.is_file():
        return []
    published = json.loads(path.read_text(encoding="utf-8"), parse_float=D)["empyrical"]
    return [
        pytest.param(
            published["series"][case["args"]["returns"]["series"]]["values"], case, id=str(i)
        )
        for i, case in enumerate(published["cases"])
        if case["test"] == "test_max_drawdown" and "series" in case["args"]["returns"]
    ]


@pytest.mark.shared
@pytest.mark.parametrize(("returns", "case"), recorded_drawdowns())
def test_a_published_drawdown_comes_out_the_same(returns: list[D | None], case: Any) -> None:
    value, values = D(100), [D(100)]
    for each in returns:
        value *= 1 + (each or D(0))
        values.append(value)
    assert round(worst([str(v) for v in values]).largest, 12) == abs(case["args"]["expected"])


def test_buy_and_hold_keeps_what_was_taken_out() -> None:
    # 1,000 bought 10 coins; at the same price 400 were taken out, so 6 coins are left.
    books = Books(Position(quote=D(600)), deposited=D(1000), withdrawn=D(400), hold_base=D(6))
    assert figures(books, D(100), FREE).buy_and_hold == 0
    assert figures(books, D(150), FREE).buy_and_hold == 300
