from dataclasses import replace
from decimal import Decimal

import pytest

from app.errors import InvalidInput, LimitReached
from app.subscriptions import rules
from app.subscriptions.rules import FREE_LIMITS, Limits, RunningBots
from app.subscriptions.seeds import PLANS
from app.subscriptions.texts import TEXTS

FREE, PRO, PREMIUM = PLANS


def refusal(limits: Limits, mode: str, running: RunningBots) -> LimitReached:
    with pytest.raises(LimitReached) as caught:
        rules.check_start(limits, mode, running, PLANS)
    return caught.value


def test_a_bot_within_the_limit_may_start() -> None:
    rules.check_start(FREE, "paper", RunningBots(total=2, live=0), PLANS)
    rules.check_start(PRO, "live", RunningBots(total=19, live=9), PLANS)


def test_the_free_plan_has_no_live_bot_and_names_the_plan_that_has() -> None:
    error = refusal(FREE, "live", RunningBots(total=0, live=0))
    assert error.code == "live_needs_plan"
    assert error.values == {
        "limit": 0,
        "used": 0,
        "plan": "Free",
        "better_plan": "Pro",
        "better_code": "pro",
        "better_limit": 10,
    }


@pytest.mark.parametrize(
    ("limits", "mode", "running", "code", "better"),
    [
        (FREE, "paper", RunningBots(3, 0), "plan_limit", "Pro"),
        # A person who fell back to the free plan with 25 bots needs more than Pro allows.
        (FREE, "paper", RunningBots(25, 0), "plan_limit", "Premium"),
        (PRO, "paper", RunningBots(20, 0), "plan_limit", "Premium"),
        (PRO, "live", RunningBots(10, 10), "live_plan_limit", "Premium"),
        (PREMIUM, "paper", RunningBots(100, 0), "plan_limit_highest", ""),
        (PREMIUM, "live", RunningBots(50, 50), "live_plan_limit_highest", ""),
        # Live places are left, but no place at all.
        (PRO, "live", RunningBots(20, 3), "plan_limit", "Premium"),
    ],
)
def test_a_refusal_names_the_smallest_plan_that_allows_more(
    limits: Limits, mode: str, running: RunningBots, code: str, better: str
) -> None:
    error = refusal(limits, mode, running)
    assert (error.code, error.values["better_plan"]) == (code, better)


def test_without_plans_on_offer_nothing_is_offered() -> None:
    with pytest.raises(LimitReached) as caught:
        rules.check_start(FREE, "live", RunningBots(0, 0), ())
    assert caught.value.code == "live_needs_plan_highest"


def test_accounts_are_limited_too() -> None:
    rules.check_connect(FREE, 1, PLANS)
    with pytest.raises(LimitReached) as caught:
        rules.check_connect(FREE, 2, PLANS)
    assert caught.value.code == "exchange_limit"
    assert caught.value.values["better_limit"] == 5
    with pytest.raises(LimitReached) as caught:
        rules.check_connect(PREMIUM, 10, PLANS)
    assert caught.value.code == "exchange_limit_highest"


def test_every_refusal_has_a_sentence_that_takes_its_values() -> None:
    values = {"limit": 1, "used": 2, "plan": "a", "better_plan": "b", "better_limit": 3}
    for kind in ("plan_limit", "live_needs_plan", "live_plan_limit", "exchange_limit"):
        for code in (kind, f"{kind}_highest"):
            assert str(TEXTS[code]._args[0]) % values


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 41}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"max_bots": -1}, "max_bots"),
        ({"max_bots": 10_001}, "max_bots"),
        ({"max_live_bots": 4}, "max_live_bots"),
        ({"max_exchanges": -1}, "max_exchanges"),
        ({"tick_period_s": 0}, "tick_period_s"),
        ({"tick_period_s": 3_601}, "tick_period_s"),
    ],
)
def test_impossible_limits_are_refused(change: dict[str, int | str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rules.check_limits(replace(FREE_LIMITS, **change))  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.parametrize("amount", ["-0.01", "1000000.01", "0.001", "NaN", "Infinity", "1E+30"])
def test_impossible_prices_are_refused(amount: str) -> None:
    with pytest.raises(InvalidInput, match="bad_plan_price"):
        rules.check_price(Decimal(amount), "USD")


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("9.125", "KWD", "not_chargeable"), ("9.1205", "KWD", "bad_plan_price"),
        ("9.5", "JPY", "bad_plan_price"), ("900.5", "ISK", "not_chargeable"),
    ],
)  # fmt: skip
def test_prices_that_no_bank_takes_are_refused(amount: str, currency: str, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        rules.check_price(Decimal(amount), currency)
    rules.check_price(Decimal("900"), currency)


@pytest.mark.parametrize("currency", ["usd", "US", "USDT", "", "US$", "USD\n"])
def test_impossible_currencies_are_refused(currency: str) -> None:
    with pytest.raises(InvalidInput, match="bad_plan_currency"):
        rules.check_price(Decimal(1), currency)


def test_prices_of_whole_cents_are_taken() -> None:
    for amount in ("0", "0.01", "29", "29.00", "1000000"):
        rules.check_price(Decimal(amount), "USD")
