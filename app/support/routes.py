"""A customer's tickets: ask, read the answers, write again, close."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.form_pages import attach, form_page
from app.accounts.permissions import Permission
from app.bots.queries.names import named_bots
from app.errors import InvalidInput, TooManyTries
from app.extensions import limiter
from app.listing.paging import page_of, read_page
from app.support import queries, service, texts
from app.support.forms import MessageForm, TicketForm
from app.transactions import transaction

blueprint = Blueprint("support", __name__)


@blueprint.get("/support")
@requires(Permission.CABINET)
def index() -> ResponseReturnValue:
    """List the own tickets."""
    found = queries.own_tickets(current_user.id, read_page(request.args.get("page")))
    return render_template(
        "support/_list.html" if _is_part() else "support/index.html",
        tickets=found.items,
        page=page_of(found, lambda number: url_for("support.index", page=number)),
    )


@blueprint.route("/support/new", methods=["GET", "POST"])
@requires(Permission.CABINET)
@limiter.limit("60 per hour", methods=["POST"])
def new() -> ResponseReturnValue:
    """Open a ticket; the same form sent again leads to the same one."""
    form = TicketForm()
    form.take_key()
    bots = named_bots(current_user.id)
    form.offer_bots((bot.id, bot.name) for bot in bots)
    if form.validate_on_submit():
        try:
            with transaction():
                ticket_id = service.open_ticket(current_user.id, _draft(form))
        except (InvalidInput, TooManyTries) as error:
            attach(form, error)
        else:
            return redirect(url_for("support.show", ticket_id=ticket_id), 303)
    return form_page("support/new.html", form, has_bots=bool(bots))


@blueprint.route("/support/<int:ticket_id>", methods=["GET", "POST"])
@requires(Permission.CABINET)
@limiter.limit("120 per hour", methods=["POST"])
def show(ticket_id: int) -> ResponseReturnValue:
    """Show an own ticket with its answers; take what its owner writes."""
    thread = queries.own_ticket(current_user.id, ticket_id)
    if _is_part():
        return render_template("support/_thread.html", thread=thread)
    form = MessageForm()
    form.take_key()
    if form.validate_on_submit():
        try:
            with transaction():
                service.write(current_user.id, ticket_id, form.key.data or "", form.text.data or "")
        except (InvalidInput, TooManyTries) as error:
            attach(form, error)
        else:
            return redirect(url_for("support.show", ticket_id=ticket_id), 303)
    return form_page("support/show.html", form, thread=thread)


@blueprint.post("/support/<int:ticket_id>/close")
@requires(Permission.CABINET)
@limiter.limit("120 per hour")
def close(ticket_id: int) -> ResponseReturnValue:
    """Close an own ticket; pressing twice does no harm."""
    with transaction():
        service.close(current_user.id, ticket_id)
    flash(_("The ticket is closed. Write in it to open it again."), "success")
    return redirect(url_for("support.show", ticket_id=ticket_id), 303)


@blueprint.record_once
def _add_names(state: BlueprintSetupState) -> None:
    names = state.app.jinja_env.globals
    names["ticket_states"] = texts.STATE_LABELS
    names["ticket_tones"] = texts.STATE_TONES
    names["ticket_topics"] = texts.TOPIC_LABELS


def _draft(form: TicketForm) -> service.Draft:
    return service.Draft(
        key=form.key.data or "",
        subject=form.subject.data or "",
        topic=form.topic.data,
        text=form.text.data or "",
        bot_id=int(form.bot.data) if form.bot.data else None,
    )


def _is_part() -> bool:
    return request.method == "GET" and "HX-Request" in request.headers
