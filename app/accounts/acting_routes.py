"""The way back from a customer's pages to one's own."""

from flask import Blueprint, redirect, url_for
from flask.typing import ResponseReturnValue

from app.accounts import impersonation
from app.accounts.access import requires
from app.accounts.permissions import Permission
from app.transactions import transaction

blueprint = Blueprint("acting", __name__)


@blueprint.post("/acting/end")
@requires(Permission.CABINET)
def end() -> ResponseReturnValue:
    """End looking at a customer's pages; sent twice it does no harm."""
    with transaction():
        impersonation.end()
    return redirect(url_for("admin_users.index_view"), 303)
