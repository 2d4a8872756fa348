"""Who comes in: every route by token, without, with the wrong one, over http, too often."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask

from app.accounts import limits
from app.accounts.models import AccessToken, User
from app.config import current_config, use_config
from app.db import db, utc_now
from app.subscriptions import rights
from app.subscriptions import service as plans
from app.subscriptions.rules import FREE_LIMITS, Allowance
from app.transactions import transaction
from tests.accounts.people import SESSION_COOKIE
from tests.api.programs import ALL, API, Program, code_of, give_token
from tests.bots.shop import Shop
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user
from tests.long import few

# Method, path with a bot's number, and the scope it takes.
ROUTES = [
    ("GET", "/accounts", "bots:read"),
    ("GET", "/bots", "bots:read"),
    ("POST", "/bots", "bots:write"),
    ("GET", "/bots/{bot}", "bots:read"),
    ("PATCH", "/bots/{bot}", "bots:write"),
    ("PATCH", "/bots/{bot}/limits", "bots:write"),
    ("DELETE", "/bots/{bot}", "bots:write"),
    ("GET", "/bots/{bot}/plan", "bots:read"),
    ("POST", "/bots/{bot}/start", "bots:run"),
    ("POST", "/bots/{bot}/stop", "bots:run"),
    ("POST", "/bots/{bot}/emergency", "bots:run"),
    ("POST", "/bots/{bot}/unlock", "bots:run"),
    ("GET", "/bots/{bot}/orders", "trades:read"),
    ("GET", "/bots/{bot}/fills", "trades:read"),
    ("GET", "/trades", "trades:read"),
]
OF_A_BOT = [route for route in ROUTES if "{bot}" in route[1]]


def test_the_list_above_is_complete(app: Flask) -> None:
    own = {
        (method, str(rule).removeprefix(API).replace("<int:bot_id>", "{bot}"))
        for rule in app.url_map.iter_rules()
        if str(rule).startswith("/api/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert own == {(method, path) for method, path, _ in ROUTES}


@pytest.mark.parametrize(("method", "path", "scope"), few(ROUTES, 3))
def test_every_route_asks_for_a_token_and_for_its_scope(
    app: Flask, shop: Shop, method: str, path: str, scope: str
) -> None:
    path = path.format(bot=shop.add_bot())
    answer = Program(app).call(method, path)
    assert (answer.status_code, code_of(answer)) == (401, "token_missing")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="botyard"'
    others = [each for each in ALL if each != scope]
    answer = Program(app, give_token(shop.user_id, *others)).call(method, path)
    assert (answer.status_code, code_of(answer)) == (403, "scope_missing")
    assert f'scope="{scope}"' in answer.headers["WWW-Authenticate"]
    answer = Program(app, give_token(shop.user_id, scope)).call(method, path)
    assert answer.status_code not in {401, 403, 404, 500}, answer.text


def test_a_dead_token_opens_no_route(app: Flask, shop: Shop) -> None:
    bot_id = shop.add_bot()
    now = utc_now()
    for values, code in (
        ({"expires_at": now - timedelta(seconds=1)}, "token_expired"),
        ({"revoked_at": now}, "token_revoked"),
        ({"audience": "mcp"}, "token_invalid"),
        ({"token_hash": "another"}, "token_invalid"),
    ):
        program = Program(app, give_token(shop.user_id, **values))
        for method, path, _ in ROUTES:
            answer = program.call(method, path.format(bot=bot_id))
            assert (answer.status_code, code_of(answer)) == (401, code), (method, path)
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("column", "code"),
    [("blocked_at", "account_blocked"), ("confirmed_at", "token_owner_unconfirmed")],
)
def test_tokens_of_blocked_and_unconfirmed_people_are_refused(
    shop: Shop, program: Program, column: str, code: str
) -> None:
    with transaction():
        user = db.session.get_one(User, shop.user_id)
        setattr(user, column, utc_now() if column == "blocked_at" else None)
    answer = program.get("/bots")
    assert (answer.status_code, code_of(answer)) == (403, code)


def test_another_persons_bot_is_not_there(app: Flask, shop: Shop) -> None:
    other = Program(app, give_token(stranger()))
    bot_id = shop.add_bot()
    before = shop.bot(bot_id).state
    for method, path, _ in OF_A_BOT:
        answers = [
            other.call(method, path.format(bot=number), json={"name": "mine"})
            for number in (bot_id, 987_654, 10**30)
        ]
        assert [each.status_code for each in answers] == [404] * 3, (method, path)
        found, absent, _huge = (each.get_json(force=True) for each in answers)
        assert {**found, "request_id": ""} == {**absent, "request_id": ""}, (method, path)
        assert (shop.bot(bot_id).state, shop.bot(bot_id).name) == (before, "My grid")


def stranger() -> int:
    from tests.factories import make_user

    with transaction():
        return make_user().id


ODD_HEADERS = [
    "",
    "Bearer",
    "Bearer ",
    "Basic {}",
    "Bearer {}x",
    "{}",
    "Bearer {} {}",
    "Bearer \t",
    "b" * 9000,
]


def test_odd_headers_open_nothing(app: Flask, shop: Shop) -> None:
    secret = give_token(shop.user_id)
    for header in ODD_HEADERS:
        answer = Program(app).get("/bots", headers={"Authorization": header.replace("{}", secret)})
        assert answer.status_code == 401
        assert code_of(answer) in {"token_missing", "token_invalid"}


def test_the_scheme_is_read_in_any_case(app: Flask, shop: Shop) -> None:
    headers = {"Authorization": f"bearer {give_token(shop.user_id)}"}
    assert Program(app).get("/bots", headers=headers).status_code == 200


def test_a_token_in_the_address_opens_nothing(app: Flask, shop: Shop) -> None:
    secret = give_token(shop.user_id)
    for name in ("token", "access_token", "key"):
        assert Program(app).get(f"/bots?{name}={secret}").status_code == 401


# --- cookies --------------------------------------------------------------------------------------


def test_a_signed_in_browser_is_nobody_here(app: Flask, shop: Shop) -> None:
    browser = new_client(app)
    browser.sign_in(shop.user)
    bot_id = shop.add_bot()
    for method, path, _ in ROUTES:
        answer = browser.open(API + path.format(bot=bot_id), method=method, json={})
        assert (answer.status_code, code_of(answer)) == (401, "token_missing")
    token = browser.csrf_token()
    answer = browser.post(f"{API}/bots/{bot_id}/start", headers={"X-CSRFToken": token})
    assert answer.status_code == 401
    assert shop.bot(bot_id).state == "stopped"


def test_a_form_of_another_site_changes_nothing(app: Flask, shop: Shop) -> None:
    """What a browser can send across sites: cookies, a form, no header of its own choice."""
    browser = new_client(app)
    browser.sign_in(shop.user)
    bot_id = shop.add_bot()
    answer = browser.post(
        f"{API}/bots/{bot_id}/start",
        data={"a": "b"},
        headers={"Origin": "https://evil.example", "Referer": "https://evil.example/"},
    )
    assert answer.status_code == 401
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert shop.bot(bot_id).state == "stopped"


def test_no_csrf_token_is_needed_and_no_session_is_made(
    app: Flask, shop: Shop, program: Program
) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    answer = program.post(f"/bots/{shop.add_bot()}/start")
    assert answer.status_code == 202
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")
    assert not program.client._cookies


def test_a_cookie_changes_neither_person_nor_language_nor_session(
    app: Flask, shop: Shop, program: Program, client: Client
) -> None:
    other = stranger()
    client.sign_in(db.session.get_one(User, other))
    cookie = client.get_cookie(SESSION_COOKIE)
    assert cookie is not None
    sent = {"Cookie": f"{SESSION_COOKIE}={cookie.value}; language=ru"}
    bot_id = shop.add_bot()
    answer = program.get("/bots", headers=sent)
    assert [each["id"] for each in answer.get_json()["items"]] == [bot_id]
    assert "Set-Cookie" not in answer.headers
    missing = program.get("/bots/999", headers=sent).get_json(force=True)
    assert missing["title"].isascii()
    assert client.get("/settings").status_code == 200


# --- form of answers ------------------------------------------------------------------------------


def test_problems_speak_the_asked_language(program: Program) -> None:
    titles = {
        language: program.get("/bots/999", headers={"Accept-Language": language}).get_json(
            force=True
        )["title"]
        for language in ("en", "ru", "pt-BR", "xx")
    }
    assert titles["en"] == titles["xx"]
    assert len(set(titles.values())) == 3
    assert any("а" <= letter <= "я" for letter in titles["ru"])


def test_without_a_wish_problems_speak_the_owners_language(shop: Shop, program: Program) -> None:
    with transaction():
        shop.user.profile.language = "ru"
    assert not program.get("/bots/999").get_json(force=True)["title"].isascii()


UNKNOWN = ["", "/", "/nowhere", "/bots/x", "/bots/-1", "/bots/", "/../x"]


def test_an_unknown_address_is_a_json_404(app: Flask, shop: Shop) -> None:
    for path in UNKNOWN:
        for program in (Program(app), Program(app, give_token(shop.user_id))):
            answer = program.get(path)
            assert (answer.status_code, code_of(answer)) == (404, "http_404")


def test_a_wrong_method_names_the_right_ones(app: Flask, program: Program) -> None:
    answer = program.call("PUT", "/bots")
    assert (answer.status_code, code_of(answer)) == (405, "http_405")
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "POST"}


def test_addresses_beside_the_api_keep_their_pages(client: Client) -> None:
    assert client.get("/nowhere").content_type.startswith("text/html")


def test_an_odd_address_is_a_json_400(program: Program) -> None:
    answer = program.get("/bots?cursor=%00")
    assert (answer.status_code, code_of(answer)) == (400, "http_400")


def test_every_answer_has_version_pace_and_is_not_kept(program: Program) -> None:
    answer = program.get("/bots")
    assert answer.content_type == "application/json"
    assert answer.headers["API-Version"] == "1"
    assert answer.headers["Cache-Control"] == "no-store"
    allowed = FREE_LIMITS.allowed[Allowance.API_CALLS]
    assert answer.headers["RateLimit-Limit"] == str(allowed)
    assert int(answer.headers["RateLimit-Remaining"]) == allowed - 1
    assert 0 < int(answer.headers["RateLimit-Reset"]) <= 60
    assert {"authorization", "accept-language"} <= {each.lower() for each in answer.vary}


def test_a_mistake_of_ours_is_a_json_500_without_details(
    program: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("private detail")

    monkeypatch.setattr("app.api.bots.own_inventory", fail)
    answer = program.get("/bots")
    assert (answer.status_code, code_of(answer)) == (500, "unexpected")
    assert "private" not in answer.text
    assert "private detail" in caplog.text


def test_a_silent_database_is_a_json_503(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def fail(*_: object) -> None:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr("app.api.bots.own_inventory", fail)
    answer = program.get("/bots")
    assert (answer.status_code, code_of(answer)) == (503, "service_down")
    assert answer.headers["Retry-After"]


# --- https ----------------------------------------------------------------------------------------


@pytest.fixture
def production(app: Flask) -> Iterator[None]:
    """Let the app believe that it serves customers."""
    before = current_config()
    use_config(replace(before, environment="production"))
    yield
    use_config(before)


def test_plain_http_is_refused_in_production_and_not_redirected(
    app: Flask, shop: Shop, program: Program, production: None
) -> None:
    for each in (program, Program(app)):
        answer = each.get("/bots")
        assert (answer.status_code, code_of(answer)) == (400, "https_required")
        assert "Location" not in answer.headers
    assert db.session.query(AccessToken).one().last_used_at is None
    assert program.get("/bots", base_url="https://localhost").status_code == 200


# --- pace -----------------------------------------------------------------------------------------


def test_a_person_who_is_too_fast_gets_429_and_the_plan_that_allows_more(
    app: Flask, shop: Shop, program: Program
) -> None:
    with transaction():
        plans.seed_plans()
        slow = replace(FREE_LIMITS, allowed={Allowance.API_CALLS: 3, Allowance.PAST_RUNS: 1})
        plans.change_plan(None, "free", slow, visible=True)
    other = Program(app, give_token(shop.user_id))
    answers = [one.get("/bots") for one in (program, other, program, other, program)]
    assert [each.status_code for each in answers] == [200] * 3 + [429] * 2
    assert code_of(answers[-1]) == "api_calls_a_minute_spent"
    assert "Pro" in answers[-1].text and "300" in answers[-1].text
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    with transaction():
        rights.give_plan(None, shop.user_id, "pro", None, "faster")
    assert program.get("/bots").status_code == 200
    assert Program(app, give_token(make_user().id)).get("/bots").status_code == 200


def test_an_address_that_guesses_is_slowed_down_but_its_right_tokens_work(
    app: Flask, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "API_REFUSED", replace(limits.API_REFUSED, count=3))
    guess = Program(app, "botyard_" + "A" * 43)
    assert [guess.get("/bots").status_code for _ in range(5)] == [401] * 3 + [429] * 2
    assert program.get("/bots").status_code == 200


# --- the log --------------------------------------------------------------------------------------


def test_the_log_holds_no_token(
    app: Flask, shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = give_token(shop.user_id)
    program = Program(app, secret)
    with caplog.at_level(logging.DEBUG):
        program.get("/bots")
        program.post("/bots", {"name": secret, "account": secret})
        program.send("/bots", f'{{"a": "{secret}",'.encode())
        program.get(f"/bots?x={secret}")
        program.get(f"/{secret}")
        Program(app, secret + "x").get("/bots")
        monkeypatch.setattr("app.api.bots.own_inventory", lambda *_: 1 / 0)
        program.get("/bots")
    assert "ZeroDivisionError" in caplog.text
    assert secret[8:] not in caplog.text
