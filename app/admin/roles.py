"""The matrix of roles: tick rights, see whom it concerns, then save with a reason."""

from collections.abc import Mapping

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_babel import gettext
from flask_login import current_user

from app.accounts import roles
from app.accounts.access import proves_again
from app.accounts.models import Role
from app.accounts.permissions import RIGHTS, Permission
from app.accounts.roles import ALWAYS, EDITABLE, Rights
from app.accounts.texts import PERMISSION_LABELS
from app.admin.base import StaffPage
from app.admin.forms import ReasonForm
from app.admin.words import ROLE_LABELS
from app.errors import DomainError
from app.i18n import describe
from app.transactions import transaction


class RolesPage(StaffPage):
    """Who may do what, a right a line and a role a column."""

    permission = Permission.ROLES_MANAGE

    @expose("/", methods=("GET", "POST"))
    @proves_again
    def index(self) -> ResponseReturnValue:
        """Show the matrix; of a sent one show first what it would change."""
        present = roles.matrix()
        if request.method == "GET":
            return self._page(present, present, roles.digest_of(present))
        wanted, seen = _wanted(), request.form.get("seen", "")
        form = ReasonForm()
        try:
            changes = roles.plan_changes(current_user.id, wanted)
        except DomainError as error:
            flash(describe(error), "danger")
            return self._page(present, present, roles.digest_of(present), 403)
        if not changes:
            flash(gettext("Nothing has changed."), "info")
            return redirect(url_for("admin_roles.index"), 303)
        if "confirmed" not in request.form or not form.validate():
            if "confirmed" not in request.form:
                form = ReasonForm(formdata=None)
            return self._question(wanted, seen, changes, form)
        try:
            with transaction():
                roles.change_roles(current_user.id, wanted, seen, form.why)
        except DomainError as error:
            flash(describe(error), "danger")
        else:
            flash(gettext("Saved."), "success")
        return redirect(url_for("admin_roles.index"), 303)

    def _page(
        self,
        present: Mapping[Role, Rights],
        ticked: Mapping[Role, Rights],
        seen: str,
        status: int = 200,
    ) -> ResponseReturnValue:
        html = self.render(
            "admin/roles.html",
            present=present,
            ticked=ticked,
            seen=seen,
            roles=list(Role),
            role_labels=ROLE_LABELS,
            permissions=list(Permission),
            labels=PERMISSION_LABELS,
            editable=EDITABLE,
            always=ALWAYS,
            own=roles.rights_of(current_user.role),
        )
        return html, status

    def _question(
        self,
        wanted: Mapping[Role, Rights],
        seen: str,
        changes: tuple[roles.RoleChange, ...],
        form: ReasonForm,
    ) -> ResponseReturnValue:
        return self.render(  # type: ignore[no-any-return]  # Flask-Admin is untyped
            "admin/roles_confirm.html",
            wanted=wanted,
            seen=seen,
            changes=changes,
            form=form,
            labels=PERMISSION_LABELS,
            role_labels=ROLE_LABELS,
        )


def _wanted() -> dict[Role, Rights]:
    """Read the ticks; what nobody knows is left out."""
    ticked = set(request.form.getlist("right"))
    return {
        role: frozenset(right for right in RIGHTS[Role.ADMIN] if f"{role}:{right}" in ticked)
        for role in EDITABLE
    }
