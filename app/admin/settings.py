"""The desk's page of runtime settings: what holds now, changed by managers, kept in the audit."""

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_babel import gettext
from flask_login import current_user

from app.accounts import audit
from app.accounts.permissions import Permission
from app.admin.base import StaffPage
from app.errors import DomainError
from app.i18n import describe
from app.settings import queries, rules, service
from app.settings.texts import CHOICES, HELPS, NAMES
from app.transactions import transaction


class SettingsPage(StaffPage):
    """Every setting with its help and present value."""

    permission = Permission.EXCHANGES_MANAGE

    @expose("/")
    def index(self) -> ResponseReturnValue:
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/settings.html",
            values=queries.values(),
            names=NAMES,
            helps=HELPS,
            choices=CHOICES,
        )

    @expose("/change", methods=("POST",))
    def change(self) -> ResponseReturnValue:
        """Set one setting as the button or the field said: pressing twice does no harm."""
        name = request.form.get("name", "")
        text = request.form.get("value", "")
        try:
            is_switch = isinstance(rules.setting_named(name).default, bool)
            value = {"1": True, "0": False}.get(text) if is_switch else text
            with transaction():
                before, after = service.change(name, value)
                if before != after:
                    audit.record(
                        "setting.changed",
                        "setting",
                        name,
                        actor_id=current_user.id,
                        before={"value": before},
                        after={"value": after},
                    )
        except DomainError as error:
            flash(describe(error), "danger")
        else:
            flash(gettext("Saved."), "success")
        return redirect(url_for("admin_settings.index"), 303)
