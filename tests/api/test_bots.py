"""Bots by API: created, read, changed, deleted, started and stopped by the rules of the pages."""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from app.accounts.models import User
from app.bots import inventory, queries, service
from app.bots.models import Bot, BotConfig, BotEvent
from app.db import db, utc_now
from app.exchanges import snapshots
from app.exchanges.models import ExchangeAccount
from app.exchanges.queries import Balances
from app.markets.models import MarketRow
from app.trading.ports import Balance
from app.transactions import transaction
from tests.api.programs import Program, code_of, field_of, give_token
from tests.at_once import at_once, wait_for_a_lock
from tests.bots.shop import Shop
from tests.factories import make_account, make_market, make_user
from tests.long import few

GRID = {"lower": "90", "upper": "110", "grids": 10, "investment": "1000", "reserve": "0.05"}


def order_for(shop: Shop, **changes: Any) -> dict[str, Any]:
    body = {"account": shop.account_id, "symbol": "AAA/USDT", "name": "By program", **GRID}
    return {name: value for name, value in (body | changes).items() if value != "-"}


def count_bots() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count(Bot.id))) or 0


def errors_of(answer: Any) -> dict[str, str]:
    return {each["field"]: each["code"] for each in answer.get_json(force=True)["errors"]}


# --- creating -------------------------------------------------------------------------------------


def test_a_new_bot_is_stopped_and_stands_at_its_address(shop: Shop, program: Program) -> None:
    answer = program.post("/bots", order_for(shop))
    assert answer.status_code == 201, answer.text
    made = answer.get_json()
    assert (made["state"], made["name"], made["symbol"]) == ("stopped", "By program", "AAA/USDT")
    assert made["settings"]["lower"] == "90" and made["settings"]["grids"] == 10
    assert answer.headers["Location"] == f"/api/v1/bots/{made['id']}"
    assert program.get(f"/bots/{made['id']}").get_json() == made
    assert shop.bot(made["id"]).user_id == shop.user_id


def test_page_command_and_api_make_the_same_bot(shop: Shop, program: Program) -> None:
    by_page = shop.add_bot("Twin")
    by_api = program.post("/bots", order_for(shop, name="Twin")).get_json()["id"]
    versions = [db.session.get_one(BotConfig, (each, 1)) for each in (by_page, by_api)]
    assert versions[0].params == versions[1].params
    assert versions[0].capital == versions[1].capital
    assert shop.bot(by_page).plan == shop.bot(by_api).plan


def test_the_list_has_the_form_of_the_command(app: Flask, shop: Shop, program: Program) -> None:
    shop.run_bot(97, 103, 101)
    items = program.get("/bots").get_json()["items"]
    result = app.test_cli_runner().invoke(args=["bots", "list", "--json"])
    assert items == json.loads(result.stdout)
    assert Decimal(items[0]["profit"]["fees"]) > 0


def test_name_and_strategy_may_be_left_out(shop: Shop, program: Program) -> None:
    made = program.post("/bots", order_for(shop, name="-", strategy="-")).get_json()
    assert made["strategy"] == "grid" and "AAA/USDT" in made["name"]


def test_numbers_are_exact_however_they_are_written(shop: Shop, program: Program) -> None:
    raw = json.dumps(order_for(shop, lower="-")).encode()[:-1] + b', "lower": 90.10}'
    made = program.send("/bots", raw).get_json()
    assert made["settings"]["lower"] == "90.1"
    made = program.post("/bots", order_for(shop, lower="90.1")).get_json()
    assert made["settings"]["lower"] == "90.1"


BAD_SETTINGS: list[tuple[Any, ...]] = [
    ({"lower": "120"}, {"upper": "invalid_range"}),
    ({"lower": None, "grids": "2.5"}, {"lower": "missing", "grids": "not_an_integer"}),
    ({"colour": "red"}, {"colour": "unknown_field"}),
    ({"account_id": 5, "how": "x"}, {"account_id": "unknown_field", "how": "unknown_field"}),
    ({"user_id": 1, "state": "active"}, {"user_id": "unknown_field", "state": "unknown_field"}),
    ({"lower": "NaN"}, {"lower": "not_a_number"}),
    ({"lower": "Infinity"}, {"lower": "not_a_number"}),
    ({"lower": "1e3"}, {"lower": "not_a_number"}),
    ({"lower": True}, {"lower": "not_a_number"}),
    ({"lower": "-5"}, {"lower": "too_small"}),
    ({"lower": ""}, {"lower": "missing"}),
    ({"lower": "90,5"}, {"lower": "not_a_number"}),
    ({"investment": 10**30}, {"investment": "too_many_digits"}),
    ({"grids": 10**9}, {"grids": "grids_out_of_range"}),
    ({"spacing": "😀"}, {"spacing": "not_a_choice"}),
    ({"take_profit": "80"}, {"take_profit": "take_profit_not_above_price"}),
    ({"stop_loss": "105"}, {"stop_loss": "stop_loss_not_below_price"}),
]


def test_every_bad_setting_is_named(shop: Shop, program: Program) -> None:
    for changes, fields in BAD_SETTINGS:
        answer = program.post("/bots", order_for(shop, **changes))
        assert answer.status_code == 422, (changes, answer.text)
        assert fields.items() <= errors_of(answer).items(), changes
        assert code_of(answer) in fields.values(), changes
        assert count_bots() == 0


BAD_FIELDS: list[tuple[Any, ...]] = [
    ({"account": None}, "missing", "account"),
    ({"account": "-"}, "missing", "account"),
    ({"account": "x"}, "not_whole_id", "account"),
    ({"account": True}, "not_whole_id", "account"),
    ({"account": -1}, "not_whole_id", "account"),
    ({"account": 10**30}, "not_whole_id", "account"),
    ({"account": 987_654}, "unknown_account", "account"),
    ({"symbol": "-"}, "missing", "symbol"),
    ({"symbol": ""}, "missing", "symbol"),
    ({"symbol": 7}, "not_text", "symbol"),
    ({"symbol": "ZZZ/USDT"}, "unknown_market", "symbol"),
    ({"symbol": "aaa/usdt' or 1=1"}, "unknown_market", "symbol"),
    ({"symbol": "AAA/USDT\0"}, "control_characters", "symbol"),
    ({"strategy": "magic"}, "unknown_strategy", "strategy"),
    ({"strategy": "m" * 100, "name": "-"}, "unknown_strategy", "strategy"),
    ({"strategy": 1}, "not_text", "strategy"),
    ({"name": ""}, "missing", "name"),
    ({"name": "x" * 61}, "name_too_long", "name"),
    ({"name": "x" * 2000}, "text_too_long", "name"),
    ({"name": "a\u202eb"}, "name_unprintable", "name"),
    ({"name": "\ud800"}, "control_characters", "name"),
    ({"name": 5}, "not_text", "name"),
    ({"name": ["a"]}, "not_plain_value", "name"),
    ({"lower": {"$gt": 1}}, "not_plain_value", "lower"),
]


def test_every_bad_field_around_the_settings_is_named(shop: Shop, program: Program) -> None:
    for changes, code, field in BAD_FIELDS:
        answer = program.post("/bots", order_for(shop, **changes))
        assert (answer.status_code, code_of(answer), field_of(answer)) == (
            422, code, field,
        ), changes  # fmt: skip
        assert count_bots() == 0


def test_accounts_and_pairs_of_others_do_not_exist(shop: Shop, program: Program) -> None:
    with transaction():
        strange = make_account(make_user()).id
        make_market("BBB/USDT", "binance")
    answer = program.post("/bots", order_for(shop, account=strange))
    assert (answer.status_code, code_of(answer)) == (422, "unknown_account")
    answer = program.post("/bots", order_for(shop, symbol="BBB/USDT"))
    assert (answer.status_code, code_of(answer)) == (422, "unknown_market")


def test_conflicts_have_the_codes_of_the_page(shop: Shop, program: Program) -> None:
    with transaction():
        shop.account().active = False
    answer = program.post("/bots", order_for(shop))
    assert (answer.status_code, code_of(answer)) == (409, "account_switched_off")
    assert field_of(answer) == "account"


def test_the_codes_of_the_core_carry_their_values(shop: Shop, program: Program) -> None:
    answer = program.post("/bots", order_for(shop, investment="3"))
    body = answer.get_json(force=True)
    assert (answer.status_code, body["code"]) == (422, "investment_too_small")
    assert Decimal(body["values"]["minimum"]) > 3


# --- bodies ---------------------------------------------------------------------------------------

DEEP = b"[" * 30_000


HOSTILE_BODIES: list[tuple[Any, ...]] = [
    (b"", 400, "not_json"),
    (b"{", 400, "not_json"),
    (b"\xff\xfe{}", 400, "not_json"),
    (b'{"a": NaN}', 400, "not_json"),
    (b'{"a": Infinity}', 400, "not_json"),
    (b'{"lower": 1e400000000000000000000}', 400, "number_out_of_range"),
    (b'{"lower": ' + b"9" * 5000 + b"}", 400, "number_out_of_range"),
    (b'{"lower": 0.' + b"9" * 5000 + b"}", 400, "number_out_of_range"),
    (b"[]", 400, "body_not_object"),
    (b"null", 400, "body_not_object"),
    (b'"x"', 400, "body_not_object"),
    (b"7", 400, "body_not_object"),
    (DEEP, 400, "not_json"),
    (b'{"a":' * 10_000, 400, "not_json"),
    (b'{"name": "a", "name": "b"}', 400, "duplicate_name"),
    (b'{"account": 1, "account": 2}', 400, "duplicate_name"),
    (b'{"a": [[[]]]}', 422, "not_plain_value"),
    (b'{"name": "\\u0000"}', 422, "control_characters"),
    (b'{"": 1}', 422, "missing"),
    (b" " * 70_000, 413, "http_413"),
    (b'{"a": "' + b"x" * 10_000_000 + b'"}', 413, "http_413"),
]


def test_hostile_bodies_are_refused(shop: Shop, program: Program) -> None:
    for raw, status, code in HOSTILE_BODIES:
        answer = program.send("/bots", raw)
        assert (answer.status_code, code_of(answer)) == (status, code), raw[:50]
        assert count_bots() == 0


OTHER_KINDS: list[str] = ["", "text/plain", "application/x-www-form-urlencoded", "x"]


def test_only_json_is_read(shop: Shop, program: Program) -> None:
    body = json.dumps(order_for(shop)).encode()
    for kind in OTHER_KINDS:
        answer = program.send("/bots", body, **{"Content-Type": kind})
        assert (answer.status_code, code_of(answer)) == (415, "http_415"), kind


def test_a_body_as_large_as_allowed_is_read(shop: Shop, program: Program) -> None:
    body = json.dumps(order_for(shop)).encode()
    assert program.send("/bots", body + b" " * (65_536 - len(body))).status_code == 201


def test_a_body_in_chunks_is_refused_beyond_the_limit_not_cut(shop: Shop, program: Program) -> None:
    body = json.dumps(order_for(shop)).encode()
    for length, status in ((65_536, 201), (65_537, 413), (70_000, 413)):
        sent = body + b" " * (length - len(body))
        # As the server gives a body without a stated length to the application.
        answer = program.call(
            "POST",
            "/bots",
            input_stream=io.BytesIO(sent),
            headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        )
        assert answer.status_code == status, length
    assert count_bots() == 1


def test_a_name_that_stands_twice_among_thousands_is_found_at_once(
    shop: Shop, program: Program
) -> None:
    names = [*range(6000), 5999]
    raw = ("{" + ",".join(f'"{name:x}":1' for name in names) + "}").encode()
    started = time.process_time()
    answer = program.send("/bots", raw)
    assert time.process_time() - started < 0.5
    assert (code_of(answer), field_of(answer)) == ("duplicate_name", "176f")


def test_many_unknown_fields_cost_little(shop: Shop, program: Program) -> None:
    many = {f"f{number}": 1 for number in range(4000)}
    answer = program.post("/bots", order_for(shop) | many)
    assert answer.status_code == 422
    assert len(answer.get_json(force=True)["errors"]) <= 50


def test_emoji_may_stand_in_a_name(shop: Shop, program: Program) -> None:
    assert program.post("/bots", order_for(shop, name="🚀 moon")).get_json()["name"] == "🚀 moon"


# --- twice ----------------------------------------------------------------------------------------


def test_the_same_key_makes_one_bot_and_answers_alike(shop: Shop, program: Program) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = program.post("/bots", order_for(shop), headers=key)
    backwards = dict(reversed(order_for(shop).items()))
    second = program.post("/bots", backwards, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.data == second.data
    assert first.headers["Location"] == second.headers["Location"]
    assert count_bots() == 1


def test_the_same_key_with_another_body_is_refused(shop: Shop, program: Program) -> None:
    key = {"Idempotency-Key": "order-1"}
    program.post("/bots", order_for(shop), headers=key)
    answer = program.post("/bots", order_for(shop, grids=11), headers=key)
    assert (answer.status_code, code_of(answer)) == (409, "idempotency_key_reused")
    assert count_bots() == 1


def test_a_refused_request_leaves_its_key_free(shop: Shop, program: Program) -> None:
    key = {"Idempotency-Key": "order-1"}
    assert program.post("/bots", order_for(shop, grids=1), headers=key).status_code == 422
    assert program.post("/bots", order_for(shop), headers=key).status_code == 201


def test_keys_of_two_people_do_not_meet(app: Flask, shop: Shop, program: Program) -> None:
    key = {"Idempotency-Key": "order-1"}
    program.post("/bots", order_for(shop), headers=key)
    with transaction():
        user = make_user()
        account, other = make_account(user).id, user.id
    answer = Program(app, give_token(other)).post(
        "/bots", order_for(shop, account=account), headers=key
    )
    assert answer.status_code == 201
    assert count_bots() == 2


def test_a_key_is_forgotten_after_a_day(shop: Shop, program: Program) -> None:
    from datetime import timedelta

    from app.api.models import KeptAnswer

    key = {"Idempotency-Key": "order-1"}
    program.post("/bots", order_for(shop), headers=key)
    with transaction():
        row = db.session.scalars(select(KeptAnswer)).one()
        row.created_at -= timedelta(hours=25)
    assert program.post("/bots", order_for(shop, grids=11), headers=key).status_code == 201


ODD_KEYS: list[str] = ["", " ", "a b", "é", "x" * 101, "a\0"]


def test_odd_keys_are_refused(shop: Shop, program: Program) -> None:
    for key in ODD_KEYS:
        answer = program.post("/bots", order_for(shop), headers={"Idempotency-Key": key})
        assert (answer.status_code, code_of(answer)) == (422, "bad_idempotency_key"), key


def test_the_same_key_at_once_makes_one_bot(app: Flask, shop: Shop) -> None:
    secret, body = give_token(shop.user_id), order_for(shop)
    key = {"Idempotency-Key": "order-1"}
    programs = [Program(app, secret) for _ in range(4)]
    answers = at_once(app, 4, lambda each: programs[each].post("/bots", body, headers=key).data)
    assert len(set(answers)) == 1
    assert count_bots() == 1


# --- reading --------------------------------------------------------------------------------------


def test_the_list_goes_on_by_cursor_and_filters_by_state(shop: Shop, program: Program) -> None:
    ids = [shop.add_bot(f"Bot {number}") for number in range(5)]
    with transaction():
        make_user()
    seen, cursor = [], ""
    while True:
        page = program.get(f"/bots?limit=2{cursor}").get_json()
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids
    shop.set_bot(ids[2], state="error")
    errors = program.get("/bots?state=error").get_json()["items"]
    assert [each["id"] for each in errors] == [ids[2]]


ODD_PARAMETERS: list[tuple[Any, ...]] = [
    ("state=flying", "state", "not_a_choice"),
    ("limit=0", "limit", "too_small"),
    ("limit=201", "limit", "too_large"),
    ("limit=9999999999999999999999", "limit", "too_large"),
    ("limit=x", "limit", "not_an_integer"),
    ("limit=²", "limit", "not_an_integer"),
    ("limit=", "limit", "not_an_integer"),
    ("cursor=x", "cursor", "bad_cursor"),
    ("cursor=-1", "cursor", "bad_cursor"),
    ("cursor=99999999999999999999", "cursor", "bad_cursor"),
    ("page=2", "page", "unknown_parameter"),
    ("limit=1&limit=2", "limit", "duplicate_name"),
]


def test_odd_parameters_are_named(program: Program) -> None:
    for query, field, code in ODD_PARAMETERS:
        for path in ("/bots", "/trades"):
            if path == "/trades" and field == "state":
                continue
            answer = program.get(f"{path}?{query}")
            found = answer.status_code, field_of(answer), code_of(answer)
            assert found == (422, field, code), query


def test_a_bot_tells_its_times_and_reasons(shop: Shop, program: Program) -> None:
    bot_id = shop.run_bot(97, 103)
    found = program.get(f"/bots/{bot_id}").get_json()
    assert found["state"] == "active" and found["orders"]["open"] > 0
    assert found["started_at"].endswith("Z") and found["last_tick_at"].endswith("Z")
    assert found["account"] == shop.account_id and found["capital"] == "1000"
    assert found["reason"]["code"] and found["reason"]["title"]
    assert found["stopped_at"] is None and found["last_error"] is None


def test_the_plan_says_what_a_start_would_do(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot()
    found = program.get(f"/bots/{bot_id}/plan").get_json()
    assert found["price"] == "100"
    assert Decimal(found["needed"]["quote"]) == 1000
    assert found["plan"]["investment"] == "1000" and found["plan"]["errors"] == []


def test_command_and_program_plan_the_same_settings_alike(
    shop: Shop, program: Program, app: Flask
) -> None:
    body = order_for(shop, reserve="-")
    number = program.post("/bots", body).get_json()["id"]
    plan = program.get(f"/bots/{number}/plan").get_json()["plan"]
    words = [
        "grid",
        "plan",
        "--json",
        "--exchange",
        "bybit",
        "--symbol",
        body["symbol"],
        "--params",
    ]
    settings = {name: body[name] for name in GRID if name in body}
    said = json.loads(app.test_cli_runner().invoke(args=[*words, json.dumps(settings)]).stdout)
    figures = ("base_to_buy", "investment", "minimum_investment", "seconds_to_place", "quantity")
    assert plan["quantity"] and plan["seconds_to_place"]
    for name in figures:
        assert Decimal(plan[name]) == Decimal(said[name]), name


def test_accounts_are_listed_without_keys(shop: Shop, program: Program) -> None:
    with transaction():
        make_account(make_user())
    (account,) = program.get("/accounts").get_json()["items"]
    assert account == {
        "id": shop.account_id, "label": shop.account().label, "mode": "paper",
        "exchange": "paper", "prices_of": "bybit", "testnet": False, "active": True,
    }  # fmt: skip


# --- changing -------------------------------------------------------------------------------------


def test_a_change_makes_a_version_and_leaves_the_rest(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot()
    before = program.get(f"/bots/{bot_id}").get_json()["settings"]
    answer = program.patch(f"/bots/{bot_id}", {"grids": 8})
    assert answer.status_code == 200, answer.text
    found = answer.get_json()
    assert found["settings"] == {**before, "grids": 8}
    assert found["config_version"] == 2
    assert db.session.get_one(BotConfig, (bot_id, 1)).params["grids"] == 10
    assert program.patch(f"/bots/{bot_id}", {"grids": 8}).get_json()["config_version"] == 2


def test_null_takes_a_setting_back_to_its_default(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot(take_profit=Decimal(150))
    found = program.patch(f"/bots/{bot_id}", {"take_profit": None}).get_json()
    assert found["settings"]["take_profit"] is None


def test_a_running_bot_takes_a_name_and_nothing_else(shop: Shop, program: Program) -> None:
    bot_id = shop.run_bot()
    answer = program.patch(f"/bots/{bot_id}", {"name": "  New  name "})
    assert (answer.status_code, answer.get_json()["name"]) == (200, "New name")
    answer = program.patch(f"/bots/{bot_id}", {"grids": 8, "name": "Other"})
    assert (answer.status_code, code_of(answer)) == (409, "cannot_edit")
    assert (shop.bot(bot_id).name, shop.bot(bot_id).config_version) == ("New name", 1)


BAD_CHANGES: list[tuple[Any, ...]] = [
    ({"lower": "120"}, "upper"),
    ({"account": 5}, "account"),
    ({"symbol": "BBB/USDT"}, "symbol"),
    ({"state": "active"}, "state"),
    ({"name": ""}, "name"),
    ({"name": 5}, "name"),
    ({"name": []}, "name"),
    ({"strategy": "magic"}, "strategy"),
]


def test_a_bad_change_is_named_and_changes_nothing(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot()
    for change, field in BAD_CHANGES:
        answer = program.patch(f"/bots/{bot_id}", {"grids": 9, **change})
        assert (answer.status_code, field_of(answer)) == (422, field)
        assert (shop.bot(bot_id).config_version, shop.bot(bot_id).name) == (1, "My grid")


def test_an_empty_change_changes_nothing(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot()
    assert program.patch(f"/bots/{bot_id}", {}).status_code == 200
    assert shop.bot(bot_id).config_version == 1


def test_changes_at_once_do_not_lose_each_other(app: Flask, shop: Shop) -> None:
    bot_id, secret = shop.add_bot(), give_token(shop.user_id)
    changes = [{"grids": 8}, {"lower": "91"}, {"upper": "109"}]
    programs = [Program(app, secret) for _ in changes]
    at_once(app, 3, lambda each: programs[each].patch(f"/bots/{bot_id}", changes[each]).status_code)
    found = programs[0].get(f"/bots/{bot_id}").get_json()
    settings = found["settings"]
    assert (settings["grids"], settings["lower"], settings["upper"]) == (8, "91", "109")
    assert found["config_version"] == 4


@pytest.mark.long
def test_a_deleted_bot_keeps_its_trades(shop: Shop, program: Program) -> None:
    bot_id = shop.run_bot(97, 103, 97, 103)
    answer = program.delete(f"/bots/{bot_id}")
    assert (answer.status_code, code_of(answer)) == (409, "cannot_delete")
    program.post(f"/bots/{bot_id}/stop", {"then": "sell"})
    shop.tick()
    answer = program.delete(f"/bots/{bot_id}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert program.delete(f"/bots/{bot_id}").status_code == 404
    assert program.get(f"/bots/{bot_id}").status_code == 404
    assert program.get("/bots").get_json()["items"] == []
    trades = program.get(f"/trades?bot={bot_id}").get_json()["items"]
    assert trades and {each["bot"] for each in trades} == {bot_id}


def test_a_bot_that_is_deleted_while_it_is_read_is_not_there(
    shop: Shop, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot_id = shop.add_bot()
    read = queries.bot_card

    def read_and_delete(user_id: int, number: int) -> Any:
        found = read(user_id, number)
        with transaction():
            service.delete_bot(user_id, number)
        return found

    monkeypatch.setattr(queries, "bot_card", read_and_delete)
    answer = program.get(f"/bots/{bot_id}")
    assert (answer.status_code, code_of(answer)) == (404, "bot_not_found")


# --- running --------------------------------------------------------------------------------------


def test_start_stop_and_start_again(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot()
    for _ in range(2):
        answer = program.post(f"/bots/{bot_id}/start")
        assert (answer.status_code, answer.get_json()["state"]) == (202, "starting")
    assert shop.bot(bot_id).epoch == 1
    shop.tick()
    assert program.post(f"/bots/{bot_id}/start").get_json()["state"] == "active"
    for _ in range(2):
        answer = program.post(f"/bots/{bot_id}/stop", {"then": "sell"})
        assert (answer.status_code, answer.get_json()["stop_request"]) == (202, "sell")
    shop.tick()
    assert program.get(f"/bots/{bot_id}").get_json()["state"] == "stopped"
    assert program.post(f"/bots/{bot_id}/stop").status_code == 202
    program.post(f"/bots/{bot_id}/start")
    shop.tick()
    assert shop.bot(bot_id).epoch == 2


@pytest.mark.parametrize(
    ("then", "kept"), few([("keep", "keep"), ("sell", "sell"), ("leave-orders", "leave_orders")], 3)
)
def test_a_stop_says_what_becomes_of_coins_and_orders(
    shop: Shop, program: Program, then: str, kept: str
) -> None:
    with transaction():
        shop.user.profile.experience = "expert"
    bot_id = shop.run_bot()
    program.post(f"/bots/{bot_id}/stop", {"then": then})
    assert shop.bot(bot_id).stop_request == kept


def test_a_beginner_leaves_no_orders_behind(shop: Shop, program: Program) -> None:
    bot_id = shop.run_bot()
    answer = program.post(f"/bots/{bot_id}/stop", {"then": "leave-orders"})
    assert (answer.status_code, code_of(answer)) == (403, "leave_orders_for_experts")
    assert field_of(answer) == "then"
    assert shop.bot(bot_id).state == "active"


def test_emergency_locks_and_unlock_opens(shop: Shop, program: Program) -> None:
    bot_id = shop.run_bot()
    for _ in range(2):
        assert program.post(f"/bots/{bot_id}/emergency").status_code == 202
    shop.tick()
    assert program.get(f"/bots/{bot_id}").get_json()["state"] == "locked"
    answer = program.post(f"/bots/{bot_id}/start")
    assert (answer.status_code, code_of(answer)) == (409, "cannot_start")
    for _ in range(2):
        answer = program.post(f"/bots/{bot_id}/unlock")
        assert (answer.status_code, answer.get_json()["state"]) == (200, "stopped")


def test_a_plan_that_moved_is_not_started(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot()
    word = program.get(f"/bots/{bot_id}/plan").get_json()["confirm"]
    shop.play(91)
    answer = program.post(f"/bots/{bot_id}/start", {"confirm": word})
    assert (answer.status_code, code_of(answer)) == (409, "plan_moved")
    assert shop.bot(bot_id).state == "stopped"
    word = program.get(f"/bots/{bot_id}/plan").get_json()["confirm"]
    assert program.post(f"/bots/{bot_id}/start", {"confirm": word}).status_code == 202


def test_without_a_word_the_bot_starts_with_the_plan_of_the_moment(app: Flask, shop: Shop) -> None:
    bot_id = shop.add_bot()
    program = Program(app, give_token(shop.user_id))
    with ThreadPoolExecutor(1) as pool:
        with transaction():
            # What a change of the settings at the same time does: it holds the bot, then commits.
            service.change_bot(shop.user_id, bot_id, {"grids": 12})
            starting = pool.submit(program.post, f"/bots/{bot_id}/start")
            wait_for_a_lock()
        answer = starting.result(10)
    assert (answer.status_code, answer.get_json()["settings"]["grids"]) == (202, 12)


def test_a_live_bot_wants_to_hear_that_the_risk_is_known(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot()
    with transaction():
        account = db.session.get_one(ExchangeAccount, shop.account_id)
        account.mode, account.exchange = "live", "bybit"
        db.session.get_one(Bot, bot_id).mode = "live"
    for body in (None, {}, {"understood": False}, {"understood": "true"}):
        answer = program.post(f"/bots/{bot_id}/start", body)
        assert (answer.status_code, code_of(answer)) == (422, "not_understood")
    # As a worker has read it a moment ago.
    snapshots.keep(shop.account_id, Balances({"USDT": Balance(Decimal(5000))}, utc_now()))
    answer = program.post(f"/bots/{bot_id}/start", {"understood": True})
    assert (answer.status_code, code_of(answer)) == (409, "live_needs_plan")


def test_the_plans_limit_has_the_code_of_the_page(shop: Shop, program: Program) -> None:
    codes = []
    for number in range(12):
        bot_id = shop.add_bot(f"Bot {number}", investment=Decimal(100))
        answer = program.post(f"/bots/{bot_id}/start")
        if answer.status_code != 202:
            codes.append((answer.status_code, code_of(answer)))
            break
    assert codes == [(409, "plan_limit")]


def test_money_that_is_not_free_is_refused(shop: Shop, program: Program) -> None:
    shop.start(shop.add_bot("First", investment=Decimal(6000)))
    bot_id = shop.add_bot("Second", investment=Decimal(6000))
    answer = program.post(f"/bots/{bot_id}/start")
    assert answer.status_code == 409
    assert code_of(answer).startswith("not_enough")


def test_a_verb_refuses_what_it_does_not_know(shop: Shop, program: Program) -> None:
    bot_id = shop.run_bot()
    for verb in ("start", "stop", "emergency", "unlock"):
        for body, field in (({"x": 1}, "x"), ({"then": []}, "then"), ({"how": "keep"}, "how")):
            answer = program.post(f"/bots/{bot_id}/{verb}", body)
            assert (answer.status_code, field_of(answer)) == (422, field), (verb, body)
            assert shop.bot(bot_id).state == "active"


UNKNOWN_WAYS: list[Any] = ["burn", "leave_orders", 5, True, ["keep"]]


def test_an_unknown_way_to_stop_is_refused(shop: Shop, program: Program) -> None:
    bot_id = shop.run_bot()
    for then in UNKNOWN_WAYS:
        answer = program.post(f"/bots/{bot_id}/stop", {"then": then})
        assert (answer.status_code, field_of(answer)) == (422, "then"), then
        assert shop.bot(bot_id).state == "active"


def test_what_a_program_did_stands_in_the_bots_log(shop: Shop, program: Program) -> None:
    bot_id = program.post("/bots", order_for(shop)).get_json()["id"]
    program.post(f"/bots/{bot_id}/start")
    events = db.session.scalars(select(BotEvent).where(BotEvent.bot_id == bot_id)).all()
    assert {"bot_created", "start_requested"} <= {each.code for each in events}
    assert {each.actor_id for each in events} == {shop.user_id}


def test_the_number_of_bots_is_limited(
    shop: Shop, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_BOTS", 1)
    assert program.post("/bots", order_for(shop)).status_code == 201
    answer = program.post("/bots", order_for(shop))
    assert (answer.status_code, code_of(answer)) == (409, "too_many_bots")


def test_own_inventory_shows_nobody_elses_bots(shop: Shop) -> None:
    shop.add_bot()
    with transaction():
        other = make_user().id
    assert inventory.own_inventory(other) == []
    assert db.session.get(User, other) and db.session.scalars(select(MarketRow)).all()


# --- limits ---------------------------------------------------------------------------------------


def test_limits_are_set_with_the_bot_changed_alone_and_taken_away(
    shop: Shop, program: Program
) -> None:
    none = dict.fromkeys(("max_capital", "max_daily_loss", "max_open_orders", "max_leverage"))
    made = program.post("/bots", order_for(shop, max_capital="2000", max_open_orders=40))
    assert made.status_code == 201, made.text
    number = made.get_json()["id"]
    assert made.get_json()["limits"] == none | {"max_capital": "2000", "max_open_orders": 40}
    assert "max_capital" not in made.get_json()["settings"]
    path = f"/bots/{number}/limits"
    changed = program.patch(path, {"max_daily_loss": "25.5", "max_open_orders": None})
    kept = none | {"max_capital": "2000", "max_daily_loss": "25.5"}
    assert (changed.status_code, changed.get_json()["limits"]) == (200, kept)
    assert program.get(f"/bots/{number}").get_json()["limits"] == kept
    assert program.patch(path, dict.fromkeys(kept)).get_json()["limits"] == none
    assert shop.bot(number).guard is None
    # Only limits moved.
    assert shop.bot(number).config_version == 1


def test_a_limit_set_by_program_pauses_a_running_bot(shop: Shop, program: Program) -> None:
    bot_id = shop.run_bot()
    answer = program.patch(f"/bots/{bot_id}/limits", {"max_open_orders": 3})
    assert answer.status_code == 200
    shop.tick()
    shown = program.get(f"/bots/{bot_id}").get_json()
    assert (shown["state"], shown["reason"]["code"]) == ("paused", "limit_open_orders")


BAD_LIMITS: list[tuple[Any, ...]] = [
    ({"max_daily_loss": "NaN"}, {"max_daily_loss": "not_a_number"}),
    (
        {"max_capital": "-1", "max_leverage": "0.5"},
        {"max_capital": "too_small", "max_leverage": "too_small"},
    ),
    ({"max_open_orders": "2.5"}, {"max_open_orders": "not_an_integer"}),
    ({"max_capital": 10**30}, {"max_capital": "too_many_digits"}),
    ({"max_fun": 5}, {"max_fun": "unknown_field"}),
    ({"lower": "80"}, {"lower": "unknown_field"}),
]


def test_limits_that_can_not_be_are_named(shop: Shop, program: Program) -> None:
    bot_id = shop.add_bot()
    for limits, errors in BAD_LIMITS:
        answer = program.patch(f"/bots/{bot_id}/limits", limits)
        assert (answer.status_code, errors_of(answer)) == (422, errors), limits
        assert shop.bot(bot_id).guard is None


def test_a_limit_below_what_the_bot_needs_is_refused_when_it_is_made(
    shop: Shop, program: Program
) -> None:
    answer = program.post("/bots", order_for(shop, max_capital="10"))
    assert (answer.status_code, errors_of(answer)) == (422, {"max_capital": "limit_below_need"})
    assert count_bots() == 0
