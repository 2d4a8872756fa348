"""The commands on bots, and the demo bot: exact output, clear errors, twice does no harm."""

import json
from decimal import Decimal
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from app.bots.models import Bot, BotMetrics
from app.bots.queries import bot_card
from app.db import db
from app.trades.models import FillRow, OrderRow
from tests.bots.shop import Shop


@pytest.fixture
def shop(database: None) -> Shop:
    return Shop.open()


def run(app: Flask, *words: str) -> Result:
    db.session.commit()
    try:
        return app.test_cli_runner().invoke(args=["bots", *words])
    finally:
        db.session.rollback()
        db.session.expire_all()


def listed(app: Flask) -> list[dict[str, Any]]:
    result = run(app, "list", "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_the_list_has_exactly_the_promised_fields(app: Flask, shop: Shop) -> None:
    bot_id = shop.run_bot(97, 103, 101)
    (row,) = listed(app)
    assert list(row) == [
        "id", "name", "state", "mode", "exchange", "symbol", "orders", "fills", "profit",
        "currency",
    ]  # fmt: skip
    assert list(row["orders"]) == ["open", "filled", "cancelled"]
    assert list(row["profit"]) == ["total", "grid", "price_change", "funding", "fees"]
    assert (row["id"], row["state"], row["mode"], row["symbol"]) == (
        bot_id, "active", "paper", "AAA/USDT",
    )  # fmt: skip
    assert row["fills"] == db.session.query(FillRow).count()
    assert row["orders"]["open"] == db.session.query(OrderRow).filter_by(status="OPEN").count()
    assert all(isinstance(value, str) for value in row["profit"].values())
    found = bot_card(shop.user_id, bot_id).figures
    assert found is not None
    assert Decimal(row["profit"]["total"]) == found.total
    parts = (Decimal(row["profit"][name]) for name in ("grid", "price_change", "funding"))
    assert sum(parts, Decimal(0)) == found.total


def test_start_stop_tick_emergency_and_unlock(app: Flask, shop: Shop) -> None:
    bot_id = shop.add_bot()
    assert run(app, "start", str(bot_id)).exit_code == 0
    assert shop.bot(bot_id).state == "starting"
    ticked = run(app, "tick", str(bot_id))
    assert ticked.exit_code == 0 and "orders sent" in ticked.output
    assert shop.bot(bot_id).state == "active"
    assert json.loads(run(app, "show", str(bot_id)).stdout)["state"] == "active"
    assert run(app, "stop", str(bot_id), "--then", "sell").exit_code == 0
    assert shop.bot(bot_id).stop_request == "sell"
    run(app, "tick", str(bot_id))
    assert shop.bot(bot_id).state == "stopped"
    assert run(app, "emergency", str(bot_id)).exit_code == 0
    assert shop.bot(bot_id).state == "locked"
    assert run(app, "unlock", str(bot_id)).exit_code == 0
    assert shop.bot(bot_id).state == "stopped"


def test_leaving_orders_is_a_way_to_stop(app: Flask, shop: Shop) -> None:
    bot_id = shop.run_bot()
    run(app, "stop", str(bot_id), "--then", "leave-orders")
    run(app, "tick", str(bot_id))
    assert shop.bot(bot_id).state == "stopped"
    assert listed(app)[0]["orders"]["open"] > 0


@pytest.mark.parametrize("verb", ["show", "start", "stop", "tick", "emergency", "unlock"])
def test_an_unknown_bot_is_a_clear_error(app: Flask, shop: Shop, verb: str) -> None:
    for number in ("987654", "99999999999999999999"):
        result = run(app, verb, number)
        assert result.exit_code != 0
        assert "Traceback" not in result.output
        assert "bot" in result.output.lower()


def test_what_the_rules_refuse_is_told_in_words(app: Flask, shop: Shop) -> None:
    bot_id = shop.add_bot(investment=Decimal(9000))
    shop.start(shop.add_bot("Other", investment=Decimal(5000)))
    result = run(app, "start", str(bot_id))
    assert result.exit_code != 0
    assert "is needed and" in result.output


def test_the_demo_bot_is_made_and_started_once(
    app: Flask, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.accounts.demo import CUSTOMER
    from app.accounts.models import Profile, User
    from app.bots.demo import seed_bots
    from app.db import utc_now
    from app.exchanges.service import seed_exchanges
    from app.subscriptions.service import seed_plans
    from app.transactions import transaction
    from tests.factories import make_market

    with transaction():
        seed_exchanges()
        seed_plans()
        make_market("BTC/USDT")
        db.session.add(
            User(
                email=CUSTOMER.email,
                password_hash="!",
                role="customer",
                confirmed_at=utc_now(),
                profile=Profile(name="Demo"),
            )
        )
    for _ in range(2):
        with transaction():
            seed_bots()
    bot = db.session.query(Bot).one()
    assert (bot.state, bot.mode, bot.symbols) == ("starting", "paper", ["BTC/USDT"])
    metrics = db.session.get_one(BotMetrics, bot.id)
    assert metrics.deposited == bot.capital == Decimal(4000)


def test_a_trading_bot_is_changed_after_its_cost_was_shown(app: Flask, shop: Shop) -> None:
    bot_id = str(shop.run_bot())
    shown = run(app, "change", bot_id, "lower=80")
    assert shown.exit_code == 0
    assert json.loads(shown.output)["money_in"] == "0"
    assert shop.bot(int(bot_id)).config_version == 1
    assert run(app, "change", bot_id, "lower=80", "--yes").exit_code == 0
    assert shop.bot(int(bot_id)).config_version == 2
    assert run(app, "change", bot_id, "lower").exit_code != 0
    assert run(app, "change", bot_id, "lower=120").exit_code != 0


def test_money_moves_in_and_out_of_a_trading_bot(app: Flask, shop: Shop) -> None:
    bot_id = str(shop.run_bot("97.9", "100.1"))
    assert "can be put in: 9000" in run(app, "money", bot_id).output
    assert run(app, "money", bot_id, "--add", "100").exit_code == 0
    assert shop.bot(int(bot_id)).capital == 1100
    assert run(app, "money", bot_id, "--take", "5000").exit_code != 0


def test_a_paused_bot_goes_on(app: Flask, shop: Shop) -> None:
    bot_id = shop.run_bot()
    shop.set_bot(bot_id, state="paused")
    assert run(app, "resume", str(bot_id)).exit_code == 0
    assert shop.bot(bot_id).state == "active"


def test_commands_say_what_the_bot_is_and_change_one_that_does_not_trade(
    app: Flask, shop: Shop
) -> None:
    bot_id = str(shop.add_bot())
    assert run(app, "stop", bot_id).output == f"Bot {bot_id} is stopped.\n"
    assert "add --yes" in run(app, "change", bot_id, "grids=8").output
    assert run(app, "change", bot_id, "grids=8", "--yes").exit_code == 0
    changed = db.session.get_one(Bot, int(bot_id))
    assert (changed.state, changed.config_version) == ("stopped", 2)
    twice = run(app, "limits", bot_id, "max_capital=5000", "max_capital=1")
    assert (twice.exit_code, "max_capital stands twice" in twice.output) == (2, True)
    for _ in range(2):
        assert run(app, "emergency", bot_id).output == f"Bot {bot_id} is locked.\n"
