"""Promotion codes at the desk: made and switched off by managers, seen with who took them."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.accounts.models import AuditEntry, Role, User
from app.db import db
from app.subscriptions import service as plans
from app.subscriptions.kept import service as kept
from app.subscriptions.periods import MONTH
from app.subscriptions.promotions.models import PromoCode
from app.subscriptions.provider.models import RailPromo
from app.subscriptions.terms import Choice
from app.transactions import transaction
from tests.client import Client
from tests.factories import make_user
from tests.long import few

Login = Callable[[User], Client]
LIST, MAKE = "/admin/promo-codes/", "/admin/promo-codes/make"
SPRING = {"code": "spring", "percent": "20", "periods": "3", "max_redemptions": "5", "plans": "pro"}


@pytest.fixture
def manager(database: None, login_as: Login) -> Client:
    with transaction():
        plans.seed_plans()
        user = make_user(Role.MANAGER)
    return login_as(user)


# What a browser sends of a field that stays empty.
LEFT_EMPTY = {"amount": "", "periods": "", "max_redemptions": "", "expires_at": ""}


def code() -> PromoCode:
    db.session.rollback()
    return db.session.scalars(select(PromoCode)).one()


def test_a_manager_makes_a_code_sees_who_took_it_and_switches_it_off(manager: Client) -> None:
    assert manager.get(MAKE).status_code == 200
    made = manager.post_form(MAKE, data=SPRING)
    assert made.status_code == 303
    kept_code = code()
    assert (kept_code.code, kept_code.percent, kept_code.periods, kept_code.plans) == (
        "SPRING", Decimal(20), 3, ["pro"],
    )  # fmt: skip
    assert "Nobody has taken it yet" in manager.get(made.location).text
    with transaction():
        buyer = make_user()
        kept.start(buyer.id, Choice("pro", MONTH, promo="spring"), "wallet", "key")
        email = buyer.email
    page = manager.get(made.location).text
    assert email in page and "Waits for its payment" in page and "1 / 5" in page
    assert "SPRING" in manager.get(LIST).text
    for _ in range(2):
        switch = f"{LIST}switch?id={code().id}"
        assert manager.post_form(switch, data={"to": "off"}).status_code == 303
    assert not code().active
    assert "Switch on" in manager.get(made.location).text
    acts = list(
        db.session.scalars(select(AuditEntry.action).where(AuditEntry.object_type == "promo_code"))
    )
    assert sorted(acts) == ["promo.made", "promo.switched"]


def test_fields_that_need_not_be_filled_may_stay_empty(manager: Client) -> None:
    made = manager.post_form(MAKE, data={**SPRING, **LEFT_EMPTY})
    assert made.status_code == 303
    assert (code().periods, code().max_redemptions) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    few([
        {"code": "x"}, {"code": "A\x00BC"}, {"code": "x" * 5_000}, {"percent": ""},
        {"percent": "NaN"}, {"percent": "1e400"}, {"percent": "101"}, {"amount": "5"},
        {"percent": "", "amount": "-1"}, {"percent": "", "amount": "1e30"}, {"periods": "0"},
        {"periods": "9" * 400}, {"max_redemptions": "-1"}, {"plans": "gold"},
        {"expires_at": "2001-01-01T00:00"}, {"expires_at": "soon"},
    ], 4),
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_makes_nothing(
    manager: Client, wrong: dict[str, str]
) -> None:
    assert manager.post_form(MAKE, data={**SPRING, **wrong}).status_code == 422
    assert db.session.scalars(select(PromoCode)).all() == []


def test_a_name_is_given_once(manager: Client) -> None:
    manager.post_form(MAKE, data=SPRING)
    again = manager.post_form(MAKE, data={**SPRING, "code": "Spring"})
    assert again.status_code == 422 and "already" in again.text


@pytest.mark.parametrize("number", ["0", "77", "-1", "9" * 40, "x"])
def test_a_code_that_is_not_there_is_not_found(manager: Client, number: str) -> None:
    assert manager.get(f"{LIST}page?id={number}").status_code == 404
    assert manager.post_form(f"{LIST}switch?id={number}", data={"to": "off"}).status_code == 404


@pytest.mark.parametrize(("role", "status"), [(Role.SUPPORT, 403), (Role.CUSTOMER, 404)])
def test_nobody_else_sees_or_makes_codes(
    manager: Client, login_as: Login, role: Role, status: int
) -> None:
    with transaction():
        other = make_user(role)
    client = login_as(other)
    for path in (LIST, MAKE, f"{LIST}page?id=1"):
        assert client.get(path).status_code == status
    assert client.post_form(MAKE, data=SPRING).status_code == status
    assert client.post_form(f"{LIST}switch?id=1", data={"to": "off"}).status_code == status
    assert db.session.scalars(select(PromoCode)).all() == []


def test_what_a_provider_refused_is_seen_and_asked_again(manager: Client) -> None:
    manager.post_form(MAKE, data=SPRING)
    with transaction():
        row = RailPromo(
            rail="stripe", code_id=code().id, months=3, state="refused", error="rail_refused",
            attempts=1,
        )  # fmt: skip
        db.session.add(row)
        db.session.flush()
        row_id = row.id
    page = manager.get(f"{LIST}page?id={code().id}").text
    assert "Refused" in page and "rail_refused" in page and "3 months" in page
    assert manager.post_form(f"{LIST}push", data={"id": str(row_id)}).status_code == 303
    db.session.rollback()
    row = db.session.get_one(RailPromo, row_id)
    assert (row.state, row.attempts) == ("waiting", 0)
    asked = select(AuditEntry.id).where(AuditEntry.action == "promo.pushed")
    assert len(db.session.scalars(asked).all()) == 1
    for wrong in ("", "x", "9" * 400, str(10**15)):
        assert manager.post_form(f"{LIST}push", data={"id": wrong}).status_code == 404
