"""Rights of roles, who has them, and staff who look at a customer's pages."""

import re
import time
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from app.accounts import audit_chain, impersonation, roles, service
from app.accounts.models import AuditEntry, Role, User
from app.accounts.permissions import RIGHTS, Permission
from app.accounts.roles import Rights
from app.db import db
from app.errors import Conflict, DomainError, Forbidden, InvalidInput
from app.transactions import transaction
from tests.at_once import at_once
from tests.bots.shop import Shop
from tests.client import Client
from tests.factories import make_bot, make_user
from tests.long import few, thinned
from tests.security.tenants import OWNED, SHARED, address, methods, rules

pytestmark = pytest.mark.usefixtures("database")

Login = Callable[[User], Client]
WHY = "asked for in writing"


def person(role: Role) -> User:
    with transaction():
        user = make_user(role)
    return user


def change(actor: User, role: Role, rights: Rights) -> None:
    with transaction():
        seen = roles.digest_of(roles.matrix())
        roles.change_roles(actor.id, {role: rights}, seen, WHY)


def last_entry() -> AuditEntry:
    return db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()  # type: ignore[return-value]


def test_roles_begin_as_the_code_says() -> None:
    assert roles.matrix() == dict(RIGHTS)


def test_a_right_given_and_taken_holds_at_once_and_is_kept_in_the_audit(login_as: Login) -> None:
    admin, support = person(Role.ADMIN), person(Role.SUPPORT)
    client = login_as(support)
    assert client.get("/admin/audit/").status_code == 403
    change(admin, Role.SUPPORT, RIGHTS[Role.SUPPORT] | {Permission.AUDIT_VIEW})
    assert client.get("/admin/audit/").status_code == 200
    entry = last_entry()
    assert (entry.action, entry.actor_id, entry.reason) == ("role.changed", admin.id, WHY)
    assert entry.before is not None and entry.after is not None
    assert set(entry.after["rights"]) - set(entry.before["rights"]) == {"staff.audit.view"}
    change(admin, Role.SUPPORT, RIGHTS[Role.SUPPORT] - {Permission.BOTS_VIEW_ALL})
    assert client.get("/admin/audit/").status_code == 403
    assert client.get("/admin/bots/").status_code == 403
    assert login_as(person(Role.MANAGER)).get("/admin/bots/").status_code == 200
    assert audit_chain.check_chain().is_whole


def test_a_right_that_the_code_adds_later_reaches_its_roles() -> None:
    admin = person(Role.ADMIN)
    change(admin, Role.SUPPORT, RIGHTS[Role.SUPPORT] - {Permission.FAQ_MANAGE})
    # Only the difference is stored.
    from app.accounts.models import RoleRight

    stored = db.session.scalars(select(RoleRight)).all()
    assert [(row.role, row.permission, row.granted) for row in stored] == [
        ("support", "staff.faq.manage", False)
    ]


def test_nobody_gives_or_takes_what_they_lack() -> None:
    admin, manager = person(Role.ADMIN), person(Role.MANAGER)
    with pytest.raises(Forbidden, match="not_your_right"):
        change(manager, Role.SUPPORT, RIGHTS[Role.SUPPORT])
    change(admin, Role.MANAGER, RIGHTS[Role.MANAGER] | {Permission.ROLES_MANAGE})
    change(admin, Role.SUPPORT, RIGHTS[Role.SUPPORT] | {Permission.QUEUES_REQUEUE})
    present = roles.matrix()
    for wanted in (
        {Role.SUPPORT: present[Role.SUPPORT] | {Permission.AUDIT_VIEW}},
        {Role.MANAGER: present[Role.MANAGER] | {Permission.AUDIT_VIEW}},
        {Role.SUPPORT: present[Role.SUPPORT] - {Permission.QUEUES_REQUEUE}},
    ):
        with pytest.raises(Forbidden, match="right_not_yours"), transaction():
            roles.change_roles(manager.id, wanted, roles.digest_of(present), WHY)
    # What they have they may give.
    change(manager, Role.SUPPORT, present[Role.SUPPORT] | {Permission.USERS_BLOCK})
    assert roles.may("support", Permission.USERS_BLOCK)


def test_customers_and_administrators_stay_as_they_are() -> None:
    admin = person(Role.ADMIN)
    with transaction():
        wanted: dict[Role, Rights] = {
            Role.CUSTOMER: frozenset(Permission),
            Role.ADMIN: frozenset(),
        }
        assert roles.change_roles(admin.id, wanted, "", WHY) == ()
    change(admin, Role.SUPPORT, frozenset())
    assert roles.matrix()[Role.CUSTOMER] == RIGHTS[Role.CUSTOMER]
    assert roles.matrix()[Role.ADMIN] == frozenset(Permission)
    # A role of staff always opens the desk and the own pages.
    assert roles.rights_of("support") == roles.ALWAYS
    assert roles.rights_of("nobody") == frozenset()


def test_a_matrix_that_somebody_else_has_changed_is_looked_at_again() -> None:
    admin = person(Role.ADMIN)
    old = roles.digest_of(roles.matrix())
    change(admin, Role.SUPPORT, RIGHTS[Role.SUPPORT] | {Permission.AUDIT_VIEW})
    with pytest.raises(Conflict, match="roles_changed_meanwhile"), transaction():
        roles.change_roles(admin.id, {Role.SUPPORT: RIGHTS[Role.SUPPORT]}, old, WHY)


def test_the_page_shows_whom_it_concerns_before_it_saves(login_as: Login) -> None:
    admin, support = person(Role.ADMIN), person(Role.SUPPORT)
    client = login_as(admin)
    html = client.get("/admin/roles/").text
    ticks = re.findall(r'name="right" value="([^"]+)"[^>]*?\bchecked', html, re.DOTALL)
    assert "support:staff.faq.manage" in ticks
    seen = re.search(r'name="seen" value="(\w+)"', html)
    assert seen is not None
    kept = [tick for tick in ticks if tick != "support:staff.faq.manage"]
    form = {"seen": seen[1], "right": [*kept, "support:staff.audit.view"]}
    asked = client.post_form("/admin/roles/", form)
    assert asked.status_code == 200
    assert support.email in asked.text
    assert "Read the audit trail" in asked.text
    assert "Write the help" in asked.text
    assert roles.matrix() == dict(RIGHTS)
    no_reason = client.post_form("/admin/roles/", {**form, "confirmed": "1", "reason": ""})
    assert no_reason.status_code == 200
    assert roles.matrix() == dict(RIGHTS)
    for _ in range(2):
        done = client.post_form("/admin/roles/", {**form, "confirmed": "1", "reason": WHY})
        assert done.status_code == 303
    assert roles.may("support", Permission.AUDIT_VIEW)
    assert not roles.may("support", Permission.FAQ_MANAGE)
    entries = select(AuditEntry).where(AuditEntry.action == "role.changed")
    assert len(db.session.scalars(entries).all()) == 1


@pytest.mark.parametrize("right", ["", "x", "support:staff.money", "admin:cabinet", "🦊" * 99])
def test_nonsense_in_the_matrix_changes_nothing_it_should_not(login_as: Login, right: str) -> None:
    client = login_as(person(Role.ADMIN))
    answer = client.post_form("/admin/roles/", {"seen": "x", "right": [right]})
    assert answer.status_code in (200, 303)
    assert roles.matrix() == dict(RIGHTS)


def test_the_last_administrator_stays(app: Flask) -> None:
    admin = person(Role.ADMIN)
    with pytest.raises(Conflict, match="last_administrator"), transaction():
        roles.give_role(admin.id, admin.id, "support", WHY)
    second = person(Role.ADMIN)
    ids = [admin.id, second.id]

    def step_down(number: int) -> str:
        try:
            with transaction():
                roles.give_role(ids[number], ids[number], "customer", WHY)
        except DomainError as error:
            return error.code
        return "done"

    # Both at once: one of them stays.
    assert sorted(at_once(app, 2, step_down)) == ["done", "last_administrator"]


def test_the_last_administrator_is_not_blocked_away() -> None:
    admin, blocked = person(Role.ADMIN), person(Role.ADMIN)
    with transaction():
        service.block_user(admin.id, blocked.id, WHY)
    # A blocked one does not count.
    with pytest.raises(Conflict, match="last_administrator"), transaction():
        roles.give_role(admin.id, admin.id, "manager", WHY)


def test_a_new_role_signs_the_person_out_and_is_kept_in_the_audit(login_as: Login) -> None:
    admin, user = person(Role.ADMIN), person(Role.CUSTOMER)
    theirs, client = login_as(user), login_as(admin)
    assert theirs.get("/settings").status_code == 200
    form = {"role": "support", "reason": WHY}
    assert client.post_form(f"/admin/users/role?id={user.id}", form).status_code == 302
    assert db.session.get_one(User, user.id).role == "support"
    assert theirs.get("/settings").status_code == 302
    entry = last_entry()
    assert (entry.action, entry.after) == ("accounts.role_given", {"role": "support"})
    manager = login_as(person(Role.MANAGER))
    assert manager.post_form(f"/admin/users/role?id={user.id}", form).status_code == 403


def test_nobody_gives_a_role_above_their_own_or_takes_one() -> None:
    admin, manager, other = person(Role.ADMIN), person(Role.MANAGER), person(Role.CUSTOMER)
    change(admin, Role.MANAGER, RIGHTS[Role.MANAGER] | {Permission.ROLES_MANAGE})
    for target, role in ((other, "admin"), (manager, "admin"), (admin, "customer")):
        with pytest.raises(Forbidden, match="right_not_yours"), transaction():
            roles.give_role(manager.id, target.id, role, WHY)
    with transaction():
        roles.give_role(manager.id, other.id, "support", WHY)
    with pytest.raises(InvalidInput), transaction():
        roles.give_role(admin.id, other.id, "king", WHY)


# --- looking at a customer's pages ----------------------------------------------------------------


def begin(client: Client, user: User, reason: str = WHY) -> int:
    return client.post_form(f"/admin/users/act-as?id={user.id}", {"reason": reason}).status_code


def test_staff_see_a_customers_pages_with_a_banner_and_go_back(login_as: Login) -> None:
    shop, staff = Shop.open(), person(Role.SUPPORT)
    bot, customer = shop.add_bot("Only of this customer"), shop.user
    client = login_as(staff)
    assert client.get(f"/bots/{bot}").status_code == 404
    assert begin(client, customer, reason="") == 200
    assert client.get(f"/bots/{bot}").status_code == 404
    assert begin(client, customer) == 303
    page = client.get(f"/bots/{bot}")
    assert "Only of this customer" in page.text
    assert 'class="acting-bar"' in page.text
    assert staff.email in page.text
    began = last_entry()
    assert (began.action, began.actor_id) == ("accounts.acting_began", staff.id)
    assert (began.object_id, began.reason) == (str(customer.id), WHY)
    assert client.post_form("/acting/end").status_code == 303
    assert client.get(f"/bots/{bot}").status_code == 404
    ended = last_entry()
    assert (ended.action, ended.actor_id, ended.object_id) == (
        "accounts.acting_ended",
        staff.id,
        str(customer.id),
    )
    assert client.get("/admin/users/").status_code == 200


def test_it_ends_by_itself(login_as: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    customer, client = person(Role.CUSTOMER), login_as(person(Role.SUPPORT))
    begin(client, customer)
    assert customer.email in client.get("/dashboard").text
    monkeypatch.setattr(impersonation, "now", lambda: time.time() + 901)
    assert 'class="acting-bar"' not in client.get("/dashboard").text


def test_it_ends_when_the_right_or_the_customer_goes(login_as: Login) -> None:
    admin, customer = person(Role.ADMIN), person(Role.CUSTOMER)
    client = login_as(person(Role.SUPPORT))
    begin(client, customer)
    change(admin, Role.SUPPORT, RIGHTS[Role.SUPPORT] - {Permission.USERS_ACT_AS})
    assert 'class="acting-bar"' not in client.get("/dashboard").text
    assert begin(client, customer) == 403


@pytest.mark.parametrize("role", few([Role.SUPPORT, Role.MANAGER, Role.ADMIN], 3))
def test_staff_are_never_looked_at(login_as: Login, role: Role) -> None:
    client = login_as(person(Role.ADMIN))
    target = person(role)
    assert begin(client, target) == 302
    assert 'class="acting-bar"' not in client.get("/dashboard").text


def test_customers_look_at_nobody(login_as: Login) -> None:
    client = login_as(person(Role.CUSTOMER))
    assert begin(client, person(Role.CUSTOMER)) == 404


@thinned(3)
def test_keys_money_settings_and_every_change_stay_closed(
    app: Flask, login_as: Login, step: int
) -> None:
    customer, client = person(Role.CUSTOMER), login_as(person(Role.ADMIN))
    with transaction():
        bot = make_bot(customer)
        ids: dict[str, object] = dict.fromkeys(OWNED, 1)
        ids |= {"bot_id": bot.id, "account_id": bot.account_id}
    begin(client, customer)
    closed = 0
    for rule in list(rules(app, desk=False))[::step]:
        if rule.rule.startswith("/api/") or rule.endpoint == "pages.events":
            continue
        for method in methods(rule):
            if rule.endpoint in {"acting.end", "accounts.logout"}:
                continue
            if method == "GET" and rule.endpoint in impersonation.OPEN:
                answer = client.get(address(rule, {**SHARED, **ids}), buffered=True)
                assert answer.status_code in (200, 302, 404), (rule.rule, answer.status_code)
                continue
            data = {"csrf_token": client.csrf_token()} if method == "POST" else None
            answer = client.open(
                address(rule, {**SHARED, **ids}), method=method, data=data, buffered=True
            )
            assert answer.status_code == 403, (method, rule.rule, answer.status_code)
            closed += 1
    assert closed > 100 // step
    for prefix in (
        "exchanges.",
        "tokens.",
        "credentials.",
        "factors.",
        "passkeys.",
        "openid.",
        "accounts.",
    ):
        assert not any(
            name.startswith(prefix) and name != "accounts.logout" for name in impersonation.OPEN
        )


def test_the_desk_is_closed_meanwhile(app: Flask, login_as: Login) -> None:
    client = login_as(person(Role.ADMIN))
    begin(client, person(Role.CUSTOMER))
    for path in ("/admin/", "/admin/users/", "/admin/audit/export/csv/"):
        assert client.get(path).status_code == 303
