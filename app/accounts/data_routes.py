"""The page on which people take their data away."""

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts import export
from app.accounts.access import proves_again, requires
from app.accounts.permissions import Permission
from app.extensions import limiter
from app.transactions import transaction

blueprint = Blueprint("data", __name__)


@blueprint.get("/settings/data")
@requires(Permission.CABINET)
def index() -> ResponseReturnValue:
    """Say what the file holds."""
    return render_template("accounts/data.html")


@blueprint.post("/settings/data")
@requires(Permission.CABINET)
@proves_again
@limiter.limit("10 per hour")
def download() -> ResponseReturnValue:
    """Send all that is stored about the person."""
    user_id = current_user.id
    with transaction():
        export.begin(user_id, request.remote_addr or "")
    response = Response("".join(export.document(user_id)), mimetype="application/json")
    response.headers["Content-Disposition"] = "attachment; filename=botyard-data.json"
    return response
