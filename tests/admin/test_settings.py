"""The desk's page of settings."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from app.accounts.models import AuditEntry, Role, User
from app.db import db
from app.settings import queries
from app.settings.rules import KEYS_MAY_WITHDRAW, PARTNER_IDS
from app.transactions import transaction
from tests.client import Client
from tests.factories import make_user

pytestmark = pytest.mark.usefixtures("database")

Login = Callable[[User], Client]


def staff(login_as: Login, role: Role) -> Client:
    with transaction():
        user = make_user(role)
    return login_as(user)


def test_manager_changes_a_setting_and_the_audit_tells_who(login_as: Login) -> None:
    manager = staff(login_as, Role.MANAGER)
    assert "Accept keys that may withdraw money" in manager.get("/admin/settings/").text
    form = {"name": "keys_may_withdraw", "value": "1"}
    for _ in range(2):
        assert manager.post_form("/admin/settings/change", form).status_code == 303
    assert queries.is_on(KEYS_MAY_WITHDRAW)
    # Pressing twice changed it once.
    (entry,) = db.session.scalars(
        select(AuditEntry).where(AuditEntry.action == "setting.changed")
    ).all()
    assert (entry.before, entry.after) == ({"value": False}, {"value": True})
    assert entry.actor_id is not None


def test_partner_id_is_set_and_shown_on_the_connect_page(login_as: Login) -> None:
    manager = staff(login_as, Role.MANAGER)
    manager.post_form("/admin/settings/change", {"name": "partner_id_bybit", "value": "OurName"})
    assert queries.text_of(PARTNER_IDS["bybit"]) == "OurName"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"name": "nothing", "value": "1"},
        {"name": "keys_may_withdraw", "value": "maybe"},
        {"name": "partner_id_okx", "value": "<script>alert(1)</script>"},
    ],
)
def test_nonsense_is_refused_in_words(login_as: Login, form: dict[str, str]) -> None:
    manager = staff(login_as, Role.MANAGER)
    assert manager.post_form("/admin/settings/change", form).status_code == 303
    page = manager.get("/admin/settings/").text
    assert "notice" in page or "alert" in page
    assert queries.values() == {one: one.default for one in queries.values()}


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SUPPORT])
def test_others_neither_see_nor_change_settings(login_as: Login, role: Role) -> None:
    person = staff(login_as, role)
    assert person.get("/admin/settings/").status_code in {403, 404}
    form = {"name": "keys_may_withdraw", "value": "1"}
    assert person.post_form("/admin/settings/change", form).status_code in {403, 404}
    assert not queries.is_on(KEYS_MAY_WITHDRAW)
