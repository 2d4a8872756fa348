"""Invitations: make them, see who used them, revoke them."""

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import expose
from flask_babel import gettext
from flask_login import current_user

from app.accounts import invites
from app.accounts.permissions import Permission
from app.admin.base import StaffPage
from app.admin.forms import InviteForm
from app.config import current_config
from app.errors import DomainError
from app.i18n import describe
from app.transactions import transaction


class InvitesPage(StaffPage):
    """All invitations, and the form of a new one."""

    permission = Permission.USERS_BLOCK

    @expose("/")
    def index(self) -> ResponseReturnValue:
        return self._page(InviteForm(formdata=None))

    @expose("/make", methods=("POST",))
    def make(self) -> ResponseReturnValue:
        """Make an invitation and show its code, for this once."""
        form = InviteForm()
        code = ""
        if form.validate_on_submit():
            try:
                with transaction():
                    code = invites.make(
                        current_user.id,
                        form.uses.data or 0,
                        form.days.data or 0,
                        form.note.data or "",
                    )
            except DomainError as error:
                flash(describe(error), "danger")
        return self._page(form, code)

    @expose("/revoke", methods=("POST",))
    def revoke(self) -> ResponseReturnValue:
        """End an invitation; pressing twice does no harm."""
        try:
            with transaction():
                invites.revoke(current_user.id, request.form.get("id", 0, type=int))
        except DomainError as error:
            flash(describe(error), "danger")
        else:
            flash(gettext("The invitation is revoked."), "success")
        return redirect(url_for("admin_invites.index"), 303)

    def _page(self, form: InviteForm, code: str = "") -> ResponseReturnValue:
        page = self.render(
            "admin/invites.html",
            form=form,
            code=code,
            link=f"{current_config().base_url}/register#{code}",
            invites=invites.newest(),
            is_needed=invites.is_needed(),
        )
        return page, 422 if form.errors else 200
