"""Prices of ours become prices of Stripe by themselves, each once."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from app.db import db
from app.errors import Conflict, NotFound, Unavailable
from app.subscriptions.models import PlanPrice, RailPrice
from app.subscriptions.provider import prices
from app.subscriptions.seeds import PRICES
from tests.doubles.stripe import FakeStripe, Fault


def price_id(plan: str = "pro", period: str = "month") -> int:
    db.session.rollback()
    query = select(PlanPrice.id).where(PlanPrice.plan_code == plan, PlanPrice.period == period)
    found = db.session.scalars(query).one()
    db.session.rollback()
    return found


def test_a_price_is_made_once_and_marked_as_ours(fake: FakeStripe) -> None:
    ours = price_id()
    names = prices.ensure("stripe", [ours])
    (there,) = fake.every("price")
    assert names == {ours: there["id"]}
    assert (there["unit_amount"], there["currency"]) == (2_900, "usd")
    assert there["recurring"]["interval"] == "month"
    assert there["metadata"] == {"app": "botyard", "plan": "pro", "price_id": str(ours)}
    calls = len(fake.calls)
    assert prices.ensure("stripe", [ours]) == names
    assert len(fake.calls) == calls, "what is known is not asked again"
    prices.ensure("stripe", [price_id("pro", "year")])
    assert len(fake.every("product")) == 1, "one product a plan"


def test_c20_a_price_whose_answer_was_lost_is_found_again(fake: FakeStripe) -> None:
    for path in ("/v1/products", "/v1/prices"):
        fake.faults.add(Fault(path=path, method="POST", lost=True, acted=True))
    for _ in range(2):
        with pytest.raises(Unavailable):
            prices.ensure("stripe", [price_id()])
    # Long after Stripe has forgotten the keys.
    fake.advance(days=2)
    prices.ensure("stripe", [price_id()])
    assert len(fake.every("product")) == len(fake.every("price")) == 1


def test_c37_an_archived_price_is_made_anew_and_the_new_one_is_sold(fake: FakeStripe) -> None:
    ours = price_id()
    old = prices.ensure("stripe", [ours])[ours]
    v1: Any = fake.client().v1
    v1.prices.update(old, {"active": False})
    made = prices.make_all("stripe")
    new = prices.ensure("stripe", [ours])[ours]
    assert new != old and made[f"price:{ours}"] == new
    db.session.rollback()
    assert set(db.session.scalars(select(RailPrice.external_id))) >= {old, new}
    assert prices.make_all("stripe") == made


def test_every_price_on_sale_is_made_by_the_command(app: Flask, fake: FakeStripe) -> None:
    answer = app.test_cli_runner().invoke(args=["stripe", "prices"])
    assert answer.exit_code == 0, answer.output
    sold = [amount for prices in PRICES.values() for amount in prices.values() if amount]
    assert sorted(price["unit_amount"] for price in fake.every("price")) == sorted(
        amount * 100 for amount in sold
    )
    assert {price["id"] for price in fake.every("price")} == {
        line.split()[-1] for line in answer.output.splitlines()
    }


def test_what_costs_nothing_is_not_sold_there(fake: FakeStripe) -> None:
    with pytest.raises(Conflict, match="not_sold_there"):
        prices.ensure("stripe", [price_id("free")])
    with pytest.raises(NotFound, match="unknown_rail"):
        prices.ensure("wallet", [price_id()])
    assert fake.every("price") == []
