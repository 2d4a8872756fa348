"""Our books and the venue's money move by the same, to the last unit; what differs is told."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text

from app.accounts.models import AuditEntry, Role
from app.bots import ties
from app.bots.ties import Difference, Stand, differences, note_told, stands_of, told_differences
from app.db import db, utc_now
from app.exchanges.models import AccountAudit
from app.trades.models import FundingRow
from app.trading.ports import Balance, Funding, FundingPage
from app.transactions import transaction
from tests.bots.fake_venue import SYMBOL
from tests.bots.live_world import World, wander
from tests.bots.real_desk import Desk
from tests.factories import make_market, make_user

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def desk(database: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(monkeypatch)
    desk.tick()
    return desk


def audit_row() -> Any:
    with transaction():
        return db.session.execute(select(AccountAudit.__table__)).one()


def stand(venue: dict[str, int], ours: dict[str, int]) -> Stand:
    def sums(given: dict[str, int]) -> dict[str, Decimal]:
        return {currency: Decimal(amount) for currency, amount in given.items()}

    return Stand(sums(venue), sums(ours), {})


def test_what_moves_alike_is_no_difference_whatever_else_lies_there() -> None:
    before = stand({"USDT": 500, "DOGE": 7}, {"USDT": 0})
    after = stand({"USDT": 450, "DOGE": 1, "AAA": 5}, {"USDT": -50, "AAA": 5})
    assert differences(1, before, after) == []
    (found,) = differences(1, before, replace(after, venue={**after.venue, "AAA": Decimal(4)}))
    assert found == Difference(1, "AAA", Decimal(5), Decimal(4))


def test_the_last_digit_of_what_a_position_has_cost_is_no_difference() -> None:
    # Which of two fills of one moment came first decides how it was rounded.
    before = stand({"USDT": 500}, {"USDT": 0})
    after = replace(before, ours={"USDT": Decimal("1e-18")}, rounded=frozenset({"USDT"}))
    assert differences(1, before, after) == []
    (found,) = differences(1, before, replace(after, ours={"USDT": Decimal("1e-12")}))
    assert found.gap == Decimal("1e-12")
    # Coins are not rounded.
    assert differences(1, before, replace(after, rounded=frozenset()))


def test_a_bot_that_trades_ties_to_its_venue_to_the_last_unit(desk: Desk) -> None:
    for price in wander(3, 40, step="5"):
        desk.play(str(price))
        desk.audit()
    assert desk.world.metrics(desk.bot).fills > 10
    row = audit_row()
    assert (row.pending, row.told) == ({}, {})
    assert Decimal(row.ours["AAA"]) == desk.world.metrics(desk.bot).base
    assert "books_differ" not in desk.world.events(desk.bot)


def test_a_difference_that_stays_is_told_once_with_both_sides(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.audit()
    move_money(desk, Decimal("-12.5"))
    desk.audit()
    # Perhaps a fill was on its way between two answers.
    assert "books_differ" not in desk.world.events(desk.bot)
    for _ in range(3):
        desk.audit()
    assert desk.world.events(desk.bot).count("books_differ") == 1
    assert "currency=USDT ours=0 venue=-12.5" in caplog.text
    row = audit_row()
    assert row.told == {"USDT": ["0", "-12.5"]}
    assert row.told_at is not None
    with transaction():
        (told,) = told_differences()
        assert (told.account_id, told.currency, told.venue) == (77, "USDT", Decimal("-12.5"))
        staff = make_user(Role.SUPPORT).id
    for number in (77, 77, 0, 2**63):
        with transaction():
            note_told(staff, number)
    assert audit_row().told == {}
    with transaction():
        assert told_differences() == []
        noted = select(AuditEntry).where(AuditEntry.action == "books.noted")
        assert db.session.scalars(noted).one().before == {"USDT": ["0", "-12.5"]}


@pytest.mark.long
def test_a_difference_is_told_though_the_bot_trades_between_all_comparisons(desk: Desk) -> None:
    desk.audit()
    move_money(desk, Decimal(-5))
    pendings = []
    for price in ("95", "105", "95", "105"):
        fills = desk.world.metrics(desk.bot).fills
        desk.play(price)
        desk.audit()
        assert desk.world.metrics(desk.bot).fills > fills
        pendings.append(audit_row().pending)
    assert set(pendings[0]) == {"USDT"}
    assert pendings[1:] == [{}, {}, {}]
    assert desk.world.events(desk.bot).count("books_differ") == 1
    ours, venue = audit_row().told["USDT"]
    assert Decimal(ours) != 0
    assert Decimal(ours) - Decimal(venue) == 5


@pytest.mark.long
def test_what_is_told_of_one_currency_waits_for_no_other(desk: Desk) -> None:
    desk.audit()
    move_money(desk, Decimal(-5))
    for coins in (1, 2, 3):
        move_money(desk, Decimal(coins), "AAA")
        desk.audit()
    row = audit_row()
    assert row.told == {"USDT": ["0", "-5"]}
    assert row.pending == {"AAA": ["0", "6"]}
    desk.audit()
    assert audit_row().told == {"USDT": ["0", "-5"], "AAA": ["0", "6"]}
    assert audit_row().pending == {}


def test_a_difference_that_passes_is_not_told(desk: Desk) -> None:
    desk.audit()
    move_money(desk, Decimal(5))
    desk.audit()
    assert audit_row().pending == {"USDT": ["0", "5"]}
    move_money(desk, Decimal(-5))
    for _ in range(3):
        desk.audit()
    assert "books_differ" not in desk.world.events(desk.bot)
    assert audit_row().pending == {}


def move_money(desk: Desk, amount: Decimal, currency: str = "USDT") -> None:
    """Let the customer move money at the venue."""
    real = desk.venue.balances

    def moved() -> dict[str, Balance]:
        balances = dict(real())
        free, locked = balances[currency]
        balances[currency] = Balance(free + amount, locked)
        return balances

    desk.venue.balances = moved  # type: ignore[method-assign]


def test_without_a_count_of_our_own_fills_the_comparison_would_find_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.audit()
    desk.play("97.9")
    desk.tick()
    with transaction():
        db.session.execute(text("update bot_metrics set base = base + 0.000000000000000001"))
    for _ in range(2):
        desk.audit()
    assert "books_differ" in desk.world.events(desk.bot)


def test_a_fee_in_a_third_coin_is_valued_and_ties(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        coin = make_market("BBB/USDT")
        coin.last_price = Decimal(20)
    pay_fees_in(desk, "BBB", Decimal("0.01"), {"BBB": Decimal(1)})
    desk.audit()
    desk.play("97.9")
    desk.tick()
    for _ in range(3):
        desk.audit()
    fill = desk.world.fills(desk.bot)[-1]
    assert (fill.fee_currency, fill.fee, fill.fee_quote) == ("BBB", Decimal("0.01"), Decimal("0.2"))
    assert desk.world.metrics(desk.bot).fees > Decimal("0.2")
    row = audit_row()
    assert (row.pending, row.told) == ({}, {})
    assert row.ours["BBB"] == "-0.01"
    assert "fee_price_unknown" not in desk.world.events(desk.bot)


@pytest.mark.long
def test_a_fee_in_a_coin_without_a_price_is_told_once(desk: Desk) -> None:
    pay_fees_in(desk, "CCC", Decimal("0.01"), {"CCC": Decimal(1)})
    desk.play("97.9")
    for _ in range(3):
        desk.audit()
    assert desk.world.events(desk.bot).count("fee_price_unknown") == 1
    assert desk.world.fills(desk.bot)[-1].fee_quote == 0


def test_the_price_of_a_coin_may_stand_in_the_pair_turned_around(desk: Desk) -> None:
    with transaction():
        coin = make_market("USDT/BBB")
        coin.last_price = Decimal(4)
    pay_fees_in(desk, "BBB", Decimal("0.2"), {"BBB": Decimal(1)})
    desk.play("97.9")
    desk.tick()
    assert desk.world.fills(desk.bot)[-1].fee_quote == Decimal("0.05")


def pay_fees_in(desk: Desk, coin: str, fee: Decimal, held: dict[str, Decimal]) -> None:
    """Let the venue take each further fee of a buy from a third coin."""
    told = len(desk.venue.fills)
    real_fills, real_balances = desk.venue.fills_since, desk.venue.balances

    def changed(index: int, fill: Any) -> Any:
        return fill if index < told else replace(fill, fee=fee, fee_currency=coin)

    def fills_since(symbol: str, cursor: str) -> Any:
        page = real_fills(symbol, cursor)
        fills = tuple(changed(i, fill) for i, fill in enumerate(desk.venue.fills))
        return replace(page, fills=fills)

    def balances() -> dict[str, Balance]:
        # The book behind it has taken its fees from the coins bought: give them back.
        shown = dict(real_balances())
        for fill in desk.venue.fills[told:]:
            free, locked = shown[fill.fee_currency]
            shown[fill.fee_currency] = Balance(free + fill.fee, locked)
            held[coin] -= fee
        shown[coin] = Balance(held[coin])
        held[coin] += fee * len(desk.venue.fills[told:])
        return shown

    desk.venue.fills_since = fills_since  # type: ignore[method-assign]
    desk.venue.balances = balances  # type: ignore[method-assign]


def test_funding_of_a_contract_is_counted_once_however_often_it_is_told(desk: Desk) -> None:
    payments = tuple(
        Funding(f"f{number}", SYMBOL, Decimal(amount), "USDT", utc_now())
        for number, amount in enumerate(("-0.25", "0.1"))
    )
    asked: list[str] = []

    def funding_since(symbol: str, cursor: str) -> FundingPage:
        asked.append(cursor)
        return FundingPage(payments, "later")

    desk.venue.funding_since = funding_since  # type: ignore[method-assign]
    desk.audit()
    assert asked == []
    with transaction():
        db.session.execute(text("update markets set kind = 'linear'"))
    before = desk.world.metrics(desk.bot)
    for _ in range(3):
        desk.audit()
    assert asked == ["", "later", "later"]
    after = desk.world.metrics(desk.bot)
    assert after.funding - before.funding == Decimal("-0.15")
    assert after.quote - before.quote == Decimal("-0.15")
    with transaction():
        assert len(db.session.execute(select(FundingRow.__table__)).all()) == 2


def test_fills_between_two_questions_are_no_difference_however_often_they_happen(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(monkeypatch)
    for _ in range(3):
        desk.audit()
    real = desk.venue.balances
    # A ladder of equal orders, of which one is filled each time just before the money is told.
    prices = ["98", "96", "94"]

    def balances() -> Mapping[str, Balance]:
        if prices:
            desk.play(str(Decimal(prices.pop(0)) - Decimal("0.1")))
        return real()

    monkeypatch.setattr(desk.venue, "balances", balances)
    for _ in range(8):
        desk.audit()
    assert len(desk.world.fills(desk.bot)) > 3 and not prices
    assert "books_differ" not in desk.world.events(desk.bot)
    assert (audit_row().pending, audit_row().told) == ({}, {})


def test_paper_accounts_tie_too_and_orders_taken_back_there_are_noticed(database: None) -> None:
    world = World.make()
    bot = world.add_bot()
    world.play(100)
    world.tick()
    world.play(*wander(5, 30))
    world.tick()
    victim = world.open_orders(bot)[0]
    with transaction():
        db.session.execute(text("update exchange_accounts set audited_at = null"))
        db.session.execute(
            text("update paper_orders set status = 'cancelled' where client_id = :id"),
            {"id": victim.client_id},
        )
    world.tick()
    assert "order_cancelled_outside" in world.events(bot)
    row = audit_row()
    assert (row.pending, row.told) == ({}, {})
    with transaction():
        balances = {row.account_id: {k: Decimal(v) for k, v in row.venue.items()}}
        after = stands_of(balances)[row.account_id]
    assert after.ours["AAA"] == world.metrics(bot).base


def test_no_accounts_are_no_question(database: None) -> None:
    with transaction():
        assert ties.compare_accounts({}, None) == []  # type: ignore[arg-type]
