"""The link to a bot's result: making and withdrawing it, and the card that strangers see."""

from flask import Response, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from app.accounts.access import public, requires
from app.accounts.permissions import Permission
from app.bots import queries, sharing
from app.bots.forms import PlainForm, ShareForm
from app.bots.routes import blueprint
from app.bots.routes.actions import SEE_OTHER
from app.bots.wording import say
from app.config import current_config
from app.errors import DomainError
from app.extensions import limiter
from app.transactions import transaction

COOKIE_S = 24 * 3600


@blueprint.route("/bots/<int:bot_id>/share", methods=["GET", "POST"])
@requires(Permission.BOTS_OWN)
def share(bot_id: int) -> ResponseReturnValue:
    """Show what a link would show, then make it or change it."""
    card = queries.bot_card(current_user.id, bot_id)
    form = ShareForm()
    if form.validate_on_submit():
        try:
            with transaction():
                sharing.share(current_user.id, bot_id, with_money=form.with_money.data)
            flash(gettext("Anybody who has the link sees this card now."), "success")
        except DomainError as error:
            flash(say(error, card.pair), "warning")
        return redirect(url_for("bots.share", bot_id=bot_id), SEE_OTHER)
    link = sharing.share_of(bot_id)
    if link is not None:
        form.with_money.data = link.with_money
    shown = sharing.card_for_strangers(card, with_money=bool(link and link.with_money))
    return render_template("bots/share.html", bot=card, card=shown, link=link, form=form)


@blueprint.post("/bots/<int:bot_id>/share/withdraw")
@requires(Permission.BOTS_OWN)
def withdraw_share(bot_id: int) -> ResponseReturnValue:
    """End the link."""
    if PlainForm().validate_on_submit():
        with transaction():
            sharing.withdraw(current_user.id, bot_id)
        flash(gettext("The link is withdrawn: nobody sees the card any more."), "success")
    return redirect(url_for("bots.share", bot_id=bot_id), SEE_OTHER)


@blueprint.get("/shared/<token>")
@public
@limiter.limit("60 per minute")
def shared(token: str) -> ResponseReturnValue:
    """Trade the token of a link for a cookie, so that no address keeps it."""
    sharing.shared_card(token)
    response = current_app.make_response(redirect(url_for("bots.shared_card"), SEE_OTHER))
    secure = current_config().https
    response.set_cookie(
        _cookie(), token, max_age=COOKIE_S, secure=secure, httponly=True, samesite="Lax"
    )
    return _discreet(response)


@blueprint.get("/shared")
@public
@limiter.limit("60 per minute")
def shared_card() -> ResponseReturnValue:
    """Show a bot's result to whoever came by its link; search engines are told to stay away."""
    card = sharing.shared_card(request.cookies.get(_cookie(), ""))
    response = current_app.make_response(render_template("bots/shared.html", card=card))
    response.vary.add("Cookie")
    return _discreet(response)


def _discreet(response: Response) -> Response:
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    # The address of the link is what opens the card: no other site shall learn it.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _cookie() -> str:
    return "__Host-shared" if current_config().https else "shared"
