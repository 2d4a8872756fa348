"""New settings for a bot."""

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries, service
from app.bots.forms import bot_form, read_id
from app.bots.routes import blueprint
from app.bots.routes.desk import (
    desk_of_bot,
    live_preview,
    locale,
    problems_of,
    refreshed,
    refused,
    sent_strategy,
)
from app.bots.wording import say
from app.errors import Conflict, DomainError
from app.transactions import transaction


@blueprint.route("/bots/<int:bot_id>/edit", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def edit(bot_id: int) -> ResponseReturnValue:
    """Change the settings of a bot that does not run: a new version of them."""
    card = queries.bot_card(current_user.id, bot_id)
    if not card.actions.edit:
        flash(say(Conflict("cannot_edit", state=card.state)), "warning")
        return redirect(url_for("bots.show", bot_id=bot_id), 303)
    if request.method == "GET":
        desk = desk_of_bot(card, bot_form(card.strategy)(formdata=None))
        desk.form.fill(queries.stored_params(bot_id), locale())
        desk.form.name.data = card.name
        return desk.page("bots/edit.html", live_preview(desk))
    desk = desk_of_bot(card, bot_form(sent_strategy(card.strategy))())
    if "refresh" in request.form or "past" in request.form:
        return refreshed(desk, "bots/edit.html")
    values, wrong = desk.form.read(locale())
    if not desk.form.validate() or wrong:
        return refused(desk, "bots/edit.html", wrong)
    try:
        with transaction():
            service.edit_bot(
                current_user.id,
                bot_id,
                desk.form.strategy_name,
                values,
                desk.form.name.data or "",
                seen=read_id(desk.form.seen.data),
            )
    except DomainError as error:
        if error.code == "settings_moved_meanwhile":
            # Whoever sends the form once more has been told.
            desk.form.seen.data = str(card.config_version)
        return refused(desk, "bots/edit.html", problems_of(error))
    flash(gettext("The settings are saved."), "success")
    return redirect(url_for("bots.show", bot_id=bot_id), 303)
