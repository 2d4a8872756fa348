"""The trade history: filters, totals, the file, one trade with its logic; of one person only."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from werkzeug.test import TestResponse

from app.accounts.models import User
from app.bots import stopping
from app.bots.models import Bot
from app.db import db, utc_now
from app.formatting.cells import safe_cell
from app.listing.paging import LAST_PAGE, Slice, page_of, read_page
from app.subscriptions.rights import give_plan
from app.trades import queries
from app.trades.models import FillRow, OrderRow, TradeRow
from app.trades.queries import TradeFilter
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.shop import Shop
from tests.client import Client
from tests.factories import make_user
from tests.long import few

Login = Callable[[User], Client]


@pytest.fixture
def shop(database: None) -> Shop:
    shop = Shop.open()
    with transaction():
        # The days of these tests lie far back.
        give_plan(None, shop.user_id, "premium", None, "sees all")
    return shop


@pytest.fixture
def client(shop: Shop, login_as: Login) -> Client:
    return login_as(shop.user)


def add_trade(shop: Shop, bot_id: int, profit: str, closed: datetime, **values: object) -> int:
    with transaction():
        row = TradeRow(
            **{
                "user_id": shop.user_id,
                "bot_id": bot_id,
                "symbol": "AAA/USDT",
                "side": "long",
                "status": "closed",
                "quantity": Decimal(1),
                "entry_price": Decimal(100),
                "exit_price": Decimal(102),
                "entry_at": closed - timedelta(hours=1),
                "exit_at": closed,
                "profit": Decimal(profit),
                "fees": Decimal("0.2"),
                "currency": "USDT",
                "logic": {},
                **values,
            }
        )
        db.session.add(row)
        db.session.flush()
        return row.id


def rows_of(answer: TestResponse) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_filters_by_bot_pair_date_side_and_state(shop: Shop) -> None:
    first, second = shop.add_bot("One"), shop.add_bot("Two")
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    add_trade(shop, first, "1", noon)
    add_trade(shop, second, "2", noon + timedelta(days=1))
    open_id = add_trade(shop, second, "0", noon, status="open", exit_at=None, exit_price=None)
    with transaction():
        db.session.get_one(TradeRow, open_id).profit = None

    def found(**wanted: object) -> int:
        return queries.list_trades(shop.user_id, TradeFilter(**wanted)).total  # type: ignore[arg-type]

    assert found() == 3
    assert found(bot_id=first) == 1
    assert found(symbol="AAA/USDT") == 3
    assert found(symbol="BBB/USDT") == 0
    assert found(status="open") == 1
    assert found(side="short") == 0
    assert found(mode="live") == 0
    assert found(first=noon + timedelta(hours=12)) == 1
    assert found(last=noon + timedelta(hours=12)) == 2


def test_totals_follow_the_filter_and_keep_modes_and_currencies_apart(shop: Shop) -> None:
    paper, live = shop.add_bot("Paper"), shop.add_bot("Live")
    shop.set_bot(live, mode="live")
    now = utc_now()
    add_trade(shop, paper, "1.5", now)
    add_trade(shop, paper, "-0.5", now)
    add_trade(shop, paper, "3", now, currency="EUR")
    add_trade(shop, live, "7", now)
    totals = queries.trade_totals(shop.user_id, TradeFilter())
    assert [(line.mode, line.currency, line.profit) for line in totals] == [
        ("live", "USDT", Decimal(7)),
        ("paper", "EUR", Decimal(3)),
        ("paper", "USDT", Decimal(1)),
    ]
    both = totals[2]
    assert (both.closed, both.open, both.wins, both.losses) == (2, 0, 1, 1)
    only = queries.trade_totals(shop.user_id, TradeFilter(bot_id=live))
    assert [line.profit for line in only] == [Decimal(7)]


def test_the_page_and_the_file_show_the_same_selection(shop: Shop, client: Client) -> None:
    first, second = shop.add_bot("One"), shop.add_bot("Two")
    now = utc_now()
    for number in range(60):
        add_trade(shop, first, str(number), now - timedelta(minutes=number))
    add_trade(shop, second, "-1.25", now)
    page = client.get(f"/trades?bot={first}")
    assert page.text.count('data-label="Net profit"') == 50 + 1
    assert "Page 1 of 2" in page.text
    assert client.get(f"/trades?bot={first}&page=2").text.count('data-label="Net profit"') == 10 + 1
    file = rows_of(client.get(f"/trades.csv?bot={first}"))
    assert len(file) == 60
    assert {row["bot"] for row in file} == {"One"}
    assert [row["profit"] for row in rows_of(client.get(f"/trades.csv?bot={second}"))] == ["-1.25"]


def test_days_are_those_of_the_reader_s_zone(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot()
    # 23:30 UTC on the 9th is 02:30 on the 10th in Moscow.
    add_trade(shop, bot_id, "1", datetime(2026, 3, 9, 23, 30, tzinfo=UTC))
    assert len(rows_of(client.get("/trades.csv?from=2026-03-10&to=2026-03-10"))) == 0
    with transaction():
        shop.user.profile.timezone = "Europe/Moscow"
    assert len(rows_of(client.get("/trades.csv?from=2026-03-10&to=2026-03-10"))) == 1
    assert len(rows_of(client.get("/trades.csv?from=2026-03-09&to=2026-03-09"))) == 0


def test_the_file_is_exact_utc_and_free_of_formulas(shop: Shop, client: Client) -> None:
    bot_id = shop.add_bot("=HYPERLINK(1)")
    closed = datetime(2026, 3, 10, 12, 0, 0, 123000, tzinfo=UTC)
    add_trade(shop, bot_id, "0.000000000000000001", closed, quantity=Decimal("0.00000001"))
    answer = client.get("/trades.csv")
    assert answer.mimetype == "text/csv"
    (row,) = rows_of(answer)
    assert row["bot"] == "'=HYPERLINK(1)"
    assert (row["profit"], row["quantity"]) == ("0.000000000000000001", "0.00000001")
    assert row["exit_time_utc"] == "2026-03-10T12:00:00.123000Z"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_every_formula_sign_is_defused(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


def test_a_plain_name_stays_as_it_is() -> None:
    assert safe_cell("Grid = 1") == "Grid = 1"


HOSTILE = [
    "bot=abc", "bot=-1", "bot=99999999999999999999999", "from=2026-13-40", "to=x",
    "from=0001-01-01", "to=9999-12-31", "page=-1", "page=99999999999", "symbol='%3B--",
    "side=up", "mode=x", "status=%F0%9F%98%80", "from=" + "9" * 500,
]  # fmt: skip


def test_hostile_filters_never_break_the_page(shop: Shop, client: Client) -> None:
    add_trade(shop, shop.add_bot(), "1", utc_now())
    for query in HOSTILE:
        assert client.get(f"/trades?{query}").status_code < 500, query
        assert client.get(f"/trades.csv?{query}").status_code < 500, query


def test_a_trade_tells_its_logic_and_fills(shop: Shop, client: Client) -> None:
    bot_id = shop.run_bot(97, 101)
    row = db.session.query(TradeRow).filter(TradeRow.entry_order_id.is_not(None)).first()
    assert row is not None
    found = queries.trade_page(shop.user_id, row.id)
    assert found.logic.reason is not None and found.logic.reason.code == "grid_start"
    assert found.logic.exit_reason is not None and found.logic.exit_reason.code == "answers_buy"
    assert found.logic.config_version == 1
    assert found.logic.tick_id and found.logic.exit_tick_id
    assert {setting.name for setting in found.settings} >= {"lower", "upper", "grids"}
    sides = [fill.side for fill in found.fills]
    assert sides == ["buy", "sell"]
    for fill in found.fills:
        stored = db.session.get_one(FillRow, fill.id)
        order = db.session.get_one(OrderRow, stored.order_id)
        assert (fill.price, fill.quantity, fill.fee) == (stored.price, stored.quantity, stored.fee)
        assert fill.fee_currency in {"AAA", "USDT"}
        assert fill.exchange_id == stored.trade_id
        assert fill.exchange_order_id == order.exchange_order_id
    page = client.get(f"/trades/{row.id}").text
    for part in (found.logic.tick_id, found.fills[0].exchange_id, "Placed when the grid started"):
        assert part in page
    assert "This could not be done" not in page
    assert bot_id == row.bot_id


@pytest.mark.long
def test_coins_of_the_first_purchase_lead_to_that_purchase(shop: Shop, client: Client) -> None:
    shop.run_bot(103)
    row = db.session.query(TradeRow).filter(TradeRow.entry_order_id.is_(None)).first()
    assert row is not None
    found = queries.trade_page(shop.user_id, row.id)
    assert found.trade.first_purchase
    assert [order.purpose for order in found.orders] == ["entry", "grid"]
    assert client.get(f"/trades/{row.id}").status_code == 200


def test_an_open_trade_says_so(shop: Shop, client: Client) -> None:
    shop.run_bot(97)
    page = queries.list_trades(shop.user_id, TradeFilter(status="open"))
    assert page.total == 1
    assert page.items[0].exit_price is None
    assert "still open" in client.get(f"/trades/{page.items[0].id}").text
    assert ">open<" in client.get("/trades").text


def test_the_trades_of_others_do_not_exist(shop: Shop, login_as: Login) -> None:
    shop.run_bot(97, 101)
    row = db.session.query(TradeRow).first()
    assert row is not None
    trade_id, bot_id = row.id, row.bot_id
    with transaction():
        other = make_user()
    stranger = login_as(other)
    assert stranger.get(f"/trades/{trade_id}").status_code == 404
    assert rows_of(stranger.get(f"/trades.csv?bot={bot_id}")) == []
    assert "My grid" not in stranger.get("/trades").text


@pytest.mark.parametrize("name", few(["bot", "from", "to", "side", "status", "mode"], 3))
def test_a_filter_that_can_not_be_read_says_so_beside_its_field(client: Client, name: str) -> None:
    said = "This filter was not understood and is left out."
    page = client.get("/trades", query_string={name: "<garbage>"}).text
    assert page.count(said) == 1
    assert f'id="{name}-error"' in page
    assert "<garbage>" not in page
    assert said not in client.get("/trades", query_string={name: ""}).text


def test_filters_that_can_be_read_are_not_complained_about(client: Client) -> None:
    good = {"bot": "7", "from": "2026-01-01", "to": "2026-02-01", "side": "long", "mode": "live"}
    assert "not understood" not in client.get("/trades", query_string=good).text


def test_page_numbers_are_read_with_care() -> None:
    odd = [None, "", "0", "-1", "x", "1e3", "٣", "9" * 50]
    assert [read_page(text) for text in odd] == [1] * 8
    assert (read_page("7"), read_page("99999")) == (7, LAST_PAGE)


def test_a_pager_knows_its_neighbours() -> None:
    page = page_of(Slice((), 2, 120), lambda number: f"?page={number}")
    assert (page.pages, page.prev_url, page.next_url) == (3, "?page=1", "?page=3")
    last = page_of(Slice((), 3, 120), lambda number: f"?page={number}")
    assert last.next_url is None


def test_stored_numbers_come_back_exactly(shop: Shop) -> None:
    trade_id = add_trade(shop, shop.add_bot(), "1.000000000000000001", utc_now())
    found = queries.trade_page(shop.user_id, trade_id).trade
    assert found.profit == Decimal("1.000000000000000001")
    assert json.dumps(str(found.profit)) == '"1.000000000000000001"'
    assert db.session.query(Bot).count() == 1


def test_a_sale_at_the_end_is_told_apart_from_the_sales_of_the_grid(
    shop: Shop, client: Client
) -> None:
    bot_id = shop.run_bot(97, 101, 95)
    with transaction():
        stopping.request_stop(shop.user_id, bot_id, StopHow.SELL)
    shop.tick()
    shop.tick()
    closed = queries.list_trades(shop.user_id, TradeFilter(status="closed")).items
    at_exit = [trade for trade in closed if trade.at_exit]
    assert at_exit and len(at_exit) < len(closed)
    assert all(
        trade.exit_reason and trade.exit_reason.code == "stop_requested" for trade in at_exit
    )
    sums = queries.trade_totals(shop.user_id, TradeFilter())[0]
    assert (sums.exits, sums.exit_profit) == (
        len(at_exit),
        sum(trade.profit or 0 for trade in at_exit),
    )
    assert "counts as price change" in client.get("/trades").text
    assert "not counted as a matched trade" in client.get(f"/trades/{at_exit[0].id}").text
    by_grid = next(trade for trade in closed if not trade.at_exit)
    assert "not counted as a matched trade" not in client.get(f"/trades/{by_grid.id}").text
