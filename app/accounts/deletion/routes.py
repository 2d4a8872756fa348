"""The pages on which people leave, and come back while there is time."""

from flask import (
    Blueprint,
    current_app,
    flash,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import impersonation
from app.accounts.access import GUARD, lacks_factor, proves_again, requires
from app.accounts.deletion import service
from app.accounts.deletion.forms import LeaveForm
from app.accounts.deletion.unfinished import left_at_exchanges
from app.accounts.form_pages import attach, form_page
from app.accounts.permissions import Permission
from app.accounts.server_session import current_session
from app.errors import Conflict, InvalidInput
from app.extensions import limiter
from app.i18n import describe
from app.transactions import transaction

blueprint = Blueprint("deletion", __name__)

# The end that this session has been told of.
TOLD = "told_of_end"


@blueprint.get("/settings/delete")
@requires(Permission.CABINET)
def index() -> ResponseReturnValue:
    """Say what leaving means, or until when one may change one's mind."""
    standing = service.standing(current_user.id)
    if standing.leaves_at is not None:
        session[TOLD] = standing.leaves_at.isoformat()
    return render_template("accounts/delete.html", standing=standing)


@blueprint.route("/settings/delete/ask", methods=["GET", "POST"])
@requires(Permission.CABINET)
@proves_again
@limiter.limit("30 per hour", methods=["POST"])
def ask() -> ResponseReturnValue:
    """Let the account end after the waiting time; sent twice it is asked once."""
    standing = service.standing(current_user.id)
    if standing.is_waiting:
        return redirect(url_for("deletion.index"), 303)
    form = LeaveForm()
    left = left_at_exchanges(current_user.id)
    seen = "|".join(f"{one.account}:{one.seen}" for one in left if one.seen)
    if form.validate_on_submit() and form.leaves(seen):
        try:
            with transaction():
                leaves_at = service.ask(
                    current_user.id, form.coins.data or "", request.remote_addr or ""
                )
        except (InvalidInput, Conflict) as error:
            attach(form, error)
        else:
            session[TOLD] = leaves_at.isoformat()
            return redirect(url_for("deletion.index"), 303)
    form.seen.data = seen
    return form_page(
        "accounts/delete_ask.html", form, standing=standing, left=left, stays=bool(seen)
    )


@blueprint.post("/settings/delete/undo")
@requires(Permission.CABINET)
@limiter.limit("30 per hour")
def undo() -> ResponseReturnValue:
    """Keep the account; a second press changes nothing."""
    try:
        with transaction():
            service.undo(current_user.id, request.remote_addr or "")
    except Conflict as error:
        flash(describe(error), "warning")
        return redirect(url_for("deletion.index"), 303)
    flash(_("Your account stays. Bots that were stopped can be started again."), "success")
    return redirect(url_for("pages.dashboard"), 303)


@blueprint.before_app_request
def _offer_to_stay() -> ResponseReturnValue | None:
    """Lead whoever logs in while their account waits for its end to the way back, once."""
    if not _is_own_page() or not current_user.is_authenticated or current_user.leaves_at is None:
        return None
    if impersonation.current() is not None or lacks_factor():
        return None
    if session.get(TOLD) == current_user.leaves_at.isoformat():
        return None
    return redirect(url_for("deletion.index"), 303)


def _is_own_page() -> bool:
    """Tell whether a page of a signed-in person is opened; no other page may ask who that is."""
    if request.method != "GET" or request.endpoint is None or not current_session().given:
        return False
    if request.blueprint in {"deletion", "factors", "data"} or "HX-Request" in request.headers:
        return False
    if request.accept_mimetypes.best in {"application/json", "text/event-stream"}:
        return False
    guard = getattr(current_app.view_functions[request.endpoint], GUARD, None)
    return isinstance(guard, Permission)
