import json
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


def codes(app: Flask, *arguments: str) -> list[dict[str, object]]:
    result = run(app, ["promo", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    told: list[dict[str, object]] = json.loads(result.output)
    return told


def test_a_script_makes_lists_and_ends_promotion_codes(app: Flask, email: str) -> None:
    assert codes(app, "list") == []
    made = codes(
        app, "create", "spring", "--percent", "12.50", "--periods", "0", "--max", "7",
        "--expires", "2999-01-31", "--plan", "pro",
    )  # fmt: skip
    assert [one.pop("created_at") is not None for one in made] == [True]
    assert made == [
        {
            "code": "SPRING", "percent": "12.5", "amount": None, "currency": None, "periods": None,
            "plans": ["pro"], "expires_at": "2999-01-31T00:00:00+00:00", "max_redemptions": 7,
            "redeemed": 0, "state": "active",
        }
    ]  # fmt: skip
    (five,) = codes(app, "create", "FIVE", "--amount", "5")
    assert (five["amount"], five["currency"], five["periods"]) == ("5", "USD", 1)
    assert [one["code"] for one in codes(app, "list")] == ["FIVE", "SPRING"]
    for _ in range(2):
        assert codes(app, "end", "five")[0]["state"] == "ended"
    assert [one["code"] for one in codes(app, "list")] == ["SPRING"]
    assert [one["state"] for one in codes(app, "list", "--all")] == ["ended", "active"]
    audited = select(AuditEntry.action).where(AuditEntry.object_type == "promo_code")
    assert sorted(db.session.scalars(audited)) == ["promo.made", "promo.made", "promo.switched"]
    words = run(app, ["promo", "list"]).output
    assert "12.5 % off all periods, taken 0 of 7, for pro, active" in words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "x", "--percent", "5"), "3 to 40 letters"),
        (("create", "BOTH", "--percent", "5", "--amount", "5"), "either a share or an amount"),
        (("create", "NONE"), "either a share or an amount"),
        (("create", "MUCH", "--percent", "101"), "up to 100"),
        (("create", "ODD", "--percent", "NaN"), "is not a number"),
        (("create", "LONG", "--percent", "9" * 400), "up to 100"),
        (("create", "PAST", "--percent", "5", "--expires", "2020-01-01"), "in the future"),
        (("create", "GOLD", "--percent", "5", "--plan", "gold"), "plan"),
        (("end", "NOBODY"), "no promotion code like this"),
    ],
)
def test_what_can_be_no_promotion_code_is_told(
    app: Flask, email: str, arguments: tuple[str, ...], said: str
) -> None:
    result = run(app, ["promo", *arguments, "--json"])
    assert result.exit_code != 0 and said in result.output
