"""Lines of OWASP ASVS 5.0 about inputs, headers, addresses, hashes and logs, one test a line.

`docs/security.md` lists every line with its test. What people sign in with is in `test_asvs.py`.
"""

import ast
import csv
import io
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from argon2 import extract_parameters
from flask import Flask
from redis import Redis
from sqlalchemy import select, text

from app.accounts import passwords
from app.accounts.models import AccessToken, Role, User
from app.bots import sharing
from app.bots.models import Bot
from app.config import current_config, load_config, use_config
from app.db import db
from app.errors import ConfigError
from app.logs import mask_secrets
from app.transactions import transaction
from tests.api.programs import Program, give_token
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user
from tests.long import few, thinned
from tests.security.tenants import Owner, address, make_owner, methods, rules

ROOT = Path(__file__).resolve().parents[2]
Login = Callable[[User], Client]
NEVER_ENDS = "pages.events"
INLINE = re.compile(
    r"<[^>]+\son[a-z]+\s*=|<[^>]+\sstyle\s*=|<script(?![^>]*\ssrc=)[^>]*>|<style|javascript:",
    re.IGNORECASE,
)
SQL_RUNNERS = re.compile(r"\b(?:text|execute|scalars?|executemany)\b")


@pytest.fixture
def owner(database: None) -> Owner:
    return make_owner()


@pytest.fixture
def walk(app: Flask, owner: Owner, login_as: Login) -> list[tuple[str, Client]]:
    """Return every address that can be looked at, with who looks: visitor, customer, staff."""
    visitor, customer = new_client(app), login_as(db.session.get_one(User, owner.user_id))
    staff = login_as(make_user(Role.ADMIN))
    db.session.commit()
    found = []
    for desk, client in ((False, visitor), (False, customer), (True, staff)):
        for rule in rules(app, desk=desk):
            if "GET" in methods(rule) and rule.endpoint != NEVER_ENDS:
                found.append((address(rule, owner.ids), client))
    return found


@thinned(24)
def test_v1_2_4_no_search_sort_or_filter_reaches_the_sql(
    app: Flask, login_as: Login, step: int
) -> None:
    """Each address, or each sixth, gets every so-manieth text; the first goes round."""
    customer, staff = login_as(make_user()), login_as(make_user(Role.ADMIN))
    hostile = ("' OR 1=1--", "1; drop table users--", "\\", "%' union select 1--")
    names = ("q", "search", "sort", "dir", "state", "mode", "symbol", "page", "bot", "from", "to")
    for client, desk in ((customer, False), (staff, True)):
        for turn, rule in enumerate(rules(app, desk=desk)):
            if "GET" not in methods(rule) or rule.arguments or rule.endpoint == NEVER_ENDS:
                continue
            for value in hostile[turn % step :: step]:
                answer = client.get(
                    rule.rule, query_string=dict.fromkeys(names, value), buffered=True
                )
                assert answer.status_code < 500, (rule.rule, value)
    assert db.session.scalar(text("select count(*) from users")) == 2


def test_v1_2_4_no_statement_is_put_together_from_what_people_send() -> None:
    """What a function runs is written whole; modules may put theirs together from constants."""
    found = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        source = path.read_text()
        if not SQL_RUNNERS.search(source):
            continue
        functions = [
            node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)
        ]
        for node in (inner for function in functions for inner in ast.walk(function)):
            if isinstance(node, ast.Call) and _runs_sql(node.func) and node.args:
                first = node.args[0]
                built = isinstance(first, ast.BinOp) or any(
                    not _is_constant(part.value)
                    for part in ast.walk(first)
                    if isinstance(part, ast.FormattedValue)
                )
                if built:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def _runs_sql(function: ast.expr) -> bool:
    name = getattr(function, "id", None) or getattr(function, "attr", "")
    return SQL_RUNNERS.fullmatch(str(name)) is not None


def _is_constant(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id.isupper()


def test_v1_2_10_no_file_holds_a_formula(owner: Owner, login_as: Login) -> None:
    bot = owner.ids["bot_id"]
    with transaction():
        db.session.get_one(Bot, bot).name = '=HYPERLINK("http://evil.example")'
    client = login_as(db.session.get_one(User, owner.user_id))
    rows = list(csv.reader(io.StringIO(client.get("/trades.csv").text)))
    assert any('\'=HYPERLINK("http://evil.example")' in row for row in rows)
    assert not any(re.match(r"[=@+]", cell) for row in rows for cell in row)


@thinned(6)
def test_v3_4_1_v3_4_3_v3_4_4_v3_4_6_every_answer_of_every_route_carries_its_headers(
    walk: list[tuple[str, Client]], step: int
) -> None:
    """Nor does any page hold inline code."""
    assert len(walk) > 150
    pages = 0
    for path, client in walk[::step]:
        answer = client.get(path, buffered=True)
        headers = answer.headers
        seconds = re.findall(r"max-age=(\d+)", headers["Strict-Transport-Security"])
        assert int(seconds[0]) >= 31_536_000, path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        policy = headers["Content-Security-Policy"]
        for rule in ("'nonce-", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert rule in policy, (path, rule)
        assert "unsafe" not in policy, path
        if answer.mimetype == "text/html":
            assert INLINE.findall(answer.text) == [], path
            pages += 1
    assert pages > 80 // step


def test_v3_7_2_the_way_back_leads_nowhere_else(client: Client) -> None:
    for evil in (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
    ):
        for path in ("/language", "/theme"):
            answer = client.post_form(path, {"next": evil, "language": "en", "theme": "dark"})
            place = answer.headers.get("Location", "/")
            assert place.startswith("/") and not place.startswith(("//", "/\\")), (
                path,
                evil,
                place,
            )


def test_v3_4_5_a_page_under_a_secret_link_sends_no_referrer(owner: Owner, client: Client) -> None:
    bot_id = int(str(owner.ids["bot_id"]))
    with transaction():
        sharing.share(owner.user_id, bot_id, with_money=False)
    link = sharing.share_of(bot_id)
    assert link is not None
    for path, status in ((f"/shared/{link.token}", 303), ("/shared", 200)):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(("proxies", "seen"), few([(0, "127.0.0.1"), (1, "198.51.100.7")], 2))
def test_v4_1_3_an_address_that_a_client_claims_is_not_believed(
    environment: dict[str, str], app: Flask, owner: Owner, proxies: int, seen: str
) -> None:
    from app import create_app
    from app.accounts import audit

    before = current_config()
    told: list[str | None] = []
    try:
        other = create_app(load_config({**environment, "TRUSTED_PROXIES": str(proxies)}))
        other.before_request(lambda: told.append(audit.client_address.get()))
        # The client claims the first; what the proxy adds stands last.
        other.test_client().get(
            "/healthz", headers={"X-Forwarded-For": "203.0.113.66, 198.51.100.7"}
        )
        with other.app_context():
            db.engine.dispose()
    finally:
        use_config(before)
    assert told == [seen]


def test_v8_2_2_objects_of_others_do_not_exist() -> None:
    # Made from the map of routes.
    from tests.security import test_tenants

    assert callable(test_tenants.test_what_belongs_to_somebody_else_does_not_exist)
    assert callable(test_tenants.test_a_program_finds_nothing_of_somebody_else)


def test_v10_3_1_a_token_for_another_door_is_refused(app: Flask, database: None) -> None:
    with transaction():
        user = make_user()
    token = give_token(user.id, audience="mcp")
    assert Program(app, token).get("/bots").status_code == 401
    assert Program(app, give_token(user.id)).get("/bots").status_code == 200


@pytest.mark.usefixtures("real_hashes")
def test_v11_4_2_stored_hashes_are_strong_enough(database: None) -> None:
    parameters = extract_parameters(passwords.hash_password("four lamps under water"))
    assert parameters.type.name == "ID"
    assert parameters.memory_cost >= 12 * 1024
    assert parameters.time_cost >= 3
    assert parameters.memory_cost * parameters.time_cost >= 2 * 46 * 1024


def test_v13_3_1_production_has_no_secret_of_its_own(environment: dict[str, str]) -> None:
    strict = {**environment, "BOTYARD_ENV": "production", "BASE_URL": "https://x.example"}
    assert load_config(strict).is_production
    for name in ("BOTYARD_MASTER_KEYS", "SECRET_KEY", "DATABASE_URL", "REDIS_URL"):
        with pytest.raises(ConfigError):
            load_config({key: value for key, value in strict.items() if key != name})


def test_v14_2_1_no_template_writes_a_secret_into_an_address() -> None:
    # The link of a shared result is made to be passed on, shows no secret and can be withdrawn.
    meant = 'url_for("bots.shared", token='
    wrong = re.compile(r"url_for\([^)]*\b(token|secret|password|key|code)\s*=", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in sorted((ROOT / "app" / "templates").rglob("*.html"))
        for match in wrong.finditer(path.read_text())
        if match[0] != meant
    ]
    assert found == []


def planted() -> Iterator[str]:
    while True:
        yield f"planted{secrets.token_hex(12)}"


@thinned(6)
def test_v16_2_5_secrets_planted_in_every_input_appear_nowhere(
    app: Flask,
    owner: Owner,
    login_as: Login,
    redis_db: Redis,
    caplog: pytest.LogCaptureFixture,
    step: int,
) -> None:
    """Every form and API path, or each sixth, is sent secrets under every secret's name."""
    names = (
        "password", "old_password", "new_password", "current_password", "repeat", "code", "key",
        "secret", "passphrase", "token", "api_key",
    )  # fmt: skip
    sent: list[str] = []
    values = planted()
    customer = login_as(db.session.get_one(User, owner.user_id))
    staff, program = login_as(make_user(Role.ADMIN)), Program(app, owner.token)
    pages = []
    with caplog.at_level(logging.DEBUG):
        for desk, client in ((False, customer), (True, staff)):
            for rule in list(rules(app, desk=desk))[::step]:
                # Which ends the session of whoever sends.
                ends = rule.endpoint in {"accounts.logout", "accounts.login", "accounts.register"}
                if "POST" not in methods(rule) or ends or rule.rule.startswith("/api/"):
                    continue
                form = {name: next(values) for name in names}
                sent += form.values()
                rest = {"label": "x", "name": "x", "reason": "because", "email": "a@b.example"}
                answer = client.post_form(address(rule, owner.ids), {**rest, **form}, buffered=True)
                pages.append((rule.rule, form, answer.text + str(answer.headers)))
        for rule in rules(app, desk=False):
            if rule.rule.startswith("/api/v1") and "POST" in methods(rule):
                body = {name: next(values) for name in names}
                sent += body.values()
                path = address(rule, owner.ids).removeprefix("/api/v1")
                answer = program.post(path, json=body, headers={"Idempotency-Key": path})
                pages.append((rule.rule, body, answer.text + str(answer.headers)))
    assert len(pages) > 90 // step
    lines = "\n".join(mask_secrets(record.getMessage()) for record in caplog.records)
    stored = "\n".join(
        row
        for table in ("audit_log", "bot_events", "outbox", "exchange_accounts", "users", "profiles")
        for row in db.session.scalars(text(f"select row_to_json(t)::text from {table} t"))  # noqa: S608 - our own names
    )
    jobs = json.dumps([_dump(redis_db, key) for key in redis_db.scan_iter("rq:*")])
    for secret in sent:
        assert secret not in lines
        assert secret not in stored
        assert secret not in jobs
    for path, form, answered in pages:
        shown = {name for name, value in form.items() if value in answered}
        # What was typed into a field that is no secret there stands in that field again.
        assert shown <= {"code", "key"}, (path, shown)


def _dump(redis: Redis, key: bytes) -> str:
    kind = redis.type(key)
    if kind == b"hash":
        return str(redis.hgetall(key))
    return str(redis.get(key)) if kind == b"string" else ""


# --- one more entrance ----------------------------------------------------------------------------


@pytest.fixture
def production(app: Flask) -> Iterator[None]:
    before = current_config()
    use_config(
        replace(
            before,
            environment="production",
            base_url="https://bots.example",
            trusted_proxies=1,
            admin_host="desk.example",
        )
    )
    yield
    use_config(before)


def test_pages_over_http_are_led_to_https(client: Client, production: None) -> None:
    answer = client.get("/pricing?x=1", base_url="http://bots.example")
    assert (answer.status_code, answer.location) == (308, "https://bots.example/pricing?x=1")
    assert client.post("/login", base_url="http://bots.example").status_code == 400
    assert client.get("/healthz", base_url="http://127.0.0.1:8000").status_code == 200
    assert client.get("/api/v1/bots", base_url="http://bots.example").status_code == 400
    assert client.get("/pricing", base_url="https://bots.example").status_code == 200


def test_the_desk_is_at_its_own_host_only(client: Client, production: None) -> None:
    for path in ("/admin", "/admin/", "/admin/users/", "/admin/export", "/admin/static/x"):
        assert client.get(path, base_url="https://bots.example").status_code == 404, path
    asked = client.get("/admin/", base_url="https://desk.example")
    assert asked.status_code == 302
    assert "/login" in asked.headers["Location"]
    assert client.get("/admin/", base_url="https://DESK.example:443").status_code == 302


# --- what is not built yet ------------------------------------------------------------------------

# Lines whose subject does not exist; with the package it gets its test, and leaves this list.
NOT_BUILT = {
    "1.3.1": ("shops", "courses"),
    "1.3.6": ("relay", "pager", "webhooks"),
    "2.3.4": ("shops", "promotions"),
    "8.4.1": ("mcp",),
}


@pytest.mark.parametrize("line", sorted(NOT_BUILT))
def test_a_line_whose_subject_is_not_built_waits_for_it(line: str) -> None:
    for package in NOT_BUILT[line]:
        built = (ROOT / "app" / package).exists() or (ROOT / "app" / f"{package}.py").exists()
        assert not built, f"app/{package} exists now: ASVS {line} needs its test"


def test_the_page_about_security_names_a_test_for_every_line() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    rows = re.findall(r"^\| ([\d., ]+) \|", page, re.MULTILINE)
    named = {line.strip() for row in rows for line in row.split(",")}
    assert named >= set(_LINES.split())
    for line, packages in NOT_BUILT.items():
        assert re.search(rf"^\| {re.escape(line)} \|.*subject not built", page, re.MULTILINE), (
            line,
            packages,
        )


# The forty lines of our plan.
_LINES = """
    1.2.4 1.2.10 1.3.1 1.3.6 2.2.2 2.3.1 2.3.3 2.3.4 2.4.1 3.3.1 3.3.2 3.3.4 3.4.1 3.4.3 3.4.4
    3.4.5 3.4.6 3.5.1 3.5.3 3.7.2 4.1.3 6.2.1 6.2.4 6.3.1 6.3.3 6.3.8 6.4.3 6.5.1 6.5.5 6.6.3
    7.2.4 7.3.2 7.4.1 7.5.1 8.2.2 8.4.1 10.3.1 11.4.2 14.2.1 16.2.5
"""


@pytest.mark.long
def test_tokens_are_stored_as_hashes_only(owner: Owner) -> None:
    (row,) = db.session.scalars(select(AccessToken)).all()
    assert owner.token not in f"{row.token_hash} {row.label} {row.last_four}"
