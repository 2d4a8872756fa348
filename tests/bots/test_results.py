"""What bots made in a period, against sums made by hand."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select, update

from app.accounts.models import User
from app.bots.models import BotEquity
from app.bots.queries import own_cards, results
from app.db import db, utc_now
from app.trades.models import TradeRow
from app.transactions import transaction
from tests.bots.shop import Shop
from tests.client import Client
from tests.factories import make_user

ROUND_TRIPS = (100, 94, 100, 94, 100)


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


def trades_of(bot_id: int) -> list[TradeRow]:
    query = select(TradeRow).where(TradeRow.bot_id == bot_id, TradeRow.status == "closed")
    return list(db.session.scalars(query))


def test_the_figures_are_the_sums_of_the_closed_trades(shop: Shop) -> None:
    bot_id = shop.run_bot(*ROUND_TRIPS)
    trades = trades_of(bot_id)
    assert trades
    found = results(shop.user_id, "paper", "7d")
    (line,), (currency,) = found.bots, found.currencies
    assert line.sums.trades == len(trades) == currency.sums.trades
    assert line.sums.gains - line.sums.losses == sum(each.profit or 0 for each in trades)
    assert line.sums.fees == sum(each.fees for each in trades)
    assert line.profit == line.figures.total == currency.profit
    assert line.profit == own_cards(shop.user_id)[0].figures.total  # type: ignore[union-attr]


@pytest.mark.long
def test_only_the_period_counts(shop: Shop) -> None:
    bot_id = shop.run_bot(*ROUND_TRIPS)
    total = results(shop.user_id, "paper", "all").bots[0].profit
    long_ago = utc_now() - timedelta(days=8)
    with transaction():
        db.session.execute(update(TradeRow).values(exit_at=long_ago))
        made = {"equity": Decimal(1003), "invested": Decimal(1000), "hold": Decimal(1000)}
        db.session.add(BotEquity(bot_id=bot_id, at=long_ago, **made))
    line = results(shop.user_id, "paper", "7d").bots[0]
    assert line.sums.trades == 0 and line.sums.win_share is None
    assert line.profit == total - 3
    assert results(shop.user_id, "paper", "all").bots[0].sums.trades > 0


@pytest.mark.long
def test_a_trade_that_lost_counts_against_those_that_won(shop: Shop) -> None:
    bot_id = shop.run_bot(*ROUND_TRIPS)
    first, *rest = trades_of(bot_id)
    with transaction():
        for trade, profit in [(first, Decimal(-2)), *((each, Decimal(1)) for each in rest)]:
            db.session.get_one(TradeRow, trade.id).profit = profit
    sums = results(shop.user_id, "paper", "7d").bots[0].sums
    assert (sums.won, sums.gains, sums.losses) == (len(rest), Decimal(len(rest)), Decimal(2))
    assert sums.profit_factor == Decimal(len(rest)) / 2
    assert sums.win_share == Decimal(len(rest)) / (len(rest) + 1)


def test_the_page_shows_own_bots_of_one_mode(
    shop: Shop, login_as: Callable[[User], Client]
) -> None:
    shop.run_bot(*ROUND_TRIPS)
    own = login_as(shop.user)
    assert "My grid" in own.get("/statistics?mode=paper").text
    assert "My grid" not in own.get("/statistics?mode=live").text
    assert "My grid" in own.get("/statistics?mode=paper&period=%F0%9F%98%80").text
    with transaction():
        other = make_user()
    assert "My grid" not in login_as(other).get("/statistics?mode=paper").text


def test_visitors_are_asked_to_log_in(client: Client) -> None:
    assert "/login" in client.get("/statistics").headers["Location"]
