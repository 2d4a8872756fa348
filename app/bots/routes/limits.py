"""The limits beyond which a bot pauses by itself."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries, service
from app.bots.forms import LimitsForm
from app.bots.routes import blueprint
from app.bots.routes.actions import SEE_OTHER, UNPROCESSABLE
from app.bots.routes.desk import locale, problems_of
from app.bots.wording import say
from app.errors import DomainError
from app.transactions import transaction


@blueprint.route("/bots/<int:bot_id>/limits", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def limits(bot_id: int) -> ResponseReturnValue:
    """Show and set a bot's limits; an empty field is no limit."""
    card = queries.bot_card(current_user.id, bot_id)
    form = LimitsForm()
    stored = queries.limits_of_bot(bot_id)
    seen = form.seen.data or ""
    form.seen.data = service.limits_text(stored)
    if request.method == "GET":
        form.fill_limits(stored, locale())
    status = 200
    if form.validate_on_submit():
        values, wrong = form.read_limits(locale())
        try:
            if not wrong:
                with transaction():
                    service.set_limits(current_user.id, bot_id, values, seen)
                flash(gettext("The limits are saved."), "success")
                return redirect(url_for("bots.show", bot_id=bot_id), SEE_OTHER)
        except DomainError as error:
            wrong = problems_of(error)
        for entry in wrong:
            text = say(entry.line, card.pair)
            if entry.field in form:
                form[entry.field].errors = [text]
            else:
                form.form_errors.append(text)
        status = UNPROCESSABLE
    return render_template("bots/limits.html", bot=card, form=form), status
