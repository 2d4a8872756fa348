"""Users: find, look, block and unblock with a reason; and the state of mails (never their text)."""

from collections.abc import Iterable
from typing import Any

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from app.accounts import impersonation, queries, roles, service
from app.accounts.access import current_may, proves_again
from app.accounts.deletion import service as deletion
from app.accounts.models import User
from app.accounts.permissions import Permission
from app.admin.acting import Acting
from app.admin.base import Act, AdminView
from app.admin.dossier import dossier_of
from app.admin.forms import BlockForm, DeletePersonForm, ReasonForm, RoleForm
from app.admin.histories import STATE_LABELS as SUBSCRIPTION_STATES
from app.admin.names import doer
from app.admin.words import ROLE_LABELS, label
from app.db import db
from app.errors import DomainError
from app.i18n import describe
from app.notifications.models import OutboxMessage
from app.payments.links import provider_page
from app.payments.texts import STATE_LABELS
from app.transactions import transaction


class UserView(AdminView):
    """People with their role; staff may block and unblock customers."""

    permission = Permission.USERS_VIEW
    column_list = (
        "id",
        "email",
        "role",
        "profile.name",
        "profile.language",
        "confirmed_at",
        "blocked_at",
        "leaves_at",
        "last_login_at",
        "created_at",
    )
    column_formatters = {"role": label(ROLE_LABELS)}
    column_details_list = (*column_list, "blocked_reason", "profile.timezone", "erased_at")
    details_template = "admin/person.html"
    column_searchable_list = ("email", "profile.name")
    column_extra_row_actions = [
        Act("lock", ".block", _l("Block or unblock"), Permission.USERS_BLOCK),
        Act("user", ".role", _l("Change the role"), Permission.ROLES_MANAGE),
        Act("info", ".act_as", _l("See their pages"), Permission.USERS_ACT_AS),
        Act("trash", ".delete_person", _l("Delete or keep the account"), Permission.USERS_DELETE),
        Act(
            "plan",
            "admin_invoices.issue",
            _l("Issue an invoice"),
            Permission.BILLING_MANAGE,
            "user",
        ),
    ]
    column_filters = ("role", "confirmed_at", "blocked_at", "leaves_at", "created_at")
    column_labels = {
        "email": _l("E-mail"),
        "role": _l("Role"),
        "profile.name": _l("Name"),
        "profile.language": _l("Language"),
        "profile.timezone": _l("Time zone"),
        "confirmed_at": _l("Confirmed"),
        "blocked_at": _l("Blocked"),
        "blocked_reason": _l("Reason"),
        "leaves_at": _l("Leaves"),
        "erased_at": _l("Erased"),
        "last_login_at": _l("Last log-in"),
        "created_at": _l("Registered"),
    }

    def render(self, template: str, **values: Any) -> str:
        """Render a page; that of one person also shows what belongs to them."""
        if template == self.details_template:
            values["dossier"] = dossier_of(values["model"].id)
            values["invoice_states"] = STATE_LABELS
            values["provider_page"] = provider_page
            values["doer"] = doer
            values["subscription_states"] = SUBSCRIPTION_STATES
        return super().render(template, **values)  # type: ignore[no-any-return]

    @expose("/block", methods=("GET", "POST"))
    def block(self) -> ResponseReturnValue:
        """Ask for the reason, then do what the page offered."""
        if not current_may(Permission.USERS_BLOCK):
            return self.inaccessible_callback("block")
        user = queries.user_by_id(request.args.get("id", 0, type=int))
        form = BlockForm()
        if form.validate_on_submit():
            is_block = form.wanted.data == "block"
            block = service.block_user if is_block else service.unblock_user
            with Acting(form) as act, transaction():
                block(current_user.id, user.id, form.why)
            if act.is_done:
                return redirect(url_for("admin_users.index_view"))
        form.wanted.data = "unblock" if user.blocked_at else "block"
        return self.with_form("admin/block.html", form, user=user)

    @expose("/role", methods=("GET", "POST"))
    @proves_again
    def role(self) -> ResponseReturnValue:
        """Give somebody another role, with a reason."""
        if not current_may(Permission.ROLES_MANAGE):
            return self.inaccessible_callback("role")
        user = queries.user_by_id(request.args.get("id", 0, type=int))
        form = RoleForm(role=user.role)
        if form.validate_on_submit():
            with Acting(form) as act, transaction():
                roles.give_role(current_user.id, user.id, form.role.data, form.why)
            if act.is_done:
                return redirect(url_for("admin_users.index_view"))
        return self.with_form("admin/role.html", form, user=user)

    @expose("/act-as", methods=("GET", "POST"))
    @proves_again
    def act_as(self) -> ResponseReturnValue:
        """Ask for the reason, then show the pages of a customer."""
        if not current_may(Permission.USERS_ACT_AS):
            return self.inaccessible_callback("act_as")
        user = queries.user_by_id(request.args.get("id", 0, type=int))
        form = ReasonForm()
        if form.validate_on_submit():
            try:
                with transaction():
                    impersonation.begin(current_user.id, user.id, form.why)
            except DomainError as error:
                flash(describe(error), "danger")
                return redirect(url_for("admin_users.index_view"))
            return redirect(url_for("pages.dashboard"), 303)
        return self.render(
            "admin/act_as.html",
            user=user,
            form=form,
            minutes=impersonation.SECONDS // 60,
        )

    @expose("/delete-person", methods=("GET", "POST"))
    @proves_again
    def delete_person(self) -> ResponseReturnValue:
        """Ask for the reason, then let an account end after the wait, or keep it."""
        if not current_may(Permission.USERS_DELETE):
            return self.inaccessible_callback("delete_person")
        user = queries.user_by_id(request.args.get("id", 0, type=int))
        form = DeletePersonForm()
        if form.validate_on_submit():
            do = deletion.ask_for if form.wanted.data == "delete" else deletion.undo_for
            with Acting(form) as act, transaction():
                do(current_user.id, user.id, form.why)
            if act.is_done:
                return redirect(url_for("admin_users.index_view"))
        form.wanted.data = "keep" if user.leaves_at else "delete"
        standing = deletion.standing(user.id)
        return self.with_form(
            "admin/delete_person.html",
            form,
            user=user,
            days=standing.days,
            running=standing.running,
        )


class OutboxView(AdminView):
    """What was mailed to whom and whether it left; subjects and texts stay sealed."""

    permission = Permission.USERS_VIEW
    column_list = (
        "id",
        "user_id",
        "channel",
        "recipient",
        "template",
        "state",
        "tries",
        "created_at",
        "sent_at",
        "error",
    )
    column_searchable_list = ("recipient",)
    column_filters = ("state", "template", "created_at", "user_id")
    column_labels = {
        "user_id": _l("User"),
        "channel": _l("Channel"),
        "recipient": _l("Recipient"),
        "template": _l("Template"),
        "state": _l("State"),
        "tries": _l("Tries"),
        "created_at": _l("Created"),
        "sent_at": _l("Sent"),
        "error": _l("Error"),
    }


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield UserView(User, db, name=_l("Users"), endpoint="admin_users", url="/admin/users")
    yield OutboxView(OutboxMessage, db, name=_l("Mail"), endpoint="admin_outbox", url="/admin/mail")
