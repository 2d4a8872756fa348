"""Contracts from the pages to the venue: offered, planned, started, shown; refused with reasons."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from flask import Flask
from sqlalchemy import text

from app.accounts.models import User
from app.adapters.exchanges.reading import Held
from app.bots import service, starting, stopping, venue_check
from app.bots.models import Bot, BotEvent, BotMetrics
from app.cli.bots import bots as commands
from app.db import db, utc_now
from app.errors import Conflict, Unavailable
from app.exchanges import snapshots
from app.exchanges.models import ExchangeAccount, PaperStake
from app.exchanges.queries import Balances, paper_balances, paper_position
from app.markets.models import MarketRow
from app.subscriptions.rights import give_plan
from app.trades.models import OrderRow
from app.trading.market import booked
from app.trading.ports import Balance
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.api.programs import Program, give_token
from tests.bots.shop import GRID, Shop
from tests.client import Client
from tests.factories import make_exchange
from tests.long import few

Login = Callable[[User], Client]
D = Decimal
SYMBOL = "AAA/USDT:USDT"
FORM = {
    "strategy": "grid", "name": "Contract grid", "lower": "90", "upper": "110", "grids": "10",
    "spacing": "arithmetic", "sizing": "equal_base", "investment": "1000", "reserve": "5",
    "at_exit": "sell", "preset": "own", "linked": "grids", "direction": "short", "leverage": "4",
}  # fmt: skip


@pytest.fixture
def shop(database: None) -> Shop:
    shop = Shop.open()
    with transaction():
        market = db.session.get_one(MarketRow, shop.market_id)
        market.kind, market.fee_side, market.symbol = "linear", "quote", SYMBOL
        market.max_leverage, market.funding_interval_s = D(50), 28_800
        market.tiers = [["0", "0.01", "0"]]
    return shop


@pytest.fixture
def client(shop: Shop, login_as: Login) -> Client:
    return login_as(shop.user)


def form_of(shop: Shop, **changes: str) -> dict[str, str]:
    return {**FORM, "account_id": str(shop.account_id), "market_id": str(shop.market_id), **changes}


def with_contract(shop: Shop, **params: Any) -> int:
    with transaction():
        return service.create_bot(
            shop.user_id, shop.account_id, shop.market_id, "grid",
            {**GRID, "direction": "long", "leverage": 4, **params}, "Contract",
        )  # fmt: skip


def start(client: Client, bot_id: int, **more: str) -> Any:
    page = client.get(f"/bots/{bot_id}/start").text
    seen = page.split('name="seen"')[1].split('value="')[1].split('"')[0]
    return client.post_form(f"/bots/{bot_id}/start", {"seen": seen, **more})


# --- on paper -------------------------------------------------------------------------------------


def test_a_beginner_finds_contracts_after_coins_and_gets_their_fields(
    shop: Shop, client: Client
) -> None:
    found = client.get(f"/bots/new/pairs?account_id={shop.account_id}&q=AAA").text
    assert SYMBOL in found
    assert "Futures" in found
    page = client.get(f"/bots/new?account={shop.account_id}&market={shop.market_id}").text
    for name in ("direction", "leverage"):
        assert f'name="{name}"' in page
    assert "Close the position at market" in page


def test_a_pair_of_coins_has_no_fields_of_contracts(database: None, login_as: Login) -> None:
    shop = Shop.open()
    page = login_as(shop.user).get(f"/bots/new?account={shop.account_id}").text
    assert 'name="leverage"' not in page
    refused = login_as(shop.user).post_form("/bots/new", form_of(shop))
    assert refused.status_code == 422
    assert "can only buy first" in refused.text


def test_a_short_grid_goes_from_the_form_to_its_position(shop: Shop, client: Client) -> None:
    preview = client.post_form("/bots/new/preview", form_of(shop)).text
    assert "First sale" in preview
    assert "close the position by force" in preview
    made = client.post_form("/bots/new", form_of(shop))
    assert made.status_code == 303
    bot = db.session.query(Bot).one()
    summary = client.get(made.location).text
    for words in ("Direction", "Short", "Leverage", "A liquidation takes the margin"):
        assert words in summary
    assert start(client, bot.id).status_code == 303
    shop.tick()
    page = client.get(f"/bots/{bot.id}").text
    assert "short" in page
    for words in ("Position", "Entry price", "Liquidation price", "Margin", "Funding"):
        assert words in page
    assert "Coins held" not in page
    stop = client.get(f"/bots/{bot.id}/stop").text
    assert "Keep the position" in stop
    assert "Close the position at market" in stop
    assert "its position is closed at market" in client.get(f"/bots/{bot.id}/emergency").text


@pytest.mark.long
def test_a_long_only_grid_never_sells_to_open(shop: Shop) -> None:
    bot_id = with_contract(shop)
    shop.start(bot_id)
    shop.tick()
    held = D(0)
    for price in (100, 97, 94, 103, 108, 112, 99, 91, 109, 113, 100):
        shop.play(D(price))
        shop.tick()
        db.session.rollback()
        now = db.session.get_one(BotMetrics, bot_id, populate_existing=True).base
        assert now >= 0
        held = max(held, now)
    assert held > 0
    sells = [o for o in db.session.query(OrderRow).all() if o.side == "sell"]
    assert sells
    assert all(o.status != "DENIED" for o in sells)
    codes = {event.code for event in db.session.query(BotEvent).all()}
    assert "level_sold" in codes
    assert "short_opened" not in codes


def test_leverage_beyond_the_contracts_is_refused_at_its_field(shop: Shop, client: Client) -> None:
    refused = client.post_form("/bots/new", form_of(shop, leverage="51"))
    assert refused.status_code == 422
    assert "at most 50" in refused.text


def test_a_venue_without_contracts_says_so_everywhere(shop: Shop, client: Client) -> None:
    with transaction():
        make_exchange("binance")
        db.session.get_one(MarketRow, shop.market_id).exchange = "binance"
        db.session.get_one(ExchangeAccount, shop.account_id).venue = "binance"
    words = "bots trade coins only, no contracts"
    assert SYMBOL not in client.get(f"/bots/new/pairs?account_id={shop.account_id}&q=AAA").text
    page = client.get(f"/bots/new?account={shop.account_id}&market={shop.market_id}").text
    assert words in page
    refused = client.post_form("/bots/new", form_of(shop))
    assert refused.status_code == 422
    assert words in refused.text
    with pytest.raises(Conflict, match="venue_has_no_contracts"):
        with_contract(shop)


def stop(shop: Shop, bot_id: int, how: StopHow) -> None:
    with transaction():
        shop.user.profile.experience = "expert"
        stopping.request_stop(shop.user_id, bot_id, how)
    for _ in range(3):
        shop.tick()
    assert shop.bot(bot_id).state == "stopped"


def test_a_position_that_a_stopped_bot_has_left_is_closed_from_its_page_then_it_is_deleted(
    shop: Shop, client: Client
) -> None:
    first, other = with_contract(shop), with_contract(shop)
    shop.start(first)
    shop.tick()
    stop(shop, first, StopHow.KEEP)
    held = db.session.get_one(BotMetrics, first, populate_existing=True).base
    assert held > 0
    # The price is beyond the range: no start could end it in another way.
    shop.play(D(80))
    page = client.get(f"/bots/{first}").text
    assert "still holds" in page and "Close its position" in page
    assert "nobody here watches it" in client.get(f"/bots/{first}/delete").text
    client.post_form(f"/bots/{first}/delete", {})
    assert "Stop it once more to close the position" in client.get(f"/bots/{first}").text
    assert shop.bot(first).deleted_at is None
    assert "Close the position at market" in client.get(f"/bots/{first}/stop").text
    client.post_form(f"/bots/{first}/stop", {"how": "sell"})
    for _ in range(3):
        shop.tick()
    assert shop.bot(first).state == "stopped"
    assert db.session.get_one(BotMetrics, first, populate_existing=True).base == 0
    assert db.session.query(PaperStake).filter(PaperStake.base != 0).count() == 0
    assert "Close its position" not in client.get(f"/bots/{first}").text
    client.post_form(f"/bots/{first}/delete", {})
    assert shop.bot(first).deleted_at is not None
    # The contract is free again.
    shop.play(D(100))
    assert start(client, other).status_code == 303
    shop.tick()
    assert shop.bot(other).state == "active"


@pytest.mark.long
def test_deleted_paper_bots_that_hold_a_contract_come_back_with_the_migration(shop: Shop) -> None:
    holder, empty = with_contract(shop), with_contract(shop)
    shop.start(holder)
    shop.tick()
    stop(shop, holder, StopHow.KEEP)
    # As it was possible once.
    for bot_id in (holder, empty):
        shop.set_bot(bot_id, deleted_at=utc_now())
    path = Path(__file__).parents[2] / "migrations" / "versions" / "0016_left_positions.py"
    spec = spec_from_file_location("left_positions", path)
    assert spec is not None and spec.loader is not None
    migration = module_from_spec(spec)
    spec.loader.exec_module(migration)
    with transaction(), Operations.context(MigrationContext.configure(db.session.connection())):
        migration.upgrade()
    assert shop.bot(holder).deleted_at is None
    assert shop.bot(empty).deleted_at is not None


@pytest.mark.long
def test_an_emergency_closes_the_position_that_a_stopped_bot_has_left(shop: Shop) -> None:
    bot_id = with_contract(shop)
    shop.start(bot_id)
    shop.tick()
    stop(shop, bot_id, StopHow.KEEP)
    with transaction():
        stopping.emergency_stop(shop.user_id, bot_id)
    for _ in range(3):
        shop.tick()
    assert shop.bot(bot_id).state == "locked"
    assert db.session.get_one(BotMetrics, bot_id, populate_existing=True).base == 0


@pytest.mark.long
def test_a_contract_on_paper_is_one_bots_until_that_has_left_it(shop: Shop, client: Client) -> None:
    first, second = (with_contract(shop, investment=D(500)) for _ in range(2))

    def refused() -> str:
        with pytest.raises(Conflict) as refusal:
            shop.start(second)
        assert shop.bot(second).state == "stopped"
        return refusal.value.code

    shop.start(first)
    shop.tick()
    assert refused() == "contract_is_taken"
    stop(shop, first, StopHow.LEAVE_ORDERS)
    assert refused() == "contract_has_orders"
    answer = start(client, second)
    assert answer.status_code == 409
    assert "Orders of “Contract” still stand in this contract" in answer.text
    # Its own position and orders are no hindrance.
    shop.start(first)
    shop.tick()
    assert shop.bot(first).state == "active"


@pytest.mark.long
def test_a_position_that_a_bot_has_kept_on_paper_refuses_others(shop: Shop, client: Client) -> None:
    first, second = (with_contract(shop, investment=D(500)) for _ in range(2))
    shop.start(first)
    shop.tick()
    stop(shop, first, StopHow.KEEP)
    answer = start(client, second)
    assert answer.status_code == 409
    assert "“Contract” still holds a position in this contract" in answer.text
    shop.start(first)
    shop.tick()
    stop(shop, first, StopHow.SELL)
    shop.start(second)
    shop.tick()
    assert shop.bot(second).state == "active"


def test_fills_on_their_way_are_no_strange_position(shop: Shop) -> None:
    bot_id = with_contract(shop)
    shop.start(bot_id)
    shop.tick()
    with transaction():
        base = db.session.get_one(BotMetrics, bot_id).base
        assert base > 0
        assert paper_position(shop.account_id, shop.market_id) == base
        db.session.execute(text("update exchange_accounts set fills_cursor = ''"))
        assert paper_position(shop.account_id, shop.market_id) == 0
        assert paper_position(shop.account_id, 0) == 0


@pytest.mark.parametrize("direction", few(["short", "long"], 2))
def test_the_page_of_a_paper_account_shows_its_positions(
    shop: Shop, client: Client, direction: str
) -> None:
    address = f"/exchanges/{shop.account_id}"
    assert "Leverage: none, nothing is borrowed." in client.get(address).text
    bot_id = with_contract(shop, direction=direction)
    shop.start(bot_id)
    shop.tick()
    shop.play(D("98"))
    shop.tick()
    page = client.get(address).text
    assert "nothing is borrowed" not in page
    for words in ("Contracts that the account holds", SYMBOL, direction, "4</data>×"):
        assert words in page
    with transaction():
        (shown,) = paper_balances(shop.account_id).positions
        metrics = db.session.get_one(BotMetrics, bot_id)
        entry = metrics.base_cost / abs(metrics.base)
        assert (shown.base, shown.leverage) == (metrics.base, D(4))
    assert shown.entry_price == booked(entry)
    # Isolated: a quarter of the value stands behind it, one percent of it must stay.
    sign = 1 if direction == "long" else -1
    assert shown.liquidation_price is not None
    assert abs(shown.liquidation_price - entry * (1 - sign * D("0.24"))) < D("1e-15")


def test_by_api_and_by_command(shop: Shop, app: Flask) -> None:
    program = Program(app, give_token(shop.user_id))
    made = program.post(
        "/bots",
        {
            "account": shop.account_id, "symbol": SYMBOL, "name": "By API", "lower": "90",
            "upper": "110", "grids": 10, "investment": "1000", "direction": "neutral",
            "leverage": "3",
        },
    )  # fmt: skip
    assert made.status_code == 201, made.text
    number = made.get_json()["id"]
    plan = program.get(f"/bots/{number}/plan").get_json()["plan"]
    assert plan["liquidation"]["below"]
    assert plan["liquidation"]["above"]
    ran = app.test_cli_runner().invoke(commands, ["start", str(number)])
    assert ran.exit_code == 0, ran.output
    shop.tick()
    assert shop.bot(number).state == "active"


# --- on real keys ---------------------------------------------------------------------------------


def told(*positions: Held, isolated: bool = True, money: str = "5000") -> Balances:
    return Balances({"USDT": Balance(D(money))}, utc_now(), positions, isolated)


def held(base: str, *, symbol: str = SYMBOL, hedged: bool = False) -> Held:
    side = "short" if base.startswith("-") else "long"
    return Held(symbol, side, abs(D(base)), D(100), D(4), None, hedged)


@pytest.fixture
def real(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[[Balances], None]:
    """Make the account a real one, and say what its exchange tells of it."""
    with transaction():
        account = db.session.get_one(ExchangeAccount, shop.account_id)
        account.mode, account.exchange = "live", "bybit"
        give_plan(None, shop.user_id, "pro", None, "for this test")

    # A slow machine shall not ask a worker for a newer answer.
    monkeypatch.setattr(snapshots, "AS_OF_NOW", timedelta(hours=1))

    def tell(answer: Balances) -> None:
        snapshots.keep(shop.account_id, answer)

    tell(told())
    return tell


Tell = Callable[[Balances], None]


def test_a_live_contract_bot_says_what_it_will_set_and_starts(
    shop: Shop, client: Client, real: Tell
) -> None:
    bot_id = with_contract(shop)
    assert "isolated margin, one-way mode" in client.get(f"/bots/{bot_id}/start").text
    assert start(client, bot_id, understood="y").status_code == 303
    assert shop.bot(bot_id).state == "starting"


REFUSED: Mapping[str, tuple[Balances, str]] = {
    "somebody elses position": (told(held("0.5")), "that the bot does not know"),
    "a short of somebody else": (told(held("-0.5")), "that the bot does not know"),
    "hedge mode": (told(held("0.5", hedged=True)), "hedge mode"),
    "one margin for all": (
        told(held("1", symbol="BBB/USDT:USDT"), isolated=False),
        "one margin for all positions",
    ),
}


@pytest.mark.parametrize("case", few(REFUSED, 4))
def test_an_account_that_can_not_be_set_is_refused_at_the_start_in_words(
    shop: Shop, client: Client, real: Tell, app: Flask, case: str
) -> None:
    answer, words = REFUSED[case]
    bot_id = with_contract(shop)
    page = client.get(f"/bots/{bot_id}/start").text
    seen = page.split('name="seen"')[1].split('value="')[1].split('"')[0]
    real(answer)
    refused = client.post_form(f"/bots/{bot_id}/start", {"seen": seen, "understood": "y"})
    assert refused.status_code == 409
    assert words in refused.text
    program = Program(app, give_token(shop.user_id))
    by_api = program.post(f"/bots/{bot_id}/start", {"understood": True})
    assert by_api.status_code == 409
    by_command = app.test_cli_runner().invoke(commands, ["start", str(bot_id)])
    assert by_command.exit_code != 0
    assert shop.bot(bot_id).state == "stopped"


def test_positions_in_other_contracts_are_nobodys_business(
    shop: Shop, client: Client, real: Tell
) -> None:
    real(told(held("1", symbol="BBB/USDT:USDT")))
    bot_id = with_contract(shop)
    assert start(client, bot_id, understood="y").status_code == 303


@pytest.mark.long
def test_a_bot_that_kept_its_position_may_start_on_it_again(
    shop: Shop, client: Client, real: Tell
) -> None:
    bot_id = with_contract(shop)
    with transaction():
        row = db.session.get_one(BotMetrics, bot_id)
        row.base, row.base_cost, row.quote, row.deposited = D(2), D(200), D(800), D(1000)
    real(told(held("2")))
    assert start(client, bot_id, understood="y").status_code == 303


def test_a_key_that_may_not_trade_contracts_is_told_so(shop: Shop, real: Tell) -> None:
    with transaction():
        account = db.session.get_one(ExchangeAccount, shop.account_id)
        account.permissions = {"read": True, "trade": True, "contracts": False}
    with pytest.raises(Conflict, match="key_can_not_trade_contracts"):
        with_contract(shop)


def test_an_exchange_that_does_not_answer_starts_nothing(shop: Shop, real: Tell) -> None:
    bot_id = with_contract(shop)
    snapshots.forget(shop.account_id)
    balances = venue_check.ask_venue(shop.user_id, bot_id, 0.1)
    assert balances is None
    with pytest.raises(Unavailable, match="balances_unknown"), transaction():
        starting.start_as_planned_now(shop.user_id, bot_id, balances)


def test_totals_hold_money_and_positions() -> None:
    facts = told(held("0.5"), held("-2", symbol="BBB/USDT:USDT"))
    assert facts.totals == {"USDT": D(5000), SYMBOL: D("0.5"), "BBB/USDT:USDT": D(-2)}
    assert replace(facts, positions=()).totals == {"USDT": D(5000)}


# --- stops that can't rest ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange", "at_exit", "says"),
    few(
        [("okx", "sell", True), ("kucoin", "sell", True), ("mexc", "sell", True),
         ("bybit", "sell", False), ("binance", "sell", False), ("okx", "keep", False)],
        3,
    ),
)  # fmt: skip
def test_who_watches_the_stop_is_said_where_no_stop_can_rest(
    database: None, login_as: Login, monkeypatch: pytest.MonkeyPatch, exchange: str,
    at_exit: str, says: bool,
) -> None:  # fmt: skip
    shop = Shop.open()
    with transaction():
        make_exchange(exchange)
        account = db.session.get_one(ExchangeAccount, shop.account_id)
        account.mode, account.exchange, account.venue = "live", exchange, exchange
        db.session.get_one(MarketRow, shop.market_id).exchange = exchange
    monkeypatch.setattr(snapshots, "AS_OF_NOW", timedelta(hours=1))
    snapshots.keep(shop.account_id, told())
    client = login_as(shop.user)
    with transaction():
        bot_id = service.create_bot(
            shop.user_id, shop.account_id, shop.market_id, "grid",
            {**GRID, "stop_loss": D(80), "at_exit": at_exit}, "With a stop",
        )  # fmt: skip
    words = "Botyard itself watches the stop-loss and sells"
    assert (words in client.get(f"/bots/{bot_id}/start").text) is says
    form = {**form_of(shop, at_exit=at_exit, stop_loss="80"), "direction": "", "leverage": ""}
    assert (words in client.post_form("/bots/new/preview", form).text) is says
    shop.set_bot(bot_id, state="active")
    assert (words in client.get(f"/bots/{bot_id}").text) is says
