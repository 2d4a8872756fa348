"""Nobody reaches, reads or changes what belongs to somebody else: every route, made from the map.

A new route needs nothing here unless its address holds an id of a new kind: then `OWNED` or
`SHARED` in `tenants.py` must say whose it is.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import event

from app.accounts import session_store
from app.accounts.access import PUBLIC
from app.accounts.models import Role, User
from app.accounts.permissions import Permission, may
from app.db import db
from tests.api.programs import Program, give_token
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user
from tests.long import few, thinned
from tests.security.tenants import (
    MARK,
    OWNED,
    SENT_NAMES,
    SHARED,
    Owner,
    address,
    guard_of,
    has_owned_id,
    make_owner,
    make_owner_of_one_number,
    make_stranger,
    methods,
    rules,
    snapshot,
    source_of,
)

Login = Callable[[User], Client]
NEVER_ENDS = {"pages.events"}
# In development every caught mail of everybody stands there; production has no such page.
SHOWS_ALL = {"pages.mail_catcher"}
# GET routes that write, each with its reason.
MAY_WRITE = {
    "faq.index": "counts what is searched for and not found, without the person",
}
# Views of the desk on which support looks at money, and those that only others may open.
MONEY = {
    Permission.BILLING_VIEW, Permission.LEDGER_VIEW, Permission.PLANS_MANAGE,
    Permission.REVENUE_VIEW,
}  # fmt: skip
MONEY_VIEWS = {"admin_plans", "admin_subscriptions"}
# What the library of the desk would do by itself; the desk has its own verbs.
SWITCHED_OFF = {"action_view", "ajax_update", "create_view", "edit_view", "delete_view"}
# Errors come as a line then, not as a page; that one is looked at elsewhere.
SHORT = {"Accept": "application/json"}
WRITE = re.compile(r"^\s*(insert|update|delete|copy|truncate)\b|\bnextval\(", re.IGNORECASE)


@pytest.fixture
def owner(database: None) -> Owner:
    return make_owner()


@pytest.fixture
def numbered(database: None, as_owner: Callable[[str], None]) -> Owner:
    """Return an owner whose things all have the same number: sent once, it names each of them."""
    return make_owner_of_one_number(as_owner)


def test_every_part_of_an_address_is_known_to_this_test(app: Flask) -> None:
    unknown = {
        (rule.rule, argument)
        for desk in (True, False)
        for rule in rules(app, desk=desk)
        for argument in rule.arguments - OWNED - set(SHARED)
    }
    assert unknown == set(), "say in tests/security/tenants.py whose ids these are"


def test_every_name_under_which_ids_are_sent_is_tried(app: Flask) -> None:
    asked = re.compile(
        r"""(?:args|form|values)\.get(?:list)?\(\s*["'](\w*id|key|code)["']|read_id\(\w+\.\w+\.get\(["'](\w+)["']"""
    )
    sent = {
        name
        for desk in (True, False)
        for rule in rules(app, desk=desk)
        for groups in asked.findall(source_of(app, rule))
        for name in groups
        if name
    }
    assert sent, "the expression finds nothing any more"
    assert sent <= set(SENT_NAMES)


def test_what_belongs_to_somebody_else_does_not_exist(
    app: Flask, owner: Owner, login_as: Login
) -> None:
    stranger = make_stranger()
    client = login_as(stranger)
    before = snapshot(stranger.id)
    tried = 0
    for rule in rules(app, desk=False):
        if not has_owned_id(rule) or rule.rule.startswith("/api/"):
            continue
        for method in methods(rule):
            path = address(rule, owner.ids)
            data = {"csrf_token": client.csrf_token()} if method == "POST" else None
            answer = client.open(path, method=method, data=data, buffered=True)
            assert answer.status_code == 404, (method, path, answer.status_code)
            assert MARK.lower() not in answer.text.lower(), (method, path)
            tried += 1
    assert tried > 25
    assert snapshot(stranger.id) == before


def test_a_program_finds_nothing_of_somebody_else(app: Flask, owner: Owner) -> None:
    stranger = make_stranger()
    program = Program(app, give_token(stranger.id))
    before = snapshot(stranger.id)
    tried = 0
    for rule in rules(app, desk=False):
        if not rule.rule.startswith("/api/v1"):
            continue
        for method in methods(rule):
            path = address(rule, owner.ids).removeprefix("/api/v1")
            body: dict[str, object] | None = None if method in {"GET", "DELETE"} else {}
            answer = program.call(method, path, json=body, headers={"Idempotency-Key": path})
            where = (method, path, answer.status_code, answer.text[:200])
            assert MARK.lower() not in answer.text.lower(), where
            if has_owned_id(rule):
                assert answer.status_code == 404, where
                tried += 1
            else:
                assert answer.status_code < 500, where
    assert tried >= 10
    assert snapshot(stranger.id) == before


def test_no_page_or_file_of_a_stranger_holds_anything_of_the_owner(
    app: Flask, owner: Owner, login_as: Login
) -> None:
    client = login_as(make_stranger())
    visitor = new_client(app)
    for rule in rules(app, desk=False):
        skipped = rule.endpoint in NEVER_ENDS | SHOWS_ALL or has_owned_id(rule)
        if skipped or "GET" not in methods(rule):
            continue
        for one in (client, visitor):
            answer = one.get(address(rule, owner.ids), buffered=True)
            assert answer.status_code < 500, rule.rule
            assert MARK.lower() not in answer.text.lower(), rule.rule


@thinned(8)
def test_ids_sent_in_queries_and_forms_open_and_change_nothing(
    app: Flask, numbered: Owner, login_as: Login, step: int
) -> None:
    """Each address gets every so-manieth number; which one is first goes round."""
    owners_session = login_as(db.session.get_one(User, numbered.user_id))
    stranger = make_stranger()
    client = login_as(stranger)
    token = client.csrf_token()
    before = snapshot(stranger.id)
    sent = sorted({*map(str, numbered.ids.values()), *numbered.session_keys()})
    assert len(sent) <= 4, "they had different numbers"
    endings = {"accounts.logout", "accounts.login", "accounts.register", "credentials.ask_reset"}
    for turn, rule in enumerate(rules(app, desk=False)):
        if has_owned_id(rule) or rule.rule.startswith("/api/") or rule.endpoint in endings:
            continue
        if rule.endpoint in NEVER_ENDS | SHOWS_ALL:
            continue
        for method in methods(rule):
            for value in sent[turn % step :: step]:
                values = dict.fromkeys(SENT_NAMES, value) | {"do": "stop", "how": "keep"}
                form = {"csrf_token": token, **values} if method == "POST" else None
                answer = client.open(
                    address(rule, numbered.ids),
                    method=method,
                    query_string=values,
                    data=form,
                    buffered=True,
                )
                where = (method, rule.rule, value, answer.status_code)
                assert answer.status_code < 500, where
                assert MARK.lower() not in answer.text.lower(), where
    assert snapshot(stranger.id) == before
    assert owners_session.get("/settings").status_code == 200
    assert session_store.list_sessions(numbered.user_id)


@thinned(3)
def test_customers_find_no_desk_under_any_address(
    app: Flask, numbered: Owner, login_as: Login, step: int
) -> None:
    stranger = make_stranger()
    client = login_as(stranger)
    token = client.csrf_token()
    before = snapshot(0)
    tried = 0
    for rule in list(rules(app, desk=True))[::step]:
        for method in methods(rule):
            data = {"csrf_token": token, "reason": "mine"}
            answer = client.open(
                address(rule, numbered.ids),
                method=method,
                query_string={"id": numbered.user_id},
                data=data if method == "POST" else None,
                headers=SHORT,
            )
            assert answer.status_code == 404, (method, rule.rule, answer.status_code)
            tried += 1
    assert tried > 150 // step
    assert snapshot(0) == before


@pytest.mark.parametrize("role", few([Role.SUPPORT, Role.MANAGER], 2))
def test_staff_get_403_from_every_address_of_a_view_they_may_not_open(
    app: Flask, owner: Owner, login_as: Login, role: Role
) -> None:
    views = {view.endpoint: view.permission for view in app.extensions["admin"][0]._views}
    client = login_as(make_user(role))
    before = snapshot(0)
    refused = 0
    for rule in rules(app, desk=True):
        if may(role, views[rule.endpoint.partition(".")[0]]):
            continue
        for method in methods(rule):
            data = {"csrf_token": client.csrf_token()} if method == "POST" else None
            answer = client.open(
                address(rule, owner.ids),
                method=method,
                query_string={"id": owner.ids["bot_id"]},
                data=data,
            )
            assert answer.status_code == 403, (method, rule.rule, answer.status_code)
            refused += 1
    assert refused >= 9
    assert snapshot(0) == before


def test_support_reads_about_money_and_moves_none(
    app: Flask, numbered: Owner, login_as: Login
) -> None:
    """Who may look at a list may not do all that is done there: each verb asks by itself."""
    views = {view.endpoint: view.permission for view in app.extensions["admin"][0]._views}
    client = login_as(make_user(Role.SUPPORT))
    form = {"csrf_token": client.csrf_token(), "reason": "to be kind", "key": "a" * 32}
    query = {"id": numbered.ids["invoice_id"], "user_id": numbered.user_id}
    before = snapshot(0)
    refused = 0
    for rule in rules(app, desk=True):
        view, _, verb = rule.endpoint.partition(".")
        acts = "POST" in methods(rule) and verb not in SWITCHED_OFF
        if not acts or (views[view] not in MONEY and view not in MONEY_VIEWS):
            continue
        for method in methods(rule):
            data = form if method == "POST" else None
            answer = client.open(
                address(rule, numbered.ids), method=method, query_string=query, data=data
            )
            assert answer.status_code == 403, (method, rule.rule, answer.status_code)
            refused += 1
    assert refused > 25
    assert snapshot(0) == before


@thinned(3)
def test_every_form_without_its_token_is_refused(
    app: Flask, owner: Owner, login_as: Login, step: int
) -> None:
    """Each form comes without a token, with somebody else's or a made one, in turn or all."""
    owning = login_as(db.session.get_one(User, owner.user_id))
    staff = login_as(make_user(Role.ADMIN))
    stranger = login_as(make_stranger())
    before = snapshot(0)
    for desk, client in ((False, owning), (True, staff)):
        others = {"csrf_token": stranger.csrf_token()}
        for turn, rule in enumerate(rules(app, desk=desk)):
            if "POST" not in methods(rule) or rule.rule.startswith("/api/"):
                continue
            path = address(rule, owner.ids)
            query = {"id": owner.ids["bot_id"]}
            for data in ({}, others, {"csrf_token": "x"})[turn % step :: step]:
                answer = client.post(path, data=data, query_string=query, headers=SHORT)
                assert answer.status_code == 400, (rule.rule, data, answer.status_code)
    assert snapshot(0) == before


@pytest.mark.long
def test_the_api_takes_no_cookie(app: Flask, owner: Owner, login_as: Login) -> None:
    client = login_as(db.session.get_one(User, owner.user_id))
    for rule in rules(app, desk=False):
        if rule.rule.startswith("/api/v1"):
            for method in methods(rule):
                answer = client.open(address(rule, owner.ids), method=method)
                assert answer.status_code == 401, (method, rule.rule)


@contextmanager
def writes() -> Iterator[list[str]]:
    """Collect every statement that would change a row."""
    seen: list[str] = []

    def look(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if WRITE.search(statement):
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", look)
    try:
        yield seen
    finally:
        event.remove(db.engine, "before_cursor_execute", look)


def test_the_spy_sees_writes(app: Flask, database: None) -> None:
    with writes() as seen:
        make_user()
    assert seen


@thinned(12)
def test_no_address_that_is_only_looked_at_changes_anything(
    app: Flask, numbered: Owner, login_as: Login, step: int
) -> None:
    """Each sixth address is looked at, bare or with a query in turn, or each in both ways."""
    owning = login_as(db.session.get_one(User, numbered.user_id))
    staff = login_as(make_user(Role.ADMIN))
    visitor = new_client(app)
    asked = dict.fromkeys(("id", "bot", "from"), numbered.ids["bot_id"]) | {"q": "x", "search": "x"}
    reached, found = 0, {}
    for desk, client in ((False, owning), (False, visitor), (True, staff)):
        for turn, rule in enumerate(rules(app, desk=desk)):
            if "GET" not in methods(rule) or rule.endpoint in NEVER_ENDS:
                continue
            if rule.rule.startswith("/api/") or rule.endpoint in MAY_WRITE:
                continue
            db.session.commit()
            for query in ({}, asked)[turn % step :: step]:
                with writes() as seen:
                    answer = client.get(
                        address(rule, numbered.ids), query_string=query, buffered=True
                    )
                assert answer.status_code < 500, rule.rule
                reached += answer.status_code == 200
                if seen:
                    found[rule.rule] = seen[0]
    assert found == {}
    assert reached > 120 // step


def test_public_routes_are_the_ones_that_were_meant_to_be(app: Flask) -> None:
    """A slip of a decorator shows here."""
    public = {rule.endpoint for rule in rules(app, desk=False) if guard_of(app, rule) == PUBLIC}
    own = {
        name for name in public if name.split(".")[0] not in {"accounts", "credentials", "factors"}
    }
    assert own == {
        "pages.home", "pages.pricing", "pages.healthz", "pages.legal", "pages.language",
        "pages.theme", "pages.mail_catcher", "metrics.show", "faq.index", "faq.show", "faq.vote",
        "faq.search_on",
        "captcha.challenge", "bots.shared", "bots.shared_card",
        "openid.log_in", "openid.back", "openid.register",
        "passkeys.log_in", "passkeys.options_to_log_in", "passkeys.password",
        "passkeys.second_step", "passkeys.options_for_second_step", "webhooks.receive",
        "demo_rail.pay", "demo_rail.card", "demo_rail.confirm",
    }  # fmt: skip
