"""The desk of the support: the queue by age and state, and a page on which staff answer."""

from collections.abc import Callable, Iterable

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import BaseView, expose
from flask_admin.model.template import EndpointLinkRowAction
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from app.accounts.access import current_may
from app.accounts.form_pages import UNPROCESSABLE, attach
from app.accounts.permissions import Permission
from app.admin.base import AdminView, asked_number
from app.admin.words import label
from app.db import db
from app.errors import DomainError, InvalidInput
from app.formatting.filters import age
from app.i18n import describe
from app.support import queries, service
from app.support.forms import MessageForm
from app.support.models import Ticket
from app.support.rules import State
from app.support.texts import TOPIC_LABELS
from app.transactions import transaction

# As staff read them.
DESK_STATES = {
    State.OPEN.value: _l("Waits for an answer"),
    State.ANSWERED.value: _l("Answered"),
    State.CLOSED.value: _l("Is closed"),
}


class TicketView(AdminView):
    """Tickets of everybody; who has waited longest stands first."""

    permission = Permission.TICKETS
    can_view_details = False
    list_template = "admin/tickets.html"
    column_extra_row_actions = [EndpointLinkRowAction("info", ".page", title=_l("View"))]
    column_list = (
        "id", "subject", "user_id", "topic", "state", "waiting_since", "assignee_id", "updated_at",
        "created_at",
    )  # fmt: skip
    column_default_sort = [("waiting_since", False), ("updated_at", True)]
    column_formatters = {
        "state": label(DESK_STATES),
        "topic": label(TOPIC_LABELS),
        "waiting_since": lambda _v, _c, row, _n: (
            age(row.waiting_since) if row.waiting_since else ""
        ),
    }
    column_searchable_list = ("subject",)
    column_filters = ("state", "topic", "user_id", "assignee_id", "waiting_since", "created_at")
    column_labels = {
        "subject": _l("Subject"),
        "user_id": _l("User"),
        "topic": _l("Topic"),
        "state": _l("State"),
        "waiting_since": _l("Waits since"),
        "assignee_id": _l("In the hands of"),
        "updated_at": _l("Last message"),
        "created_at": _l("Opened"),
    }

    @expose("/page")
    def page(self) -> ResponseReturnValue:
        """Show a ticket with its messages and the notes of staff."""
        return self._page(asked_number())

    @expose("/answer", methods=("POST",))
    def answer(self) -> ResponseReturnValue:
        """Answer the customer, who gets a mail."""
        return self._say("answer", service.answer, gettext("The answer is sent."))

    @expose("/note", methods=("POST",))
    def note(self) -> ResponseReturnValue:
        """Keep a note for staff only."""
        return self._say("note", service.note, gettext("The note is kept."))

    @expose("/assign", methods=("POST",))
    def assign(self) -> ResponseReturnValue:
        """Take a ticket into one's own hands, or let it go."""
        hands = current_user.id if request.form.get("to") == "me" else None
        return self._act(lambda number: service.assign(current_user.id, number, hands))

    @expose("/close", methods=("POST",))
    def close(self) -> ResponseReturnValue:
        """Close a ticket."""
        return self._act(lambda number: service.close_as_staff(current_user.id, number))

    def _say(
        self, name: str, say: Callable[[int, int, str, str], None], done: str
    ) -> ResponseReturnValue:
        form = MessageForm(prefix=name)
        if not form.validate_on_submit():
            return self._page(asked_number(), {name: form})
        try:
            with transaction():
                say(current_user.id, asked_number(), form.key.data or "", form.text.data or "")
        except InvalidInput as error:
            attach(form, error)
            return self._page(asked_number(), {name: form})
        except DomainError as error:
            flash(describe(error), "danger")
        else:
            flash(done, "success")
        return redirect(url_for("admin_tickets.page", id=asked_number()), 303)

    def _act(self, act: Callable[[int], None]) -> ResponseReturnValue:
        with transaction():
            act(asked_number())
        return redirect(url_for("admin_tickets.page", id=asked_number()), 303)

    def _page(
        self, number: int, given: dict[str, MessageForm] | None = None
    ) -> ResponseReturnValue:
        given = given or {}
        shown = {
            name: given.get(name) or MessageForm(formdata=None, prefix=name)
            for name in ("answer", "note")
        }
        for form in shown.values():
            form.take_key()
        page = self.render(
            "admin/ticket.html",
            ticket=queries.any_ticket(number),
            states=DESK_STATES,
            forms_of=shown,
            sees_people=current_may(Permission.USERS_VIEW),
            sees_bots=current_may(Permission.BOTS_VIEW_ALL),
        )
        return page, UNPROCESSABLE if given else 200


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield TicketView(Ticket, db, name=_l("Tickets"), endpoint="admin_tickets", url="/admin/tickets")
