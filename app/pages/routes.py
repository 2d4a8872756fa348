"""Public pages, the dashboard, language and theme, the event stream, /healthz."""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, get_timezone
from flask_login import current_user
from redis.exceptions import RedisError

from app import health
from app.accounts import service as people
from app.accounts import session_store
from app.accounts.access import public, requires
from app.accounts.permissions import Permission
from app.accounts.redirects import local_path
from app.accounts.server_session import session_key
from app.bots import queries as bots
from app.config import current_config
from app.faq import queries as faq
from app.i18n import LANGUAGE_COOKIE, LANGUAGES
from app.notifications import queries as notifications
from app.pages import showcase
from app.pages.rules import stream_capacity
from app.pages.stream import Hub, TooManyStreamsError, peer_has_gone, write_stream
from app.subscriptions import offers
from app.subscriptions import queries as subscriptions
from app.subscriptions.routes import plan_reader
from app.subscriptions.rules import history_shown
from app.transactions import transaction

THEMES = ("auto", "light", "dark")
MODES = ("paper", "testnet", "live")
THEME_COOKIE = "theme"
MODE_COOKIE = "mode"
A_YEAR_S = 365 * 24 * 3600
LEGAL_PAGES = ("risk", "terms", "privacy")
HOME_ARTICLES = ("what-is-a-grid", "risk", "paper-and-live", "keys-are-kept", "fees", "plan-limits")
PRICING_ARTICLES = ("paying", "plan-limits", "paper-and-live", "how-to-stop", "self-hosting")
HEALTH_KEPT_S = 1.0
FULL_RETRY_S = 30
HUB = "botyard_hub"

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
@public
def home() -> ResponseReturnValue:
    """Say what this is, what it costs and what can go wrong."""
    return render_template(
        "pages/home.html",
        cards=offers.shelf(None).cards,
        articles=faq.by_slugs(HOME_ARTICLES, _language()),
        showcase=showcase.running_bot() if current_config().demo else None,
    )


@blueprint.get("/pricing")
@public
def pricing() -> ResponseReturnValue:
    """Show the plans with their limits and prices."""
    return render_template(
        "pages/pricing.html",
        shelf=offers.shelf(plan_reader(), request.args.get("period", "")),
        articles=faq.by_slugs(PRICING_ARTICLES, _language()),
    )


@blueprint.get("/legal/<page>")
@public
def legal(page: str) -> ResponseReturnValue:
    """Show the risk notice, the terms or the privacy notice."""
    if page not in LEGAL_PAGES:
        abort(404)
    return render_template(f"pages/legal_{page}.html")


@blueprint.get("/dashboard")
@requires(Permission.CABINET)
def dashboard() -> ResponseReturnValue:
    """Show a person's money, bots and last trades, paper and live apart."""
    mode = _mode()
    response = current_app.make_response(_dashboard_page("pages/dashboard.html", mode))
    if mode != request.cookies.get(MODE_COOKIE):
        _remember(response, MODE_COOKIE, mode)
    return response


@blueprint.get("/dashboard/live")
@requires(Permission.CABINET)
def dashboard_live() -> ResponseReturnValue:
    """Show the changing part of the dashboard, for a page that is open already."""
    return _dashboard_page("pages/_dashboard.html", _mode())


@blueprint.get("/statistics")
@requires(Permission.CABINET)
def statistics() -> ResponseReturnValue:
    """Show what a person's bots made in a period, paper and live apart."""
    longest = history_shown(subscriptions.limits_of(current_user.id))
    page = bots.results(current_user.id, _mode(), request.args.get("period", ""), longest)
    return render_template("pages/statistics.html", page=page)


@blueprint.post("/language")
@public
def language() -> ResponseReturnValue:
    """Remember the chosen language, for a person in their profile too."""
    chosen = request.form.get("language", "")
    if chosen not in LANGUAGES:
        abort(400)
    if current_user.is_authenticated:
        with transaction():
            people.set_language(current_user.id, chosen)
    return _back_with_cookie(LANGUAGE_COOKIE, chosen)


@blueprint.post("/theme")
@public
def theme() -> ResponseReturnValue:
    """Remember light, dark or as the device has it."""
    chosen = request.form.get("theme", "")
    if chosen not in THEMES:
        abort(400)
    if current_user.is_authenticated:
        with transaction():
            people.set_theme(current_user.id, chosen)
    return _back_with_cookie(THEME_COOKIE, chosen)


@blueprint.get("/events")
@requires(Permission.CABINET)
def events() -> ResponseReturnValue:
    """Stream hints about what changed for this person, and about prices."""
    hub: Hub = current_app.extensions[HUB]
    try:
        client = hub.join(current_user.id)
    except TooManyStreamsError:
        return Response(status=503, headers={"Retry-After": str(FULL_RETRY_S)})
    lines = write_stream(
        client,
        is_signed_in=_session_watch(),
        has_gone=partial(peer_has_gone, request.environ.get("gunicorn.socket")),
    )
    # Buffering in a proxy would hold the hints back.
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    response = Response(lines, mimetype="text/event-stream", headers=headers)
    response.call_on_close(partial(hub.leave, client))
    return response


@blueprint.get("/healthz")
@public
def healthz() -> ResponseReturnValue:
    """Answer ok while pages can be served, else 503; no details for strangers."""
    ok = _serving.ask()
    return Response("ok\n" if ok else "unavailable\n", 200 if ok else 503, mimetype="text/plain")


@blueprint.get("/dev/mail")
@public
def mail_catcher() -> ResponseReturnValue:
    """Show the mails that would have been sent; exists in development only."""
    if current_config().environment != "development":
        abort(404)
    return render_template("pages/mail.html", mails=notifications.caught_mails())


class _Serving:
    """Asks the servers at most once a second, however often /healthz is called."""

    def __init__(self) -> None:
        self._answer = False
        self._until = 0.0

    def ask(self) -> bool:
        if time.monotonic() >= self._until:
            self._answer = health.is_serving()
            self._until = time.monotonic() + HEALTH_KEPT_S
        return self._answer


_serving = _Serving()


@blueprint.record_once
def _add_hub(state: BlueprintSetupState) -> None:
    config = current_config()
    hub = Hub(config.redis_url, stream_capacity(config.web_threads))
    state.app.extensions[HUB] = hub


def _session_watch() -> Callable[[], bool]:
    """Return a function that tells, after the request is over, whether its session still lives."""
    key = session_key()

    def is_signed_in() -> bool:
        try:
            return key is not None and session_store.is_alive(key)
        except RedisError:
            # Nobody can tell now; the stream ends with its own time at the latest.
            return True

    return is_signed_in


def _mode() -> str:
    """Return paper or live: as asked, else as looked at last."""
    wishes = (request.args.get("mode", ""), request.cookies.get(MODE_COOKIE, ""))
    return next((wish for wish in wishes if wish in MODES), MODES[0])


def _dashboard_page(template: str, mode: str) -> str:
    limits = subscriptions.limits_of(current_user.id)
    page = bots.dashboard(
        current_user.id,
        mode,
        _today(),
        limit=limits.max_bots,
        period=request.args.get("period", ""),
        hold=request.args.get("hold", "") == "1",
        longest=history_shown(limits),
    )
    return render_template(template, page=page, plan=limits, period=page.period)


def _today() -> datetime:
    """Return when the reader's day began."""
    return datetime.now(get_timezone()).replace(hour=0, minute=0, second=0, microsecond=0)


def _language() -> str:
    return str(get_locale() or "en")


def _back_with_cookie(name: str, value: str) -> Response:
    target = local_path(request.form.get("next"), url_for("pages.home"))
    response = current_app.make_response(redirect(target, 303))
    _remember(response, name, value)
    return response


def _remember(response: Response, name: str, value: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=A_YEAR_S,
        secure=current_config().https,
        httponly=True,
        samesite="Lax",
    )
