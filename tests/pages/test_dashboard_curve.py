"""The curve of the dashboard: profit over time, whatever money comes in or goes out."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from app.accounts.models import User
from app.bots.metrics import write_equity
from app.bots.queries import dashboard
from app.bots.queries.dashboard_curve import Curve, samples
from app.db import utc_now
from app.transactions import transaction
from tests.bots.shop import Shop
from tests.client import Client
from tests.long import few

Login = Callable[[User], Client]
LONG = timedelta(days=30)


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


def sample(bot_id: int, hours_ago: int, *money: int) -> None:
    """Store value, invested and the value of holding as they were."""
    equity, invested, hold = map(Decimal, money)
    with transaction():
        write_equity([(bot_id, utc_now() - timedelta(hours=hours_ago), equity, invested, hold)])


def curve_of(shop: Shop, *, hold: bool = False, period: str = "7d") -> Curve:
    today: datetime = utc_now()
    found = dashboard(shop.user_id, "paper", today, period=period, hold=hold).curve
    assert found is not None
    return found


def test_money_that_comes_in_or_goes_out_is_no_profit(shop: Shop) -> None:
    bot_id = shop.run_bot()
    sample(bot_id, 5, 1000, 1000, 1000)
    sample(bot_id, 4, 1010, 1000, 990)
    sample(bot_id, 3, 6010, 6000, 5990)
    sample(bot_id, 2, 510, 500, 490)
    found = samples([bot_id], LONG)
    assert [each.profit for each in found] == [0, 10, 10, 10]
    assert [each.hold for each in found] == [0, -10, -10, -10]


def test_bots_are_summed_and_one_that_stands_still_keeps_what_it_made(shop: Shop) -> None:
    first, second = shop.run_bot(), shop.run_bot(name="Second")
    sample(first, 50, 1070, 1000, 1040)
    sample(second, 5, 1001, 1000, 1000)
    sample(second, 4, 1002, 1000, 1003)
    day = samples([first, second], timedelta(hours=24))
    assert [each.profit for each in day] == [71, 72]
    assert [each.hold for each in day] == [40, 43]


def test_before_a_first_purchase_holding_has_made_nothing(shop: Shop) -> None:
    bot_id = shop.run_bot()
    sample(bot_id, 5, 1000, 1000, 0)
    assert samples([bot_id], LONG)[0].hold == 0


def test_the_line_ends_in_the_total_profit_of_the_page(shop: Shop) -> None:
    bot_id = shop.run_bot("97", "103", "99")
    sample(bot_id, 2, 1000, 1000, 1000)
    page = dashboard(shop.user_id, "paper", utc_now(), period="7d")
    assert page.curve is not None
    assert page.curve.last == page.totals[0].total != 0
    assert page.curve.currency == page.totals[0].currency == "USDT"


def test_without_samples_there_is_no_line(shop: Shop) -> None:
    shop.run_bot()
    assert dashboard(shop.user_id, "paper", utc_now()).curve is None
    assert dashboard(shop.user_id, "live", utc_now()).curve is None


def test_both_lines_share_one_scale(shop: Shop) -> None:
    bot_id = shop.run_bot()
    sample(bot_id, 5, 1000, 1000, 1000)
    sample(bot_id, 4, 1010, 1000, 1200)
    alone, both = curve_of(shop), curve_of(shop, hold=True)
    assert alone.hold_points == "" and both.hold_points
    assert heights(alone.points)[1] == 1.0
    assert heights(both.hold_points)[1] == 1.0
    assert heights(both.points)[1] > 140
    assert both.zero


def heights(points: str) -> list[float]:
    return [float(pair.split(",")[1]) for pair in points.split()]


@pytest.mark.long
def test_holding_is_a_switch_that_is_off_at_first_and_stays_as_chosen(
    shop: Shop, login_as: Login
) -> None:
    bot_id = shop.run_bot()
    for hours in (5, 4, 3):
        sample(bot_id, hours, 1000 + hours, 1000, 1000 - hours)
    client = login_as(shop.user)
    off = client.get("/dashboard?period=7d").text
    assert "Total profit over time" in off and "lowest" in off and "USDT" in off
    assert 'class="hold"' not in off
    on = client.get("/dashboard?period=7d&hold=1").text
    assert 'class="hold"' in on and "Buy and hold (dashed)" in on
    live = re.search(r'hx-get="(/dashboard/live[^"]*)"', on)
    assert live and "hold=1" in live[1]
    assert 'class="hold"' in client.get(live[1].replace("&amp;", "&")).text


@pytest.mark.parametrize("hold", few(["", "0", "x", "1e9", "%F0%9F%98%80"], 3))
def test_odd_wishes_leave_the_switch_off(shop: Shop, login_as: Login, hold: str) -> None:
    bot_id = shop.run_bot()
    sample(bot_id, 5, 1000, 1000, 1000)
    page = login_as(shop.user).get(f"/dashboard?hold={hold}")
    assert page.status_code == 200
    assert 'class="hold"' not in page.text
