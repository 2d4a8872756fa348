"""Promotion codes are taken, used and given back, each place once."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.accounts.models import AuditEntry, User
from app.db import db, utc_now
from app.errors import Conflict, DomainError, InvalidInput, NotFound
from app.payments import invoices
from app.subscriptions import service as plans
from app.subscriptions.periods import MONTH
from app.subscriptions.promotions import queries, service
from app.subscriptions.promotions.models import PromoCode, PromoRedemption
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.terms import Choice, Discount
from app.transactions import transaction
from tests.at_once import at_once
from tests.factories import make_user

CHOICE = Choice("pro", MONTH)
TEN = Discount("TEN", percent=Decimal(10))


@pytest.fixture
def user(database: None) -> User:
    with transaction():
        plans.seed_plans()
        return make_user()


def make(terms: Terms) -> int:
    with transaction():
        return service.make(None, terms)


def reserve(user_id: int, key: str, code: str = "ten") -> str:
    """Reserve a code; return why it was refused, or nothing."""
    try:
        with transaction():
            service.reserve(user_id, code, CHOICE, key)
    except DomainError as error:
        return error.code
    return ""


def redeemed() -> int:
    db.session.rollback()
    return db.session.scalars(select(PromoCode.redeemed)).one()


def states() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(PromoRedemption.state).order_by(PromoRedemption.id)))


def test_one_name_makes_one_code_and_unknown_plans_none(user: User) -> None:
    make(Terms(TEN))
    with pytest.raises(Conflict, match="promo_exists"):
        make(Terms(TEN))
    with pytest.raises(InvalidInput, match="unknown_plan"):
        make(Terms(Discount("GOLD", percent=Decimal(5)), ("gold",)))


def test_a_code_is_taken_once_for_a_purchase_and_once_a_person(user: User) -> None:
    make(Terms(TEN))
    assert [reserve(user.id, "a", " Ten "), reserve(user.id, "a")] == ["", ""]
    assert reserve(user.id, "b") == "promo_used"
    assert (redeemed(), states()) == (1, ["reserved"])


def test_what_is_released_may_be_taken_again_by_anybody(user: User) -> None:
    make(Terms(TEN, max_redemptions=1))
    with transaction():
        other = make_user()
    assert reserve(user.id, "a") == ""
    assert reserve(other.id, "b") == "promo_taken"
    for _ in range(2):
        with transaction():
            service.release("a")
    assert redeemed() == 0
    assert [reserve(other.id, "b"), reserve(user.id, "a2")] == ["", "promo_taken"]


def test_what_is_used_is_never_given_back(user: User) -> None:
    make(Terms(TEN))
    reserve(user.id, "a")
    for verb in (service.use, service.use, service.release):
        with transaction():
            verb("a")
    assert (redeemed(), states()) == (1, ["used"])
    assert reserve(user.id, "b") == "promo_used"


def test_money_that_comes_late_takes_its_place_back(user: User) -> None:
    make(Terms(TEN, max_redemptions=1))
    reserve(user.id, "a")
    with transaction():
        service.release("a")
    with transaction():
        service.use("a")
    assert (redeemed(), states()) == (1, ["used"])


def test_a_purchase_without_a_code_has_nothing_to_use_or_to_release(user: User) -> None:
    with transaction():
        service.use("nothing")
        service.release("nothing")
        assert queries.code_of("nothing") == ""


def test_a_purchase_that_fails_gives_its_place_back(user: User) -> None:
    make(Terms(TEN, max_redemptions=1))
    with pytest.raises(ZeroDivisionError), transaction():
        service.reserve(user.id, "TEN", CHOICE, "a")
        raise ZeroDivisionError
    assert (redeemed(), states()) == (0, [])


@pytest.mark.parametrize("code", ["", "TE", "TEN ✓", "x" * 10_000, "TEN\x00", "'; drop table--"])
def test_what_is_no_code_is_unknown(user: User, code: str) -> None:
    make(Terms(TEN))
    assert reserve(user.id, "a", code) == "promo_unknown"


def test_the_last_place_is_given_once_to_twenty_who_ask_at_once(app: Flask, user: User) -> None:
    make(Terms(TEN, max_redemptions=1))
    with transaction():
        ids = [make_user().id for _ in range(20)]
    answers = at_once(app, 20, lambda number: reserve(ids[number], f"k{number}"))
    assert sorted(answers) == ["", *["promo_taken"] * 19]
    assert (redeemed(), states()) == (1, ["reserved"])


def test_one_person_who_presses_twenty_times_takes_one_place(app: Flask, user: User) -> None:
    make(Terms(TEN))
    user_id = user.id
    answers = at_once(app, 20, lambda number: reserve(user_id, f"k{number}"))
    assert sorted(answers) == ["", *["promo_used"] * 19]
    assert (redeemed(), states()) == (1, ["reserved"])


def halves(app: Flask, *steps: tuple[Callable[[], object], Callable[[], object]]) -> None:
    """Run transactions at once, each of which waits for the others after its first half."""
    half = threading.Barrier(len(steps), timeout=30)

    def run(number: int) -> None:
        first, then = steps[number]
        with transaction():
            first()
            half.wait()
            then()

    at_once(app, len(steps), run)


def test_two_people_who_swap_their_codes_at_once_both_get_them(app: Flask, user: User) -> None:
    make(Terms(TEN))
    make(Terms(replace(TEN, code="TWO")))
    with transaction():
        other = make_user()
    one, two = user.id, other.id
    assert [reserve(one, "a", "ten"), reserve(two, "b", "two")] == ["", ""]
    halves(
        app,
        (lambda: service.release("a"), lambda: service.reserve(one, "two", CHOICE, "a2")),
        (lambda: service.release("b"), lambda: service.reserve(two, "ten", CHOICE, "b2")),
    )
    db.session.rollback()
    assert list(db.session.scalars(select(PromoCode.redeemed))) == [1, 1]


def test_codes_wait_for_numbers_of_invoices_and_never_the_other_way(app: Flask, user: User) -> None:
    make(Terms(TEN))
    with transaction():
        other = make_user()
    one, two = user.id, other.id
    assert reserve(two, "b") == ""
    halves(
        app,
        (lambda: service.reserve(one, "ten", CHOICE, "a"), lambda: invoices.next_number("INV")),
        (lambda: service.release("b"), lambda: invoices.next_number("INV")),
    )
    assert sorted(states()) == ["released", "reserved"] and redeemed() == 1


def test_what_failed_before_counts_for_nothing_afterwards(user: User) -> None:
    make(Terms(TEN, max_redemptions=1))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), transaction():
            service.reserve(user.id, "TEN", CHOICE, "a")
            raise ZeroDivisionError
    assert reserve(user.id, "a") == ""
    assert redeemed() == 1


def test_switching_off_is_audited_once_and_holds_for_new_purchases(user: User) -> None:
    code_id = make(Terms(TEN, expires_at=utc_now() + timedelta(days=1)))
    reserve(user.id, "a")
    for _ in range(2):
        with transaction():
            service.switch(user.id, code_id, active=False)
    with transaction():
        other = make_user()
    assert reserve(other.id, "b") == "promo_ended"
    switched = select(func.count()).where(AuditEntry.action == "promo.switched")
    assert db.session.scalar(switched) == 1
    assert queries.discount_at("a", 1, "pro", "month") == TEN
    with transaction():
        service.switch(user.id, code_id, active=True)
    assert reserve(other.id, "b") == ""


def test_what_is_not_there_can_not_be_switched_or_looked_at(user: User) -> None:
    with pytest.raises(NotFound), transaction():
        service.switch(user.id, 10**15, active=False)
    with pytest.raises(NotFound):
        queries.page_of(10**15)
