"""The page on which people take their data away."""

from flask import Blueprint, flash, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts.access import proves_again, requires
from app.accounts.exports import orders
from app.accounts.permissions import Permission
from app.errors import TooManyTries
from app.extensions import limiter
from app.i18n import describe
from app.transactions import transaction

blueprint = Blueprint("data", __name__)


@blueprint.get("/settings/data")
@requires(Permission.CABINET)
def index() -> ResponseReturnValue:
    """Say what the file holds, and show those that are there."""
    return render_template("accounts/data.html", **_values())


@blueprint.get("/settings/data/files")
@requires(Permission.CABINET)
def files() -> ResponseReturnValue:
    """Show the files, for a page that is open already."""
    return render_template("accounts/_data_files.html", **_values())


@blueprint.post("/settings/data")
@requires(Permission.CABINET)
@proves_again
@limiter.limit("20 per hour")
def ask() -> ResponseReturnValue:
    """Let a worker build a file; asked twice it is one."""
    try:
        with transaction():
            orders.ask(current_user.id, request.remote_addr or "")
    except TooManyTries as error:
        flash(describe(error), "warning")
    else:
        flash(_("Your file is being made. A mail tells when it is ready."), "success")
    return redirect(url_for("data.index"), 303)


@blueprint.get("/settings/data/<int:export_id>")
@requires(Permission.CABINET)
@proves_again
def download(export_id: int) -> ResponseReturnValue:
    """Send a file to its owner while it is fresh."""
    path = orders.fresh_file(current_user.id, export_id)
    response = send_file(
        path,
        mimetype="application/zip",
        as_attachment=True,
        download_name="botyard-data.zip",
        conditional=False,
        etag=False,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _values() -> dict[str, object]:
    exports = orders.newest(current_user.id)
    is_waiting = any(one.state in orders.UNFINISHED for one in exports)
    return {"exports": exports, "is_waiting": is_waiting, "days": orders.LIFE.days}
