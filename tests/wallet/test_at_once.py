"""Many at the same moment, and any sequence at all: the books hold."""

import random
import time
from datetime import timedelta
from decimal import Decimal
from threading import Event

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.db import db, utc_now
from app.errors import Conflict
from app.transactions import transaction
from app.wallet import check, holds, jobs, service
from app.wallet.ledger import Posted
from app.wallet.models import LedgerHold
from app.wallet.rules import Line
from tests.at_once import MOST_WAITING_S, at_once
from tests.examples import tried
from tests.long import few
from tests.wallet.books import D, kept, make_wallet, rows_of, sums, usd, wallet_sum

pytestmark = pytest.mark.usefixtures("database")

# As many as the pool of connections has.
THREADS = 20


@pytest.mark.parametrize(("money", "tries"), few([(31, 5), (100, 20)], 2))
def test_nobody_spends_more_than_a_wallet_has(app: Flask, money: int, tries: int) -> None:
    me = make_wallet(str(money))

    def spend(number: int) -> int:
        done = 0
        for step in range(tries):
            try:
                with transaction():
                    service.pay_from_wallet(
                        f"spend:{number}:{step}", me, "USD", [Line("one_off", D("1.50"))]
                    )
                done += 1
            except Conflict as refused:
                assert refused.code == "insufficient_funds"
        return done

    done = sum(at_once(app, THREADS, spend))
    assert done == money * 2 // 3
    assert wallet_sum(me) == 1
    assert rows_of("ledger_postings") == done + 1
    assert check.verify().is_whole


def test_one_key_is_booked_once_by_twenty_at_once(app: Flask) -> None:
    me = make_wallet()

    def settle(number: int) -> Posted:
        with transaction():
            return service.top_up("event:1", me, "stripe", usd("5"), fee=D("0.45"))

    posted = at_once(app, THREADS, settle)
    assert len({one.id for one in posted}) == 1
    assert sum(not one.replayed for one in posted) == 1
    assert wallet_sum(me) == 5


@pytest.mark.long
def test_a_first_use_of_an_account_by_many_opens_it_once(app: Flask) -> None:
    me = make_wallet()

    def settle(number: int) -> Posted:
        with transaction():
            return service.top_up(f"event:{number}", me, "stripe", usd("5"))

    at_once(app, THREADS, settle)
    assert wallet_sum(me) == 100
    assert check.verify().is_whole


def test_two_wallets_in_one_posting_never_wait_for_each_other_for_good(app: Flask) -> None:
    from app.wallet.ledger import post
    from app.wallet.rules import Entry, wallet_of

    people = [make_wallet("50") for _ in range(3)]

    def give(number: int) -> None:
        chance = random.Random(number)
        for step in range(10):
            giver, taker = chance.sample(people, 2)
            lines = [Entry(wallet_of(giver), "USD", D(3)), Entry(wallet_of(taker), "USD", D(-3))]
            try:
                with transaction():
                    post(f"give:{number}:{step}", "test", lines)
            except Conflict as refused:
                assert refused.code == "insufficient_funds"

    at_once(app, 8, give)
    assert sum(map(wallet_sum, people)) == 150
    assert min(map(wallet_sum, people)) >= 0
    assert check.verify().is_whole


def test_holds_and_payments_at_once_share_the_money(app: Flask) -> None:
    from tests.wallet.test_verbs import in_an_hour

    me = make_wallet("10")

    def act(number: int) -> bool:
        try:
            with transaction():
                if number % 2:
                    holds.hold(f"h{number}", me, usd("3"), expires_at=in_an_hour())
                else:
                    service.pay_from_wallet(f"p{number}", me, "USD", [Line("one_off", D(3))])
        except Conflict as refused:
            assert refused.code == "insufficient_funds"
            return False
        return True

    assert sum(at_once(app, 10, act)) == 3
    assert check.verify().is_whole


def test_what_is_taken_as_its_time_ends_is_taken_or_free_and_once(app: Flask) -> None:
    """Some take it, some let it go, and the job runs in several processes."""
    me = make_wallet("40")
    end = utc_now() + timedelta(milliseconds=150)
    for number in range(10):
        with transaction():
            holds.hold(f"h{number}", me, usd("3"), expires_at=end)

    def act(number: int) -> int:
        taken = 0
        while utc_now() < end + timedelta(milliseconds=150):
            hold = f"h{random.randrange(10)}"
            try:
                if number < 2:
                    jobs.expire_holds()
                elif number == 2:
                    with transaction():
                        holds.release(hold)
                else:
                    with transaction():
                        posted = holds.capture(hold, f"{hold}:{number}", [Line("one_off", D(2))])
                        taken += not posted.replayed
            except Conflict as refused:
                assert refused.code == "hold_closed"
        return taken

    taken = sum(at_once(app, 6, act))
    jobs.expire_holds()
    db.session.rollback()
    ends = db.session.scalars(select(LedgerHold.state)).all()
    assert ends.count("captured") == taken and "pending" not in ends
    assert kept(f"wallet:u{me}") == (-40 + 2 * taken, 0)
    assert check.verify().is_whole


def test_a_payment_and_the_end_of_a_hold_do_not_wait_for_each_other(app: Flask) -> None:
    """Whoever has the wallet already lets go of what it holds while the job ends the same."""
    me = make_wallet("40")
    with transaction():
        holds.hold("h", me, usd("3"), expires_at=utc_now() - timedelta(seconds=1))
    has_wallet = Event()

    def act(number: int) -> None:
        if number:
            assert has_wallet.wait(MOST_WAITING_S)
            jobs.expire_holds()
            return
        with transaction():
            service.pay_from_wallet("p", me, "USD", [Line("one_off", D(3))])
            has_wallet.set()
            time.sleep(0.3)
            holds.release("h")

    at_once(app, 2, act)
    assert kept(f"wallet:u{me}") == (-37, 0)
    assert check.verify().is_whole


CENTS = st.integers(min_value=-50, max_value=5000).map(lambda cents: Decimal(cents) / 100)
STEPS = st.tuples(
    st.sampled_from(["top_up", "pay", "refund", "back", "fee", "grant", "change", "hold", "take"]),
    st.integers(min_value=0, max_value=1),
    CENTS,
    st.sampled_from(["USD", "EUR"]),
    st.integers(min_value=0, max_value=6),
)


@settings(
    tried(10),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(STEPS, max_size=25))
def test_after_any_sequence_every_commodity_sums_to_zero_and_nobody_is_below_it(
    steps: list[tuple[str, int, Decimal, str, int]],
) -> None:
    from app.errors import DomainError
    from app.money import Money
    from tests.wallet.test_verbs import in_an_hour

    people = [make_wallet("20"), make_wallet()]
    for verb, person, amount, currency, number in steps:
        me, money = people[person], Money(amount, currency)
        key = f"{people[0]}:{verb}:{number}"
        lines = [Line("one_off", amount)]
        try:
            with transaction():
                match verb:
                    case "top_up":
                        service.top_up(key, me, "demo", money)
                    case "pay":
                        service.pay_from_wallet(key, me, currency, lines, tax=D("0.01"))
                    case "refund":
                        service.refund_to_wallet(key, me, money)
                    case "back":
                        service.refund_top_up(key, me, "demo", money)
                    case "fee":
                        service.record_fee(key, "demo", money)
                    case "grant":
                        service.grant(key, me, money, actor_id=None, reason="For the test")
                    case "change":
                        other = Money(amount, "EUR" if currency == "USD" else "USD")
                        service.exchange(key, me, money, other, source="test")
                    case "hold":
                        held = f"{people[0]}:held:{number}"
                        holds.hold(held, me, money, expires_at=in_an_hour())
                    case "take":
                        holds.capture(f"{people[0]}:held:{number}", key, lines)
        except DomainError:
            continue
    assert check.verify().is_whole
    totals: dict[str, Decimal] = {}
    for (name, commodity), amount in sums().items():
        totals[commodity] = totals.get(commodity, D(0)) + amount
        assert not name.startswith("wallet:") or amount <= 0
    assert not any(totals.values())
