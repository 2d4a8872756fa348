"""Every route names its permission, and anonymous visitors reach only public ones."""

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from app.accounts.access import GUARD, PUBLIC
from app.accounts.permissions import Permission


def own_rules(app: Flask) -> list[Rule]:
    """Return the routes of our blueprints; Flask-Admin guards its own (tests/admin)."""
    return [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        and app.view_functions[rule.endpoint].__module__.startswith("app.")
        and not app.view_functions[rule.endpoint].__module__.startswith("app.admin")
    ]


def address(rule: Rule) -> str:
    path = rule.rule
    for converter_and_name in [part.split(">")[0] for part in rule.rule.split("<")[1:]]:
        is_int = converter_and_name.startswith("int:")
        path = path.replace(f"<{converter_and_name}>", "1" if is_int else "x")
    return path


def test_every_route_has_a_guard(app: Flask) -> None:
    rules = own_rules(app)
    assert len(rules) > 20
    unguarded = [
        rule.endpoint
        for rule in rules
        if not isinstance(getattr(app.view_functions[rule.endpoint], GUARD, None), Permission)
        and getattr(app.view_functions[rule.endpoint], GUARD, None) != PUBLIC
    ]
    assert unguarded == []


def test_visitors_are_sent_to_the_login_page(app: Flask, client: FlaskClient) -> None:
    for rule in own_rules(app):
        if getattr(app.view_functions[rule.endpoint], GUARD) == PUBLIC:
            continue
        if "GET" not in (rule.methods or ()):
            continue
        answer = client.get(address(rule))
        reached = (rule.endpoint, answer.status_code, answer.headers.get("Location", ""))
        assert answer.status_code in (302, 401), reached
        if answer.status_code == 302:
            assert "/login" in answer.headers["Location"], reached


def test_no_get_route_is_also_a_post_without_csrf(app: Flask, client: FlaskClient) -> None:
    """A POST without a token changes nothing: it is refused before the view runs."""
    app.config["WTF_CSRF_ENABLED"] = True
    for rule in own_rules(app):
        if "POST" in (rule.methods or ()):
            answer = client.post(address(rule))
            reached = (rule.endpoint, answer.status_code)
            assert answer.status_code in (302, 303, 400, 401, 404), reached
            if answer.status_code in (302, 303):
                assert "/login" in answer.headers["Location"], reached
