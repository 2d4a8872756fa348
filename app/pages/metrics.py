"""/metrics: for staff who may see the state of the system, and for a collector with a token."""

import hmac

from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue

from app.accounts.access import current_may, public
from app.accounts.permissions import Permission
from app.config import current_config
from app.pages.exposition import collect, render

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
# Not `requires`: a collector has no session, and a visitor must not learn that there is a page.
@public
def show() -> ResponseReturnValue:
    """Show the figures of the system; to whom they are not meant this page does not exist."""
    # The token first: with Redis away no session can be read, and then the figures matter most.
    if not (_has_token() or current_may(Permission.HEALTH_VIEW)):
        abort(404)
    return Response(render(collect()), content_type=CONTENT_TYPE)


def _has_token() -> bool:
    token = current_config().metrics_token
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.encode())
