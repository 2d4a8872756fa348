"""What every answer has in common: request id, security headers, error pages."""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, abort, g, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from app import api, i18n
from app.accounts import audit
from app.config import Config, current_config
from app.db import db, utc_now
from app.errors import (
    Conflict,
    DomainError,
    Forbidden,
    InvalidInput,
    LimitReached,
    NotFound,
    TooManyTries,
    Unavailable,
)
from app.extensions import limiter
from app.logs import request_id

log = logging.getLogger(__name__)

STATUS_BY_ERROR: dict[type[DomainError], int] = {
    InvalidInput: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    LimitReached: 409,
    TooManyTries: 429,
    Unavailable: 503,
}
PAGES = {400, 403, 404, 405, 413, 429, 500, 503}
MAX_BODY_BYTES = 1_000_000
# What every answer says, unless a route says otherwise.
FIXED_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
OVER_HTTP = frozenset({"pages.healthz", "metrics.show"})
# Routes that read a body other than a form themselves.
READS_ITSELF = frozenset({"payments.pay", "webhooks.receive"})
SENT = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def init_web(app: Flask, config: Config) -> None:
    """Join request ids, headers and error pages to the app."""
    if config.trusted_proxies:
        count = config.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=count, x_host=count
        )
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.before_request(_begin_request)
    app.before_request(_keep_to_the_entrances)
    app.before_request(_refuse_what_is_no_form)
    app.jinja_env.globals["desk_url"] = desk_url
    app.after_request(_add_headers)
    app.teardown_request(_end_request)
    app.jinja_env.globals["csp_nonce"] = csp_nonce
    app.register_error_handler(DomainError, _domain_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(RedisError, _service_down)
    app.register_error_handler(OperationalError, _service_down)
    app.register_error_handler(InterfaceError, _service_down)
    app.register_error_handler(Exception, _unexpected_error)


def csp_nonce() -> str:
    """Return this request's nonce for script and style elements."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def _begin_request() -> None:
    g.request_id = secrets.token_hex(8)
    request_id.set(g.request_id)
    audit.client_address.set(request.remote_addr)
    audit.acting_staff.set(None)
    # PostgreSQL stores no NUL: an address with one can't mean anything of ours.
    asked = request.args.listvalues() if request.query_string else ()
    if any("\x00" in value for values in asked for value in values):
        abort(400)


def _refuse_what_is_no_form() -> None:
    """Let a form be sent as JSON only as names with words: a field reads nothing else."""
    # What is no page at all is answered as that.
    reads_itself = request.endpoint in {None, *READS_ITSELF} or api.is_own(request.path)
    if not request.is_json or request.method not in SENT or reads_itself:
        return
    try:
        sent = request.get_json(silent=True)
    except RecursionError:
        sent = None
    if not isinstance(sent, dict) or not all(isinstance(value, str) for value in sent.values()):
        abort(400)


def _keep_to_the_entrances() -> ResponseReturnValue | None:
    """Ask for https where it is spoken, and show the desk at its own host only."""
    config = current_config()
    speaks_https = config.is_production and config.https and config.trusted_proxies
    # The proxy asks for the state from inside; the API refuses by itself.
    inside = request.endpoint in OVER_HTTP or api.is_own(request.path)
    if speaks_https and not request.is_secure and not inside:
        if request.method not in {"GET", "HEAD"}:
            abort(400)
        return redirect(request.url.replace("http://", "https://", 1), 308)
    if config.admin_host and _is_desk(request.path) and not _is_host(config.admin_host):
        abort(404)
    return None


def desk_url() -> str:
    """Return where the staff desk is: at its own host, when it has one."""
    host, path = current_config().admin_host, url_for("admin.index")
    return f"{request.scheme}://{host}{path}" if host and not _is_host(host) else path


def _is_desk(path: str) -> bool:
    return path == "/admin" or path.startswith("/admin/")


def _is_host(wanted: str) -> bool:
    host = request.host.lower()
    return wanted in {host, host.partition(":")[0]}


def _end_request(_error: BaseException | None) -> None:
    audit.client_address.set(None)
    audit.acting_staff.set(None)


def _add_headers(response: Response) -> Response:
    nonce = csp_nonce()
    # Only a page that shows a widget of somebody else names its sources.
    elsewhere = "".join(f" {source}" for source in g.get("script_sources", ()))
    # ... or has a form that ends at the page of a rail to pay on.
    targets = "".join(f" {target}" for target in g.get("form_targets", ()))
    frames = f"frame-src{elsewhere}; " if elsewhere else ""
    policy = (
        "default-src 'self'; "
        f"script-src 'self' 'nonce-{nonce}'{elsewhere}; "
        f"style-src 'self' 'nonce-{nonce}'; "
        "img-src 'self' data:; connect-src 'self'; font-src 'self'; object-src 'none'; "
        f"{frames}base-uri 'none'; form-action 'self'{targets}; frame-ancestors 'none'"
    )
    wanted = {"Content-Security-Policy": policy, **FIXED_HEADERS}
    if request.endpoint != "static":
        wanted["Cache-Control"] = "no-store"
    headers = response.headers
    # Asking the headers for one name reads them all.
    given = {name.lower() for name, _value in headers}
    headers.extend([pair for pair in wanted.items() if pair[0].lower() not in given])
    if "request_id" in g:
        headers["X-Request-Id"] = g.request_id
    return response


def _domain_error(error: DomainError) -> ResponseReturnValue:
    status = STATUS_BY_ERROR.get(type(error), 400)
    response = _answer(status, i18n.describe(error), error.code, error.values)
    if isinstance(error, TooManyTries):
        response.headers["Retry-After"] = str(error.values.get("retry_after", 60))
    return response


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error.response
    if api.is_own(request.path):
        return api.http_problem(error)
    status = error.code or 500
    wait = _seconds_to_wait() if status == STATUS_BY_ERROR[TooManyTries] else None
    message = i18n.describe_code("too_many_tries", {"retry_after": wait}) if wait else ""
    answer = _answer(status, message, f"http_{status}")
    if wait:
        answer.headers["Retry-After"] = str(wait)
    if status == 405 and isinstance(answer, Response):  # noqa: PLR2004 - method not allowed
        answer.headers.update(dict(error.get_headers()))
    return answer


def _seconds_to_wait() -> int | None:
    """Return when an address may try again; None where nobody can tell."""
    beyond = limiter.current_limit
    if beyond is None or not beyond.breached:
        return None
    try:
        return max(1, int(beyond.reset_at - utc_now().timestamp()))
    except RedisError:
        return None


def _service_down(error: Exception) -> ResponseReturnValue:
    db.session.rollback()
    log.error("service_down error=%s", type(error).__name__)
    return _answer(503, "", "service_down")


def _unexpected_error(error: Exception) -> ResponseReturnValue:
    db.session.rollback()
    log.exception("unexpected_error path=%s", request.path)
    return _answer(500, "", "unexpected")


def _answer(
    status: int, message: str, code: str, values: Mapping[str, Any] | None = None
) -> Response:
    wants_json = request.accept_mimetypes.best == "application/json"
    if api.is_own(request.path):
        response = api.own_problem(status, code)
    elif wants_json:
        response = jsonify(error=code, message=message, request_id=g.get("request_id", "-"))
    else:
        page = status if status in PAGES and status != 405 else 400  # noqa: PLR2004
        page = status if status >= 500 and status in PAGES else page  # noqa: PLR2004
        response = Response(
            render_template(
                f"errors/{page}.html",
                message=message,
                refused=values,
                request_id=g.get("request_id", "-"),
            )
        )
    response.status_code = status
    if status == 503:  # noqa: PLR2004 - unavailable
        response.headers["Retry-After"] = "5"
    return response
