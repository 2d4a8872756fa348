"""A bot trades through the real library against the stand-in, over HTTP."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import current_app
from requests import Session
from sqlalchemy import text

from app.adapters.exchanges import ccxt as adapter
from app.adapters.exchanges import client as client_module
from app.adapters.exchanges import public
from app.adapters.exchanges.client import forget_markets
from app.bots import running, service, stopping
from app.bots.live import clock
from app.bots.queries import bot_card, notices_for
from app.db import db, utc_now
from app.errors import Unavailable
from app.exchanges.venues import own_pool
from app.markets.models import MarketRow
from app.markets.service import set_blocked
from app.trading.ports import Refused
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.bots.live_world import wander
from tests.doubles.bybit.faults import Fault, every_fault
from tests.doubles.bybit.server import DoubleServer
from tests.doubles.live import CONTRACT, DEPOSIT, LiveWorld
from tests.doubles.wire import product_at_double
from tests.long import few

pytestmark = pytest.mark.usefixtures("database")

LOT = Decimal("0.0001")


@pytest.fixture
def server() -> Iterator[DoubleServer]:
    """Run the stand-in, and send the product's calls to it."""
    with product_at_double() as server:
        yield server


@pytest.fixture
def live(server: DoubleServer, database: None) -> LiveWorld:
    """Return a world whose exchange is the stand-in."""
    return LiveWorld(server.operator_hand())


def test_a_grid_starts_fills_answers_and_agrees_with_the_exchange(live: LiveWorld) -> None:
    live.play("100")
    seat = live.add_seat("customer-one-of-the-stand-in")
    live.tick()
    (bot,) = seat.bots
    assert live.world.bot(bot).state == "active"
    assert len(live.world.open_orders(bot)) == 10
    for price in wander(3, 40):
        live.play(price)
        live.tick()
    live.tick()
    assert live.differences() == []
    assert len(live.world.trades(bot)) > 2


# Fewer than may be placed in a second: the product would only wait for its turn.
FEW_ORDERS: dict[str, Any] = {"grids": 6}


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the product's patience, so that what takes minutes takes a second."""
    monkeypatch.setattr(clock, "GRACE", timedelta(seconds=0.6))
    monkeypatch.setattr(client_module, "TIMEOUT_MS", 400)


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize(
    "fault", few(every_fault(0.3, longest_ms=300), 8), ids=lambda fault: fault.name
)
def test_each_fault_alone_leaves_the_books_equal_and_no_level_missing(
    live: LiveWorld, server: DoubleServer, fault: Fault
) -> None:
    live.play("100")
    live.add_seat("customer-one-of-the-stand-in", **FEW_ORDERS)
    server.faults.add(fault)
    for price in wander(5, 12):
        live.play(price)
        live.tick()
    assert sum(server.faults.struck.values()) > 0
    server.faults.set(())
    settle(live)
    assert live.differences() == []
    assert live.missing_levels() == []


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize(
    "habits",
    few(
        [
            {"partial": 0.5, "late_fills": 0.5, "late_ms": 200, "unordered": True, "forget": 0.3},
            {"partial": 0.7},
            {"late_fills": 0.7, "late_ms": 300},
            {"unordered": True},
            {"forget": 0.5, "forget_ms": 300},
        ],
        5,
    ),
    ids="-".join,
)
def test_each_habit_of_the_exchange_leaves_the_books_equal(
    live: LiveWorld, server: DoubleServer, habits: dict[str, object]
) -> None:
    live.play("100")
    live.add_seat("customer-one-of-the-stand-in", **FEW_ORDERS)
    server.operator.habits(**habits)
    for price in wander(6, 12):
        live.play(price)
        live.tick()
    settle(live)
    assert live.differences() == []
    assert live.missing_levels() == []


def settle(live: LiveWorld) -> None:
    """Give the product what it has when a fault is over: its patience, and one audit."""
    live.audit()
    time.sleep(0.7)
    live.audit()


@pytest.mark.long
@pytest.mark.usefixtures("in_haste")
def test_an_order_that_came_too_late_is_not_sent_again_without_asking_for_the_lease(
    live: LiveWorld, server: DoubleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker is paused in the very act of sending, beyond its lease and the request's window."""
    live.play("100")
    live.add_seat("customer-one-of-the-stand-in")
    real = Session.request
    paused: list[str] = []

    def request(self: Session, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if url.endswith("/order/create") and not paused:
            paused.append(url)
            elsewhere(take_over)
            server.venue.habits.clock_ms += 10_000
        return real(self, method, url, *args, **kwargs)

    def take_over() -> None:
        with transaction():
            db.session.execute(text("update account_leases set expires_at = now()"))
        live.world.tick("place-2")

    monkeypatch.setattr(Session, "request", request)
    live.tick()
    assert paused
    # The second place finds that the order may be on its way, so it is doubted for a while.
    settle(live)
    # Then it is sent anew, and what trades at once is booked.
    live.audit()
    assert live.differences() == []
    assert live.missing_levels() == []


def elsewhere(what: Callable[[], Any]) -> None:
    """Let another process do something meanwhile."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def work() -> None:
        with app.app_context():
            what()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result(30)


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("guard", few([True, False], 2), ids=["guarded", "without the guard"])
def test_only_errors_of_the_list_prove_that_nothing_was_sent(
    live: LiveWorld, server: DoubleServer, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """The exchange takes the first purchase and answers with a page of its gateway."""
    if not guard:
        monkeypatch.setattr(adapter, "outcome_of", lambda *_, **__: Refused("failed"))
    live.play("100")
    key = "customer-one-of-the-stand-in"
    live.add_seat(key)
    server.operator.habits(late_fills=1, late_ms=400)
    server.faults.add(Fault("http", "order/create", times=1, acted=True, status=503))
    live.tick()
    live.tick()
    orders = server.venue.customers[key].orders.values()
    assert (sum(order.kind == "Market" for order in orders) == 1) is guard


# --- what others do on the account ----------------------------------------------------------------


def test_orders_cancelled_by_the_owners_own_hand_are_logged_and_placed_again_after_a_while(
    live: LiveWorld, server: DoubleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.play("100")
    key = "customer-one-of-the-stand-in"
    (bot,) = live.add_seat(key).bots
    live.tick()
    gone = {order.client_id for order in live.world.open_orders(bot)[:3]}
    for client_id in gone:
        server.operator.take_away(key, client_id)
    live.audit()
    standing = live.world.open_orders(bot)
    assert len(standing) == 7
    assert live.world.events(bot).count("order_cancelled_outside") == 3
    monkeypatch.setattr(clock, "RESTORE_AFTER", timedelta(0))
    live.audit()
    assert live.missing_levels() == live.differences() == []
    assert not gone & {order.client_id for order in live.world.open_orders(bot)}


def test_orders_and_trades_of_the_owner_are_left_alone_and_the_moved_balance_is_told(
    live: LiveWorld, server: DoubleServer
) -> None:
    live.play("100")
    key = "customer-one-of-the-stand-in"
    (bot,) = live.add_seat(key).bots
    live.tick()
    own = {"symbol": "AAAUSDT", "qty": "1", "side": "Buy"}
    resting = server.operator.trade(key, orderType="Limit", price="50", **own)
    named = server.operator.trade(
        key, orderType="Limit", price="51", orderLinkId="my-own-order", **own
    )
    server.operator.trade(key, orderType="Market", **own)
    before = live.world.metrics(bot)
    for price in ("97.9", "100.5", "99"):
        live.play(price)
        live.tick()
    for _ in range(3):
        live.audit()
    orders = server.venue.customers[key].orders
    for order in (resting, named):
        assert orders[order["order_id"]].status == "New"
    metrics = live.world.metrics(bot)
    assert metrics.fills == len(live.world.fills(bot)) > before.fills
    bought = [row for row in server.venue.customers[key].executions if not row.link_id]
    assert len(bought) == 1
    # Our books do not hold what the owner has bought, and say so once for each currency.
    told = [line for line in live.world.log(bot) if line.code == "books_differ"]
    assert sorted(line.values["currency"] for line in told) == ["AAA", "USDT"]
    assert live.missing_levels() == []


@pytest.mark.long
def test_money_that_leaves_under_the_bot_is_told_and_when_it_is_back_the_ladder_is_whole(
    live: LiveWorld, server: DoubleServer
) -> None:
    live.play("100")
    key = "customer-one-of-the-stand-in"
    (bot,) = live.add_seat(key).bots
    live.tick()
    customer = server.venue.customers[key]
    free = customer.free("USDT", server.venue.instruments)
    server.venue.deposit(key, "USDT", -free)
    # A buy that is filled frees nothing, and the sell above it that is filled is bought back.
    for price in ("97.9", "102.5", "97.9"):
        live.play(price)
        live.tick()
    for _ in range(2):
        live.audit()
    assert "books_differ" in live.world.events(bot)
    assert live.world.bot(bot).state == "active"
    server.venue.deposit(key, "USDT", free)
    for _ in range(2):
        live.audit()
    assert live.missing_levels() == live.differences() == []


@pytest.mark.parametrize(
    "changes", few([{"price": "91.5"}, {"quantity": "3"}], 2), ids=["price", "size"]
)
def test_an_order_that_its_owner_edits_is_told_taken_back_and_placed_anew_after_a_while(
    live: LiveWorld, server: DoubleServer, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    live.play("100")
    key = "customer-one-of-the-stand-in"
    (bot,) = live.add_seat(key, **FEW_ORDERS).bots
    live.tick()
    lowest = min(live.world.open_orders(bot), key=lambda order: order.price)
    server.operator.edit(key, lowest.client_id, **changes)
    for _ in range(2):
        live.tick()
    assert live.world.events(bot).count("order_edited_outside") == 1
    (row,) = [o for o in live.world.orders(bot) if o.client_id == lowest.client_id]
    assert (row.status, row.error) == ("CANCELLED", "cancelled_outside")
    monkeypatch.setattr(clock, "RESTORE_AFTER", timedelta(0))
    for _ in range(2):
        live.audit()
    assert live.missing_levels() == []
    # Only the order that was taken back is another there than it was with us.
    assert all(lowest.client_id in each for each in live.differences())
    assert live.world.events(bot).count("order_edited_outside") == 1


def test_coins_that_the_owner_sells_under_the_bot_are_told_in_the_log_and_on_the_page(
    live: LiveWorld, server: DoubleServer
) -> None:
    live.play("100")
    key = "customer-one-of-the-stand-in"
    (bot,) = live.add_seat(key, **FEW_ORDERS).bots
    live.tick()
    live.audit()
    sells = [order for order in live.world.open_orders(bot) if order.side == "sell"]
    for order in sells:
        server.operator.take_away(key, order.client_id)
    held = server.venue.customers[key].wallet["AAA"] // LOT * LOT
    server.operator.trade(key, symbol="AAAUSDT", side="Sell", orderType="Market", qty=f"{held:f}")
    for _ in range(3):
        live.audit()
    row = live.world.bot(bot)
    assert row.state == "active"
    assert {"order_cancelled_outside", "books_differ"} <= set(live.world.events(bot))
    with transaction():
        lines = notices_for(bot_card(row.user_id, bot))
    told = {line.values["currency"] for line in lines if line.code == "books_differ"}
    assert told == {"AAA", "USDT"}
    # Buys go on: each level is bought anew.
    assert any(order.side == "buy" for order in live.world.open_orders(bot))


# --- pairs whose rules change, or that are dropped ------------------------------------------------


def test_rules_of_pairs_are_those_of_now_whenever_they_are_asked_for(server: DoubleServer) -> None:
    assert public.markets("bybit")["AAA/USDT"].lot == LOT
    pair = server.venue.instruments["spot", "AAAUSDT"]
    server.venue.instruments["spot", "AAAUSDT"] = replace(pair, lot=Decimal("0.01"))
    assert public.markets("bybit")["AAA/USDT"].lot == Decimal("0.01")
    # A list that was cut off drops nothing.
    server.venue.instruments = {("spot", "BBBUSDT"): server.venue.instruments["spot", "BBBUSDT"]}
    with pytest.raises(Unavailable, match="exchange_failed"):
        public.markets("bybit")


@pytest.mark.long
def test_a_pair_that_the_exchange_drops_holds_up_no_other_bot_and_its_bot_ends_cleanly(
    live: LiveWorld, server: DoubleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "GRACE", timedelta(0))
    other = live.world_of("BBB/USDT")
    live.play("100")
    live.play("100", symbol="BBB/USDT")
    key = "customer-one-of-the-stand-in"
    first, second = live.add_seat(key, 2, grids=4).bots
    live.tick()
    (gone, stays) = sorted((first, second), key=lambda bot: live.world.bot(bot).market_id)
    # Orders end with their pair.
    for order in live.world.open_orders(gone):
        server.operator.take_away(key, order.client_id)
    pair = server.venue.instruments["spot", "AAAUSDT"]
    server.venue.instruments["spot", "AAAUSDT"] = replace(pair, listed=False)
    forget_markets()
    own_pool().close()
    row = live.world.bot(gone)
    with transaction():
        set_blocked(row.market_id, "delisted")
    for price in ("94.9", "100.1", "94.9"):
        live.play(price, symbol="BBB/USDT")
        live.tick()
    assert (live.world.bot(gone).state, other.bot(stays).state) == ("paused", "active")
    assert other.metrics(stays).fills > 2
    with transaction():
        stopping.request_stop(row.user_id, gone, StopHow.KEEP)
    for _ in range(4):
        live.audit()
    assert live.world.bot(gone).state == "stopped"
    assert live.world.open_orders(gone) == []
    assert live.world.metrics(gone).base > 0


# --- a second stop --------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("symbol", "edited", "how"),
    [
        ("AAA/USDT", False, StopHow.KEEP),
        (CONTRACT, False, StopHow.SELL),
        ("AAA/USDT", True, StopHow.SELL),
        (CONTRACT, True, StopHow.SELL),
    ],
    ids=["coins kept", "contract closed", "coins sold after an edit", "closed after an edit"],
)
def test_a_second_stop_takes_back_what_the_first_has_left_beyond_the_range(
    live: LiveWorld, server: DoubleServer, symbol: str, edited: bool, how: StopHow
) -> None:
    world = live.world_of(symbol)
    live.play("100", symbol=symbol)
    key = "customer-one-of-the-stand-in"
    contract = {"direction": "long", "leverage": "2"} if symbol == CONTRACT else {}
    (bot,) = live.add_seat(key, 1, (symbol,), **contract).bots
    live.tick()
    owner = world.bot(bot).user_id

    def stop(wanted: StopHow) -> None:
        with transaction():
            stopping.request_stop(owner, bot, wanted, by_operator=True)

    stop(StopHow.LEAVE_ORDERS)
    live.tick()
    assert (world.bot(bot).state, len(world.open_orders(bot))) == ("stopped", 10)
    if edited:
        with transaction():
            service.change_bot(owner, bot, {"grids": 8})
    # The price leaves the range, and what is left is filled on its way.
    live.play("95.5", "89", symbol=symbol)
    live.audit()
    assert world.bot(bot).state == "stopped"
    stop(how)
    for _ in range(3):
        live.audit()
    assert world.bot(bot).state == "stopped"
    assert world.open_orders(bot) == server.venue.customers[key].open_orders() == []
    assert (world.metrics(bot).base < LOT) is (how is StopHow.SELL)
    assert live.differences() == []
    # Asked once more there is nothing left to do.
    stop(how)
    assert world.bot(bot).state == "stopped"


# --- contracts ------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("direction", "leverage"), [("short", "2"), ("long", "3"), ("neutral", "5")]
)
def test_position_funding_and_fees_of_a_contract_tie_to_the_last_unit(
    live: LiveWorld, server: DoubleServer, direction: str, leverage: str
) -> None:
    live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    seat = live.add_seat(key, 1, (CONTRACT,), direction=direction, leverage=leverage)
    live.tick()
    for number, price in enumerate(wander(3, 40)):
        live.play(price, symbol=CONTRACT)
        if number % 8 == 3:
            server.operator.fund("AAAUSDT", ("0.0001", "-0.000375")[number // 8 % 2])
        live.tick()
    live.audit()
    assert live.differences() == []
    assert live.missing_levels() == []
    (bot,) = seat.bots
    customer = server.venue.customers[key]
    assert customer.margin_mode == "ISOLATED_MARGIN"
    assert customer.positions["AAAUSDT"].leverage == int(leverage)
    fees = sum(row.fee for row in customer.executions if row.kind == "Trade")
    paid = sum(row.fee for row in customer.executions if row.kind == "Funding")
    metrics = live.world.metrics(bot)
    assert (metrics.fees, metrics.funding) == (fees, -paid)
    assert paid != 0
    assert metrics.fills > 4
    assert live.world.trades(bot)
    assert "books_differ" not in live.world.events(bot)


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [("2", "5"), ("5", "2")])
def test_another_leverage_is_set_before_the_orders_that_count_on_it_and_after_the_others(
    live: LiveWorld, server: DoubleServer, before: str, after: str
) -> None:
    live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    # So much that the orders of five times the money do not fit with the margin for twice.
    money = {"investment": f"{DEPOSIT * 2 / 5:f}"}
    seat = live.add_seat(key, 1, (CONTRACT,), direction="neutral", leverage=before, **money)
    live.tick()
    (bot,) = seat.bots
    owner = live.world.bot(bot).user_id
    customer = server.venue.customers[key]
    with transaction():
        market = db.session.get_one(MarketRow, live.world_of(CONTRACT).market_id)
        market.last_price_at = utc_now()
    with transaction():
        cost = running.edit_preview(owner, bot, {"leverage": after})
        running.edit_running(owner, bot, {"leverage": after}, cost.seen)
    live.tick()
    live.tick()
    assert customer.positions["AAAUSDT"].leverage == int(after)
    assert {order.status for order in live.world.orders(bot)} == {"OPEN", "CANCELLED"}
    live.audit()
    assert live.missing_levels() == []


def test_an_account_with_both_ways_side_by_side_is_made_one_way_before_it_trades(
    live: LiveWorld, server: DoubleServer
) -> None:
    live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    live.add_seat(key, 1, (CONTRACT,), direction="neutral", leverage="2")
    server.venue.switch_mode(server.venue.customers[key], "AAAUSDT", True)
    live.tick()
    live.audit()
    assert server.venue.customers[key].hedged == ()
    assert live.missing_levels() == live.differences() == []


@pytest.mark.parametrize("holds", few([False, True], 2))
def test_a_position_mode_that_its_owner_switches_meanwhile_is_switched_back_or_pauses_the_bot(
    live: LiveWorld, server: DoubleServer, holds: bool
) -> None:
    live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    (bot,) = live.add_seat(
        key, 1, (CONTRACT,), direction="neutral", leverage="2", **FEW_ORDERS
    ).bots
    live.tick()
    if holds:
        live.play("96", symbol=CONTRACT)
        live.tick()
    customer = server.venue.customers[key]
    for order in live.world.open_orders(bot):
        server.operator.take_away(key, order.client_id)
    # An exchange lets nobody switch while a position is held; whatever it did, we see the state.
    customer.hedged = ("AAAUSDT",)
    for _ in range(3):
        live.audit()
    row = live.world.bot(bot)
    if not holds:
        assert row.state == "active" and not server.venue.customers[key].hedged
        assert "order_cancelled_outside" in live.world.events(bot)
        return
    assert (row.state, row.state_reason["code"]) == ("paused", "position_mode_hedged")
    assert live.world.events(bot).count("paused_position_mode_hedged") == 1
    customer.hedged = ()
    with transaction():
        stopping.resume(row.user_id, bot)
    live.audit()
    assert live.world.bot(bot).state == "active"
    assert live.differences() == []


@pytest.mark.parametrize(
    ("kind", "code", "share"),
    few([("BustTrade", "liquidated", "1"), ("AdlTrade", "deleveraged", "0.5")], 2),
)
def test_a_closing_by_force_is_booked_told_by_its_kind_and_ends_the_bot(
    live: LiveWorld, server: DoubleServer, kind: str, code: str, share: str
) -> None:
    live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    (bot,) = live.add_seat(key, 1, (CONTRACT,), direction="long", leverage="3").bots
    live.tick()
    held = live.world.metrics(bot).base
    server.operator.take_over(key, "AAAUSDT", kind, share)
    for _ in range(2):
        live.audit()
    row = live.world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", code)
    assert live.world.events(bot).count(f"position_{code}") == 1
    left = server.venue.customers[key].positions["AAAUSDT"].size
    assert live.world.metrics(bot).base == left < held
    assert live.world.open_orders(bot) == []
    with transaction():
        db.session.execute(text("update exchange_accounts set fills_cursor = ''"))
    live.audit()
    assert live.world.metrics(bot).base == left
    assert "books_differ" not in live.world.events(bot)


@pytest.mark.long
@pytest.mark.parametrize(("direction", "share"), [("long", "1"), ("short", "0.5")])
def test_a_position_closed_by_its_owners_hand_is_booked_and_ends_the_bot(
    live: LiveWorld, server: DoubleServer, direction: str, share: str
) -> None:
    """The orders of the grid that close would open a position the other way."""
    world = live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    seat = live.add_seat(key, 1, (CONTRACT,), direction=direction, leverage="3", **FEW_ORDERS)
    (bot,) = seat.bots
    live.tick()
    there = server.venue.customers[key].positions["AAAUSDT"]
    sides = ("Buy", "Sell") if there.size > 0 else ("Sell", "Buy")

    def trade(side: str, quantity: Decimal) -> None:
        asked = {"category": "linear", "symbol": "AAAUSDT", "side": side, "orderType": "Market"}
        server.operator.trade(key, qty=f"{quantity:f}", **asked)

    # What the owner has beside the bot's position, or takes back of that, is none of its business.
    for side in sides:
        trade(side, Decimal(1))
        live.audit()
    assert world.bot(bot).state == "active"
    closed = abs(there.size) * Decimal(share) // LOT * LOT
    for part in (Decimal(1), closed - 1):
        trade(sides[1], part)
    for _ in range(2):
        live.audit()
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", "closed_by_hand")
    assert world.events(bot).count("position_closed_by_hand") == 2
    assert world.open_orders(bot) == server.venue.customers[key].open_orders() == []
    assert world.metrics(bot).base == there.size
    # A part that was kept may be closed there later.
    if there.size:
        trade(sides[1], abs(there.size))
        live.audit()
    assert world.metrics(bot).base == there.size == 0


@pytest.mark.long
def test_a_position_closed_by_hand_is_known_as_soon_as_its_orders_go_with_it(
    live: LiveWorld, server: DoubleServer
) -> None:
    """An exchange takes the stop back with its position; nobody waits for the next comparison."""
    world = live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    params = {"direction": "long", "leverage": "3", "stop_loss": "85", "at_exit": "sell"}
    (bot,) = live.add_seat(key, 1, (CONTRACT,), **params, **FEW_ORDERS).bots
    live.tick()
    live.tick()
    held = server.venue.customers[key].positions["AAAUSDT"].size
    (stop,) = [order for order in world.open_orders(bot) if order.purpose == "protect"]
    asked = {"category": "linear", "symbol": "AAAUSDT", "side": "Sell", "orderType": "Market"}
    server.operator.trade(key, qty=f"{held:f}", **asked)
    server.operator.take_away(key, stop.client_id)
    for _ in range(2):
        live.tick()
    row = world.bot(bot)
    assert (row.state, row.state_reason["code"]) == ("stopped", "closed_by_hand")
    assert world.metrics(bot).base == 0


@pytest.mark.long
def test_a_closing_order_that_closes_nothing_has_the_position_asked_for_at_once(
    live: LiveWorld, server: DoubleServer
) -> None:
    world = live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    contract = {"direction": "long", "leverage": "3"}
    (bot,) = live.add_seat(key, 1, (CONTRACT,), **contract, **FEW_ORDERS).bots
    live.tick()
    held = server.venue.customers[key].positions["AAAUSDT"].size
    asked = {"category": "linear", "symbol": "AAAUSDT", "side": "Sell", "orderType": "Market"}
    server.operator.trade(key, qty=f"{held:f}", **asked)
    owner = world.bot(bot).user_id
    with transaction():
        stopping.request_stop(owner, bot, StopHow.SELL)
    for _ in range(2):
        live.tick()
    assert world.bot(bot).state == "stopped"
    assert world.metrics(bot).base == 0
    assert "position_closed_by_hand" in world.events(bot)
    assert "closing_sale_failed" not in world.events(bot)


@pytest.mark.long
def test_a_position_that_own_fills_have_closed_which_are_told_late_ends_no_bot(
    live: LiveWorld, server: DoubleServer
) -> None:
    live.world_of(CONTRACT)
    live.play("100", symbol=CONTRACT)
    key = "customer-one-of-the-stand-in"
    seat = live.add_seat(key, 1, (CONTRACT,), direction="long", leverage="3", **FEW_ORDERS)
    (bot,) = seat.bots
    live.tick()
    server.operator.habits(late_fills=1, late_ms=3_600_000)
    live.play("104", symbol=CONTRACT)
    for _ in range(3):
        live.audit()
    assert live.world.bot(bot).state == "active"
    for row in server.venue.customers[key].executions:
        row.shown_from = 0
    server.operator.habits(late_fills=0)
    live.audit()
    assert live.missing_levels() == live.differences() == []
