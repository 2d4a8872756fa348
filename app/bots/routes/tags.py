"""The tags of a bot, and the names of all bots for whoever looks for one."""

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.bots import queries
from app.bots import tags as tagging
from app.bots.forms import TagsForm
from app.bots.routes import blueprint
from app.bots.routes.actions import SEE_OTHER, UNPROCESSABLE
from app.bots.wording import say
from app.errors import InvalidInput
from app.transactions import transaction


@blueprint.route("/bots/<int:bot_id>/tags", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def tags(bot_id: int) -> ResponseReturnValue:
    """Show and change the tags of a bot."""
    card = queries.bot_card(current_user.id, bot_id)
    form = TagsForm()
    status = 200
    if form.validate_on_submit():
        try:
            with transaction():
                tagging.set_tags(current_user.id, bot_id, form.tags.data or "")
            flash(gettext("The tags are saved."), "success")
            return redirect(url_for("bots.show", bot_id=bot_id), SEE_OTHER)
        except InvalidInput as error:
            form.tags.errors = [say(error, card.pair)]
            status = UNPROCESSABLE
    elif not form.is_submitted():
        form.tags.data = tagging.write_tags(list(card.tags))
    used = queries.tags_of(current_user.id)
    return render_template("bots/tags.html", bot=card, form=form, used=used), status


@blueprint.get("/bots/palette")
@requires(Permission.BOTS_OWN)
def palette() -> ResponseReturnValue:
    """Give the names of all bots, for the list that Ctrl-K opens."""
    return render_template("bots/_palette.html", bots=queries.named_bots(current_user.id))
