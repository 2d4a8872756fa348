"""The desk is closed by default, open by role, read-only, and hides every secret."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask_admin.model import BaseModelView
from flask_babel import force_locale
from sqlalchemy import event, select, update

from app.accounts.models import AuditEntry, Role, User
from app.accounts.permissions import Permission, may
from app.admin import names
from app.admin.base import SECRET_COLUMNS, AdminView, Guarded
from app.bots.live.rows import Event, write_events
from app.bots.models import Bot, BotEvent, BotState
from app.db import db, utc_now
from app.payments.models import Payment
from app.payments.texts import ALERT_STATES, PAYMENT_LABELS
from app.subscriptions.rights import give_plan
from app.subscriptions.service import seed_plans
from app.trading.strategy import Severity
from app.transactions import transaction
from app.wallet.texts import STATE_LABELS as POSTING_STATES
from tests.client import Client
from tests.factories import make_account, make_bot, make_market, make_user
from tests.long import few
from tests.payments import world
from tests.payments.world import issue

Login = Callable[[User], Client]
MONEY_VIEWS = ("admin_orders", "admin_fills", "admin_trades", "admin_audit", "admin_accounts")


@pytest.fixture
def user_with_money(database: None, login_as: Login) -> User:
    """Return somebody who paid a plan with their second card."""
    with transaction():
        seed_plans()
    user = make_user()
    client = login_as(user)
    page = world.open_page(client, issue(user.id))
    world.pay(client, page, world.DECLINED)
    world.pay(client, page)
    world.settle(client)
    with transaction():
        give_plan(None, user.id, "pro", None, "a present")
    return user


def desk_views(app: Flask) -> list[Any]:
    return list(app.extensions["admin"][0]._views)


def view_by_endpoint(app: Flask, endpoint: str) -> Any:
    return next(view for view in desk_views(app) if view.endpoint == endpoint)


def pages(app: Flask) -> Iterator[tuple[Permission, str]]:
    for view in desk_views(app):
        yield view.permission, view.url + "/"


def test_every_column_is_called_by_words_and_not_by_its_name_in_the_table(app: Flask) -> None:
    raw = set()
    for view in desk_views(app):
        if isinstance(view, AdminView):
            names_shown = {*view.column_list, *(view.column_details_list or ())}
            names_shown |= set(view.column_searchable_list or ())
            raw |= {
                f"{view.endpoint}.{name}"
                for name in names_shown - {"id"}
                if name not in (view.column_labels or {})
            }
    assert raw == set()


def test_only_what_came_and_is_not_all_back_can_be_given_back(
    user_with_money: User, login_as: Login
) -> None:
    staff = login_as(make_user(Role.MANAGER))
    ids = {payment.state: payment.id for payment in world.payments()}
    assert set(ids) == {"failed", "succeeded"}
    offered = re.findall(r"/refund\?id=(\d+)", staff.get("/admin/payments/").text)
    assert offered == [str(ids["succeeded"])]
    with transaction():
        db.session.execute(update(Payment).values(refunded=Payment.amount))
    assert "/refund?" not in staff.get("/admin/payments/").text


def test_every_view_is_guarded_by_a_permission(app: Flask) -> None:
    views = desk_views(app)
    assert len(views) > 15
    for view in views:
        assert isinstance(view, Guarded), view
        assert isinstance(view.permission, Permission), view


def test_visitors_are_asked_to_log_in(app: Flask, client: Client) -> None:
    for _permission, url in pages(app):
        answer = client.get(url)
        assert answer.status_code == 302, url
        assert "/login" in answer.headers["Location"], url


def test_customers_do_not_learn_that_there_is_a_desk(app: Flask, login_as: Login) -> None:
    client = login_as(make_user())
    for _permission, url in pages(app):
        assert client.get(url).status_code == 404, url


@pytest.mark.parametrize("role", few([Role.SUPPORT, Role.MANAGER, Role.ADMIN], 3))
def test_staff_see_what_their_role_allows(app: Flask, login_as: Login, role: Role) -> None:
    client = login_as(make_user(role))
    for permission, url in pages(app):
        expected = 200 if may(role, permission) else 403
        assert client.get(url).status_code == expected, url


@pytest.mark.long
def test_pages_carry_no_inline_code(app: Flask, login_as: Login) -> None:
    make_bot(make_user())
    client = login_as(make_user(Role.ADMIN))
    for _permission, url in pages(app):
        html = client.get(url).get_data(as_text=True)
        assert not re.search(r"\son[a-z]+\s*=\s*[\"']", html), url
        assert not re.search(r"\sstyle\s*=", html), url
        assert "javascript:" not in html, url
        assert not re.search(r"<script(?![^>]*\bsrc=)", html), url


def test_no_view_lists_a_secret(app: Flask) -> None:
    for view in desk_views(app):
        if isinstance(view, AdminView):
            assert view.column_list, view
            shown = {*view.column_list, *(view.column_details_list or ())}
            assert not shown & SECRET_COLUMNS, view


@pytest.mark.parametrize("endpoint", MONEY_VIEWS)
def test_rows_of_record_are_never_edited(app: Flask, login_as: Login, endpoint: str) -> None:
    view = view_by_endpoint(app, endpoint)
    assert not (view.can_create or view.can_edit or view.can_delete)
    client = login_as(make_user(Role.ADMIN))
    for action in ("new", "edit", "delete"):
        answer = client.post_form(f"{view.url}/{action}/", {"id": 1})
        assert answer.status_code in (302, 404, 405), action
        assert answer.status_code != 302 or answer.headers["Location"].rstrip("/").endswith(
            view.url
        )


@pytest.mark.long
@pytest.mark.parametrize("hostile", ["%_\\' OR 1=1--", "%00", "🦊" * 50, "a" * 5000, "1e999", "-1"])
def test_hostile_searches_and_filters_do_no_harm(app: Flask, login_as: Login, hostile: str) -> None:
    client = login_as(make_user(Role.ADMIN))
    for view in desk_views(app):
        if not isinstance(view, BaseModelView):
            continue
        filters = list(view._filter_args or {})[:4]
        # Each name is read by itself, so that one of them failing fails the whole page.
        for query in (
            {"search": hostile, **{f"flt{n}_{key}": hostile for n, key in enumerate(filters)}},
            {"sort": hostile, "page": hostile, "page_size": hostile},
        ):
            answer = client.get(f"{view.url}/", query_string=query)
            assert answer.status_code < 500, (view.url, query)
        assert client.get(f"{view.url}/details/", query_string={"id": hostile}).status_code < 500


def test_staff_stop_a_bot_with_a_reason(app: Flask, login_as: Login) -> None:
    bot = make_bot(make_user(), state=BotState.ACTIVE.value, epoch=1)
    staff = make_user(Role.SUPPORT)
    client = login_as(staff)
    page = client.get(f"/admin/bots/stop?id={bot.id}")
    assert page.status_code == 200
    owner = db.session.get_one(User, bot.user_id)
    assert f'details/?id={owner.id}">{owner.email}</a>' in page.text
    empty = client.post_form(f"/admin/bots/stop?id={bot.id}", {"how": "keep", "reason": ""})
    assert empty.status_code == 422
    assert db.session.get_one(Bot, bot.id).state == BotState.ACTIVE.value
    done = client.post_form(
        f"/admin/bots/stop?id={bot.id}", {"how": "keep", "reason": "asked by its owner"}
    )
    assert done.status_code == 302
    stopped = db.session.get_one(Bot, bot.id)
    assert stopped.state == BotState.STOPPING.value
    entry = db.session.scalar(select(AuditEntry).where(AuditEntry.actor_id == staff.id))
    assert entry is not None
    assert entry.reason == "asked by its owner"


def test_a_stop_without_csrf_token_changes_nothing(app: Flask, login_as: Login) -> None:
    bot = make_bot(make_user(), state=BotState.ACTIVE.value, epoch=1)
    client = login_as(make_user(Role.SUPPORT))
    answer = client.post(
        f"/admin/bots/stop?id={bot.id}", data={"how": "keep", "reason": "no token"}
    )
    assert answer.status_code == 400
    assert db.session.get_one(Bot, bot.id).state == BotState.ACTIVE.value


def test_managers_block_a_customer_and_support_may_not(app: Flask, login_as: Login) -> None:
    customer = make_user()
    address = f"/admin/users/block?id={customer.id}"
    support = login_as(make_user(Role.SUPPORT))
    block = {"reason": "spam, three reports", "wanted": "block"}
    unblock = {"reason": "it was a mistake", "wanted": "unblock"}
    assert support.post_form(address, block).status_code == 403
    manager = login_as(make_user(Role.MANAGER))
    assert manager.post_form(address, block).status_code == 302
    assert db.session.get_one(User, customer.id).blocked_at is not None
    assert manager.post_form(address, unblock).status_code == 302
    assert db.session.get_one(User, customer.id).blocked_at is None


def test_a_block_form_that_arrives_twice_does_not_unblock(app: Flask, login_as: Login) -> None:
    customer = make_user()
    address = f"/admin/users/block?id={customer.id}"
    manager = login_as(make_user(Role.MANAGER))
    offered = re.search(r'name="wanted"[^>]*value="([a-z]+)"', manager.get(address).text)
    assert offered is not None
    form = {"reason": "spam, three reports", "wanted": offered[1]}
    for _ in range(2):
        assert manager.post_form(address, form).status_code == 302
    assert db.session.get_one(User, customer.id).blocked_at is not None


@pytest.mark.parametrize("wanted", ["", "both", None])
def test_a_block_form_without_its_wish_does_nothing(
    app: Flask, login_as: Login, wanted: str | None
) -> None:
    customer = make_user()
    form = {"reason": "spam, three reports"} | ({} if wanted is None else {"wanted": wanted})
    manager = login_as(make_user(Role.MANAGER))
    manager.post_form(f"/admin/users/block?id={customer.id}", form)
    assert db.session.get_one(User, customer.id).blocked_at is None


def test_support_sees_no_prices_of_the_desk_and_changes_none(login_as: Login) -> None:
    support = login_as(make_user(Role.SUPPORT))
    assert support.get("/admin/users/").status_code == 200
    for path in ("/admin/prices/", "/admin/plans/price?code=pro"):
        assert support.get(path).status_code == 403, path
    assert login_as(make_user(Role.MANAGER)).get("/admin/prices/").status_code == 200


def test_managers_add_a_future_price(app: Flask, login_as: Login) -> None:
    from app.subscriptions.models import PlanPrice
    from app.subscriptions.service import seed_plans
    from app.transactions import transaction

    with transaction():
        seed_plans()
    manager = login_as(make_user(Role.MANAGER))
    answer = manager.post_form(
        "/admin/plans/price?code=pro",
        {
            "amount": "84",
            "count": "3",
            "unit": "month",
            "seats": "",
            "valid_from": "2099-01-01T00:00",
        },  # fmt: skip
    )
    assert answer.status_code == 302
    amount = db.session.scalar(
        select(PlanPrice.amount).where(PlanPrice.plan_code == "pro", PlanPrice.period == "3-month")
    )
    assert amount == Decimal(84)
    answer = manager.post_form(
        "/admin/plans/price?code=pro",
        {"amount": "499", "count": "7", "unit": "lifetime", "seats": "100", "valid_from": ""},
    )
    assert answer.status_code == 302
    for_life = select(PlanPrice.seats).where(PlanPrice.period == "lifetime")
    assert db.session.scalar(for_life) == 100
    # Too long a number to be compared with a limit is an answer, not a fault.
    answer = manager.post_form(
        "/admin/plans/price?code=pro", {"amount": "84", "count": "9" * 400, "unit": "month"}
    )
    assert answer.status_code != 302 and "too large" in answer.get_data(as_text=True)


def test_prices_are_typed_as_people_write_them(login_as: Login) -> None:
    with transaction():
        seed_plans()
    manager = make_user(Role.MANAGER)
    manager.profile.language = "ru"
    db.session.commit()
    client = login_as(manager)
    path = "/admin/plans/price?code=pro"
    form = {"count": "3", "unit": "month", "amount": "1 234,56"}
    assert client.post_form(path, form).status_code == 302
    for wrong in ("1e5", "NaN", "٥٠", "пять"):
        page = client.post_form(path, {**form, "unit": "week", "amount": wrong}).text
        assert page.count("Это не число.") == 2 and "от 0 до" not in page, wrong
    page = client.get("/admin/prices/").text
    assert "1\u00a0234,56\u00a0USD" in page and "3 месяца" in page and "3-month" not in page


def test_lists_about_money_speak_words(user_with_money: User, login_as: Login) -> None:
    client = login_as(make_user(Role.MANAGER))
    lists = {
        "prices": ("29.00\u00a0USD", "By the month", ">Premium<"),
        "subscriptions": (">Pro<", ">Active<"),
        "callbacks": (">Applied<",),
        "payments": ("The bank declined the card.",),
        "ledger/entries": ("−29.00\u00a0USD", ">revenue:subscription</a>"),
        "ledger/accounts": ('<td class="col-guard num" data-label="Never below zero">no</td>',),
    }
    for name, words in lists.items():
        page = re.sub(
            r">\s+|\s+<", lambda found: found[0].strip(), client.get(f"/admin/{name}/").text
        )
        for word in words:
            assert word in page, (name, word)


def test_nobody_is_shown_a_button_that_would_be_refused(
    user_with_money: User, login_as: Login
) -> None:
    buttons = {
        "payments": "refund?id", "callbacks": "replay?id", "plans": "price?code",
        "users": "issue?user", "invoices": "/admin/invoices/issue",
    }  # fmt: skip
    manager, support = login_as(make_user(Role.MANAGER)), login_as(make_user(Role.SUPPORT))
    for name, button in buttons.items():
        assert button in manager.get(f"/admin/{name}/").text, name
        assert button not in support.get(f"/admin/{name}/").text, name


def test_numbers_stand_right_and_states_are_written_as_in_the_cabinet(login_as: Login) -> None:
    make_bot(make_user(), capital=Decimal("1234.5"))
    html = login_as(make_user(Role.ADMIN)).get("/admin/bots/").get_data(as_text=True)
    assert re.search(r'<th[^>]*col-capital num"', html)
    assert re.search(r'<td class="col-capital num"[^>]*>1,234\.5<', html)
    assert re.search(r'<td class="col-user_id"', html)
    assert 'class="badge badge-paper"' in html
    assert 'class="state state-stopped"' in html


def test_staff_find_a_person_and_see_what_belongs_to_them(login_as: Login) -> None:
    support, person = make_user(Role.SUPPORT), make_user()
    account = make_account(person)
    account.label, account.last_four = "Their paper", "wxyz"
    bot = make_bot(person, account, name="Their grid")
    with transaction():
        seed_plans()
        give_plan(None, person.id, "pro", utc_now() + timedelta(days=30), "a gift")
    invoice_id = issue(person.id)
    login_as(person)
    desk = login_as(support)
    found = desk.get(f"/admin/users/?search={person.email}").text
    assert f"/admin/users/details/?id={person.id}" in found
    page = desk.get(f"/admin/users/details/?id={person.id}").text
    for part in (person.email, "Pro", "Their grid", "Their paper", "wxyz", "Devices (1)"):
        assert part in page, part
    assert f"/admin/bots/details/?id={bot.id}" in page
    # Only what this role may do is offered.
    assert "/admin/users/act-as" in page
    assert "/admin/users/delete-person" not in page
    assert re.search(rf"/admin/invoices/page\?id={invoice_id}|id={invoice_id}", page)
    assert "Open" in page
    assert desk.get("/admin/users/details/?id=999999").status_code in (302, 404)


def test_lists_show_people_and_bots_by_name_and_lead_to_them(app: Flask, login_as: Login) -> None:
    owner = make_user()
    bot = make_bot(owner, name="<Quokka> grid")
    client = login_as(make_user(Role.ADMIN))
    page = client.get("/admin/bots/").text
    assert f'<a href="/admin/users/details/?id={owner.id}">{owner.email}</a>' in page
    write_events([Event(bot.id, "stop_requested", {}, Severity.INFO)], utc_now(), "tick-1")
    db.session.commit()
    line = db.session.scalars(select(BotEvent)).one()
    for address in ("/admin/bot-log/", f"/admin/bot-log/details/?id={line.id}"):
        link = f'<a href="/admin/bots/details/?id={bot.id}">&lt;Quokka&gt; grid</a>'
        assert link in client.get(address).text, address


def test_names_of_a_list_cost_one_statement_a_kind(app: Flask, login_as: Login) -> None:
    market = make_market()
    for number in range(5):
        make_bot(make_user(), market=market, name=f"Bot {number}")
    client = login_as(make_user(Role.ADMIN))
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        client.get("/admin/bots/")
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert sum("users.email" in one and "users.id IN" in one for one in statements) == 1


def test_who_may_not_see_people_sees_their_numbers(
    app: Flask, login_as: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_user()
    make_bot(owner)
    client = login_as(make_user(Role.ADMIN))
    monkeypatch.setattr(names, "current_may", lambda asked: asked is not Permission.USERS_VIEW)
    page = client.get("/admin/bots/").text
    assert owner.email not in page
    assert f"{owner.id}" in page


def test_words_of_the_desk_fit_what_they_are_said_of(app: Flask) -> None:
    with app.test_request_context(), force_locale("ru"):
        assert (str(ALERT_STATES["settled"]), str(POSTING_STATES["settled"])) == (
            "Решено",
            "Проведено",
        )
    with app.test_request_context(), force_locale("pt_BR"):
        assert str(PAYMENT_LABELS["succeeded"]) == "Concluído"
