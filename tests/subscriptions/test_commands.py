from collections.abc import Sequence
from decimal import Decimal

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select

from app.accounts.models import AuditEntry, User
from app.db import db
from app.faq import service as faq
from app.subscriptions import history, queries, service
from app.subscriptions.kept import service as kept
from app.subscriptions.models import PlanPrice, RailPrice
from app.subscriptions.periods import LIFETIME, MONTH
from app.subscriptions.promotions import service as promotions
from app.subscriptions.promotions.rules import Terms
from app.subscriptions.terms import Choice, Discount
from app.transactions import transaction
from tests.factories import make_user


@pytest.fixture
def email(database: None) -> str:
    with transaction():
        service.seed_plans()
        return make_user().email


def run(app: Flask, arguments: Sequence[str]) -> Result:
    db.session.remove()
    return app.test_cli_runner().invoke(args=list(arguments))


def test_the_plans_are_listed_with_prices(app: Flask, email: str) -> None:
    result = run(app, ["plans", "list"])
    assert result.exit_code == 0
    assert "29 USD a month" in result.output and "bots 20, live 10" in result.output
    assert "extra_bot" in result.output and "5 USD a month" in result.output
    assert "left for" not in result.output
    with transaction():
        service.add_price(None, "pro", Decimal(499), period=LIFETIME, seats=100)
    assert "100 left for a lifetime" in run(app, ["plans", "list"]).output


def test_the_history_of_a_person_is_shown(app: Flask, email: str) -> None:
    with transaction():
        user = db.session.scalars(select(User).where(User.email == email)).one()
        history.note(user.id, "kept:1", "started", after={"plan": "pro"}, cause="asked")
    result = run(app, ["plans", "history", email])
    assert result.exit_code == 0
    assert 'started    null -> {"plan": "pro"} asked' in result.output


def test_a_plan_is_given_and_ended_and_both_are_audited(app: Flask, email: str) -> None:
    given = run(
        app, ["plans", "give", email.upper(), "pro", "--until", "2999-01-31", "--reason", "paid"]
    )
    assert given.exit_code == 0 and "until 2999-01-31 00:00 UTC" in given.output
    entry = db.session.scalars(select(AuditEntry)).one()
    user_id = int(entry.object_id)
    assert queries.limits_of(user_id).plan == "pro"
    ended = run(app, ["plans", "end", email, "--reason", "asked for it"])
    assert ended.exit_code == 0
    assert queries.limits_of(user_id).plan == "free"
    assert len(db.session.scalars(select(AuditEntry)).all()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["give", "nobody@example.org", "pro", "--reason", "because"], "Nobody has the address"),
        (["give", "{email}", "gold", "--reason", "because"], "no plan with this code"),
        (["give", "{email}", "pro", "--reason", "x"], "3 to 500 characters"),
        (["give", "{email}", "pro", "--reason", "because", "--until", "2020-01-01"], "future"),
        (["give", "{email}", "pro", "--reason", "because", "--until", "soon"], "--until"),
        (["end", "{email}", "--reason", "because"], "no plan that could be ended"),
        (["name-price", "stripe", "price_1", "gold"], "no plan with this code"),
        (["name-price", "stripe", "price_1", "pro", "--period", "age"], "days, weeks"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    app: Flask, email: str, arguments: list[str], says: str
) -> None:
    result = run(app, ["plans", *(word.format(email=email) for word in arguments)])
    assert result.exit_code != 0
    assert says in result.output and "Traceback" not in result.output


def test_searches_in_vain_are_listed(app: Flask, database: None) -> None:
    with transaction():
        for query in ("leverage", "Leverage", "futures"):
            faq.record_search(query, "en", 0)
    lines = run(app, ["faq", "missed"]).output.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert lines[0].endswith("leverage")


def test_a_price_gets_its_name_at_a_provider_and_may_get_another(app: Flask, email: str) -> None:
    for plan in ("pro", "premium"):
        assert run(app, ["plans", "name-price", "stripe", "price_1", plan]).exit_code == 0
    named = db.session.scalars(
        select(PlanPrice.plan_code).join(RailPrice, RailPrice.price_id == PlanPrice.id)
    )
    assert named.all() == ["premium"]


def test_a_subscription_is_shown_changed_canceled_and_resumed(app: Flask, email: str) -> None:
    with transaction():
        user_id = db.session.scalars(select(User.id).where(User.email == email)).one()
        promotions.make(None, Terms(Discount("ALL", percent=Decimal(100))))
        kept.start(user_id, Choice("pro", MONTH, promo="ALL"), "wallet", "key")
    shown = run(app, ["subscriptions", "show", email]).output
    assert "plan_code        pro" in shown and "state            active" in shown
    asked = run(app, ["subscriptions", "change", email, "pro", "--period", "year", "--yes"])
    assert "0 USD due now" in asked.output and "Done." in asked.output
    assert "Done." in run(app, ["subscriptions", "cancel", email]).output
    assert "nothing" not in run(app, ["subscriptions", "resume", email]).output
    refused = run(app, ["subscriptions", "change", email, "gold", "--yes"])
    assert refused.exit_code == 1 and "not sold" in refused.output
    assert "Done." in run(app, ["subscriptions", "cancel", email, "--now"]).output
    assert run(app, ["subscriptions", "show", email]).exit_code == 1
    assert "no subscription" in run(app, ["subscriptions", "resume", email]).output
