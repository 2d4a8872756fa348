"""What stays at an exchange when a bot, an account or a person goes: read, shown, and meant."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from app.accounts.deletion import erasing
from app.accounts.deletion.erasing import QUIET, Outcome
from app.accounts.models import User
from app.adapters.exchanges.reading import Held
from app.bots import stopping, upkeep
from app.bots.live import real_side
from app.bots.live.outcomes import PREFIX
from app.bots.models import BotEvent
from app.bots.queries.names import unfinished_bots
from app.db import db, utc_now
from app.errors import Conflict, Unavailable
from app.exchanges import jobs as exchange_jobs
from app.exchanges import remains, service
from app.exchanges.models import ExchangeAccount
from app.exchanges.queries import Balances
from app.trades.models import OrderRow
from app.trades.service import ids_beside
from app.trading.orders import OrderKey, OrderKind, Purpose, Side, Status, client_order_id
from app.trading.ports import Accepted, AccountLook, Balance, VenueOrder
from app.trading.strategy import StopHow
from app.transactions import transaction
from tests.answering import answering
from tests.bots.test_left_stop import Desk
from tests.client import Client
from tests.factories import make_exchange


class Kept:
    """A stopped bot on a real account that has kept a position, and what its exchange shows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = Desk()
        self.desk.stop()
        self.bot, shop = self.desk.bot, self.desk.shop
        self.user_id, self.account_id = shop.user_id, shop.account_id
        with transaction():
            make_exchange("bybit")
            account = db.session.get_one(ExchangeAccount, self.account_id)
            account.exchange, account.mode, account.last_four = "bybit", "live", "1234"
        shop.set_bot(self.bot, mode="live")
        self.symbol = shop.bot(self.bot).symbols[0]
        held = abs(self.desk.held)
        self.positions = [Held(self.symbol, "long", held, Decimal(96), Decimal(3), Decimal(65))]
        self.orders = [stop_of(self.symbol, held)]
        self.failure: Unavailable | None = None
        monkeypatch.setattr(exchange_jobs, "_door", lambda *_: None)
        monkeypatch.setattr(service, "read_remains", self._read)

    def _read(self, door: object, symbols: Sequence[str]) -> Any:
        if self.failure is not None:
            raise self.failure
        assert self.symbol in set(symbols)
        money = {"USDT": Balance(Decimal("812.5"))}
        return Balances(money, utc_now(), self.positions), tuple(self.orders)

    def account(self) -> Any:
        db.session.rollback()
        return db.session.get_one(ExchangeAccount, self.account_id, populate_existing=True)

    def events(self) -> list[str]:
        return self.desk.world.events(self.bot)


def stop_of(symbol: str, quantity: Decimal) -> VenueOrder:
    return VenueOrder(
        client_id="by-stop", symbol=symbol, side=Side.SELL, kind=OrderKind.STOP,
        price=Decimal(85), quantity=quantity, filled=Decimal(0), status=Status.OPEN,
    )  # fmt: skip


@pytest.fixture
def kept(database: None, app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    kept = Kept(monkeypatch)
    with answering(app):
        yield kept


@pytest.fixture
def client(kept: Kept, login_as: Callable[[User], Client]) -> Client:
    return login_as(kept.desk.shop.user)


def seen_on(page: str) -> str:
    found = re.search(r'name="seen"[^>]*value="([^"]*)"', page)
    assert found is not None, page
    return found[1]


@pytest.mark.long
def test_an_account_that_leaves_something_is_deleted_only_by_who_has_read_what(
    kept: Kept, client: Client
) -> None:
    path = f"/exchanges/{kept.account_id}/delete"
    page = client.get(path).text
    for words in ("A long position of", "at 85 it trades", "812.5", "is liquidated at 65"):
        assert words in page
    assert f"/bots/{kept.bot}/stop" in page
    seen = seen_on(page)
    # Not ticked; then the stop is gone since it was read.
    assert client.post_form(path, {"seen": seen}).status_code == 422
    kept.orders = []
    answer = client.post_form(path, {"seen": seen, "understood": "y"})
    assert (answer.status_code, "not the same any more" in answer.text) == (422, True)
    assert kept.account().deleted_at is None
    agreed = {"seen": seen_on(answer.text), "understood": "y"}
    assert client.post_form(path, agreed).status_code == 303
    assert kept.account().deleted_at is not None
    assert "left_with_account" in kept.events()


@pytest.mark.long
def test_nobody_looks_at_what_a_deleted_account_has_left_and_its_bot_promises_nothing(
    kept: Kept, client: Client
) -> None:
    (stop,) = kept.desk.world.open_orders(kept.bot)
    with transaction():
        service.delete(kept.user_id, kept.account_id, leaves_stops=True)
    kept.desk.shop.set_bot(kept.bot, last_tick_at=utc_now() - 2 * upkeep.LEFT_BEHIND)
    with transaction():
        assert upkeep.find_due_accounts(10) == set()
        row = db.session.get_one(OrderRow, stop.id, populate_existing=True)
        assert (row.status, row.error, row.settled) == ("CANCELLED", "left_with_account", True)
    page = client.get(f"/bots/{kept.bot}").text
    assert "was deleted here while the bot held" in page
    assert "Close its position" not in page and "Remove its stop" not in page
    for how in (StopHow.SELL, StopHow.KEEP):
        with transaction():
            stopping.request_stop(kept.user_id, kept.bot, how)
        assert kept.desk.state == "stopped"
    assert client.post_form(f"/bots/{kept.bot}/delete", {}).status_code == 303
    # Whoever connects the account anew does not take the stop back as a stray.
    with transaction():
        account = db.session.get_one(ExchangeAccount, kept.account_id)
        other = ExchangeAccount(
            id=kept.account_id + 1000, user_id=kept.user_id, exchange="bybit", venue="bybit",
            label="Again", mode="live", maker_fee=account.maker_fee, taker_fee=account.taker_fee,
        )  # fmt: skip
        db.session.add(other)
        db.session.flush()
        assert ids_beside(other.id, {stop.client_id}) == {stop.client_id}


class _LeavesMeanwhile:
    """The exchange of somebody who is erased just while it is asked what stands there."""

    def __init__(self, kept: Kept, told: Sequence[VenueOrder]) -> None:
        self.kept, self.told = kept, tuple(told)
        self.outcomes: list[Outcome] = []
        self.taken_back: list[str] = []

    def look(self, _expected: object, cursor: str, *, whole: bool = False) -> AccountLook:
        with transaction():
            db.session.get_one(User, self.kept.user_id).leaves_at = utc_now() - QUIET
        self.outcomes.append(erasing.erase(self.kept.user_id))
        return AccountLook({self.kept.symbol: self.told}, (), cursor)

    def cancel(self, _symbol: str, client_id: str) -> Accepted:
        self.taken_back.append(client_id)
        return Accepted("1")


def test_who_is_erased_while_their_account_is_ticked_leaves_it_as_it_is(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stop,) = kept.desk.world.open_orders(kept.bot)
    key = OrderKey(Purpose.GRID, 3, Side.BUY)
    stray = replace(
        stop_of(kept.symbol, stop.quantity),
        client_id=client_order_id(PREFIX, kept.bot, 1, key, 9),
        kind=OrderKind.LIMIT,
    )
    standing = replace(stop_of(kept.symbol, stop.quantity), client_id=stop.client_id)
    venue = _LeavesMeanwhile(kept, (standing, stray))
    monkeypatch.setattr(real_side, "open_venue", lambda _account_id: venue)
    with transaction():
        db.session.get_one(ExchangeAccount, kept.account_id).audited_at = utc_now()
    kept.desk.shop.tick()
    assert venue.outcomes == [Outcome.SHUT]
    assert venue.taken_back == []
    with transaction():
        row = db.session.get_one(OrderRow, stop.id, populate_existing=True)
        assert (row.status, row.error, row.settled) == ("CANCELLED", "left_with_account", True)
    # Nor does anybody look there again, before the last of their data goes.
    kept.desk.shop.set_bot(kept.bot, last_tick_at=utc_now() - 2 * upkeep.LEFT_BEHIND)
    with transaction():
        assert upkeep.find_due_accounts(10) == set()
    kept.desk.shop.tick()
    assert len(venue.outcomes) == 1


@pytest.mark.long
def test_an_exchange_that_does_not_answer_is_named_with_what_was_read_last(
    kept: Kept, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/exchanges/{kept.account_id}/delete"
    client.get(path)
    kept.failure = Unavailable("exchange_unreachable", exchange="bybit")
    page = client.get(path).text
    assert "We could not read what stays at Bybit" in page and "does not answer" in page
    assert "A long position of" in page and "orders are not known" in page
    assert client.post_form(path, {"seen": seen_on(page)}).status_code == 422
    assert client.post_form(path, {"seen": "unread", "understood": "y"}).status_code == 422
    assert kept.account().deleted_at is None
    # Nobody is there to ask.
    monkeypatch.setattr(remains, "PATIENCE_S", 0.0)
    assert "Nobody here could ask" in client.get(path).text


@pytest.mark.long
def test_only_a_dead_key_lets_an_account_go_with_orders_that_could_be_taken_back(
    kept: Kept, client: Client
) -> None:
    with transaction():
        row = db.session.query(OrderRow).filter_by(bot_id=kept.bot, purpose="grid").first()
        assert row is not None
        row.status, row.settled = "OPEN", False
    path = f"/exchanges/{kept.account_id}/delete"
    agreed = {"seen": seen_on(client.get(path).text), "understood": "y"}
    client.post_form(path, agreed)
    assert kept.account().deleted_at is None
    kept.failure = Unavailable("exchange_key_refused", exchange="bybit")
    agreed["seen"] = seen_on(client.get(path).text)
    client.post_form(path, agreed)
    assert kept.account().deleted_at is not None


@pytest.mark.long
def test_a_service_without_consent_leaves_no_stop(kept: Kept) -> None:
    with pytest.raises(Conflict, match="account_has_stop"), transaction():
        service.delete(kept.user_id, kept.account_id)


def test_a_bot_that_leaves_a_position_is_deleted_only_by_who_has_read_it(
    kept: Kept, client: Client
) -> None:
    path = f"/bots/{kept.bot}/delete"
    page = client.get(path).text
    assert "A long position of" in page and "at 85 it trades" in page and "812.5" not in page
    assert f"/bots/{kept.bot}/stop" in page
    for form in ({}, {"seen": seen_on(page)}, {"understood": "y"}):
        assert client.post_form(path, form).status_code == 422
    assert kept.desk.world.bot(kept.bot).deleted_at is None
    client.post_form(path, {"seen": seen_on(page), "understood": "y"})
    assert kept.desk.world.bot(kept.bot).deleted_at is not None
    # Its stop is still ours to take back when the position is gone.
    assert len(kept.desk.stops()) == 1


@pytest.mark.long
def test_a_person_who_leaves_reads_what_stays_at_each_exchange(kept: Kept, client: Client) -> None:
    page = client.get("/settings/delete/ask").text
    assert "A long position of" in page and "at 85 it trades" in page
    form = {"sure": "y", "seen": seen_on(page)}
    assert client.post_form("/settings/delete/ask", form).status_code == 422
    assert client.post_form("/settings/delete/ask", {"sure": "y", "left": "y"}).status_code == 422
    assert client.post_form("/settings/delete/ask", {**form, "left": "y"}).status_code == 303
    assert unfinished_bots(kept.user_id) == []


@pytest.mark.long
def test_a_paper_account_leaves_nothing_and_asks_nobody(database: None) -> None:
    desk = Desk()
    desk.stop()
    with transaction():
        service.delete(desk.shop.user_id, desk.shop.account_id)
        left = db.session.query(OrderRow).filter_by(settled=False).count()
        codes = {event.code for event in db.session.query(BotEvent)}
    assert left == 0
    assert "left_with_account" not in codes
