"""Leaving a subscription, coming back, pausing it, and the provider's own page for cards."""

from collections.abc import Callable

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.errors import DomainError
from app.extensions import limiter
from app.i18n import describe
from app.subscriptions import buying, offers, usage
from app.subscriptions.buying import INCOMPLETE
from app.subscriptions.routes import blueprint
from app.subscriptions.terms import Source, Standing, Verb


@blueprint.route("/subscriptions/cancel", methods=["GET", "POST"])
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("30 per minute", methods=["POST"])
def cancel() -> ResponseReturnValue:
    """Say what leaving means, and leave; an order that is not paid is withdrawn at once."""
    standing = buying.standing(current_user.id)
    if standing is None or Verb.CANCEL not in standing.may:
        return _back()
    if request.method == "POST":
        return _do(lambda: buying.cancel(current_user.id), _done(standing))
    free = offers.limits_for(None, {})
    return render_template(
        "subscriptions/cancel.html",
        standing=standing,
        ends_now=_ends_now(standing),
        losing=usage.bots_beyond(current_user.id, free),
        free=free,
    )


@blueprint.post("/subscriptions/go-on")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("30 per minute")
def undo() -> ResponseReturnValue:
    """Take a cancellation back."""
    return _do(
        lambda: buying.undo_cancel(current_user.id), _("Your plan goes on and renews by itself.")
    )


@blueprint.post("/subscriptions/pause")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("10 per minute")
def pause() -> ResponseReturnValue:
    """Stop the charges of a subscription for a while."""
    return _do(lambda: buying.pause(current_user.id), _("Your subscription is paused."))


@blueprint.post("/subscriptions/resume")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("10 per minute")
def resume() -> ResponseReturnValue:
    """Let a paused subscription go on."""
    return _do(lambda: buying.resume(current_user.id), _("Your subscription goes on."))


@blueprint.post("/subscriptions/portal")
@requires(Permission.SUBSCRIPTIONS_OWN)
@limiter.limit("20 per minute")
def portal() -> ResponseReturnValue:
    """Lead to the provider's page for cards and invoices; its address is nobody else's."""
    try:
        return redirect(buying.portal_url(current_user, "/subscriptions"), 303)
    except DomainError as error:
        flash(describe(error), "danger")
        return _back()


def _ends_now(standing: Standing) -> bool:
    """Tell whether nothing is left that is paid for: what we keep ends at once then."""
    return standing.is_past_due and standing.source is Source.KEPT


def _done(standing: Standing) -> str:
    if standing.state == INCOMPLETE:
        return str(_("The order is withdrawn; nothing was taken."))
    if _ends_now(standing):
        return str(_("Cancelled. The free plan holds from now on."))
    return str(_("Cancelled. The plan holds until the end of what is paid, then it ends."))


def _do(verb: Callable[[], None], done: str) -> ResponseReturnValue:
    try:
        verb()
    except DomainError as error:
        flash(describe(error), "danger")
    else:
        flash(done, "success")
    return _back()


def _back() -> ResponseReturnValue:
    return redirect(url_for("subscriptions.index"), 303)
