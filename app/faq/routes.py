"""The help: shelves and search, one article, votes."""

import hashlib
import secrets

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
from flask_babel import get_locale
from flask_login import current_user
from flask_wtf import FlaskForm

from app.accounts.access import public
from app.accounts.form_pages import form_page
from app.config import current_config
from app.errors import NotFound
from app.extensions import limiter
from app.faq import markup, queries, rules, search_gate, service
from app.faq.texts import category_label
from app.transactions import transaction

VOTER_COOKIE = "reader"
A_YEAR_S = 365 * 24 * 3600

blueprint = Blueprint("faq", __name__)


@blueprint.get("/faq")
@public
@limiter.limit("60/minute", exempt_when=lambda: not request.args.get("q"))
def index() -> ResponseReturnValue:
    """Show all articles by category, or what a search found."""
    language = _language()
    query = rules.tidy_query(request.args.get("q", ""))
    if query and search_gate.is_shut():
        return _gate(query, search_gate.SearchForm(formdata=None))
    found = queries.search(query, language) if query else None
    if found is not None:
        with transaction():
            service.record_search(query, language, len(found.articles))
    return render_template(
        "faq/index.html",
        query=query,
        found=found,
        shelves=queries.categories(language) if not (found and found.articles) else {},
    )


@blueprint.post("/faq")
@public
@limiter.limit("60/minute")
def search_on() -> ResponseReturnValue:
    """Take the captcha of somebody who searches much, then search."""
    form, query = search_gate.SearchForm(), rules.tidy_query(request.form.get("q", ""))
    if not search_gate.opens(form):
        return _gate(query, form)
    return redirect(url_for("faq.index", q=query), 303)


def _gate(query: str, form: FlaskForm) -> ResponseReturnValue:
    return form_page("faq/gate.html", form, query=query, captcha=search_gate.widget())


@blueprint.get("/faq/<slug>")
@public
def show(slug: str) -> ResponseReturnValue:
    """Show one article with what to read next."""
    language = _language()
    article = queries.article(slug, language)
    if article is None:
        raise NotFound("unknown_article")
    voter = _voter()
    return render_template(
        "faq/show.html",
        article=article,
        related=queries.related(article, language),
        votes=queries.votes(article.id),
        own_vote=queries.vote_of(article.id, voter) if voter else None,
    )


@blueprint.post("/faq/<slug>/vote")
@public
@limiter.limit("30/minute")
def vote(slug: str) -> ResponseReturnValue:
    """Count "this helped" or "this did not"; a later word replaces the earlier."""
    helped = {"yes": True, "no": False}.get(request.form.get("helped", ""))
    if helped is None:
        abort(400)
    new_reader = None if _voter() else secrets.token_urlsafe(16)
    with transaction():
        service.vote(slug, _voter() or _hashed(new_reader or ""), helped)
    target = redirect(url_for("faq.show", slug=slug, _anchor="vote"), 303)
    response = current_app.make_response(target)
    if new_reader:
        _remember_reader(response, new_reader)
    return response


@blueprint.record_once
def _add_filters(state: BlueprintSetupState) -> None:
    filters = state.app.jinja_env.filters
    filters["answer"] = markup.render
    filters["first_paragraph"] = markup.first_paragraph
    filters["category_label"] = category_label


def _voter() -> str | None:
    """Name who votes: a person, or a browser that has voted before."""
    if current_user.is_authenticated:
        return f"user:{current_user.id}"
    cookie = request.cookies.get(VOTER_COOKIE)
    return _hashed(cookie) if cookie else None


def _hashed(cookie: str) -> str:
    return "reader:" + hashlib.sha256(cookie.encode()).hexdigest()[:32]


def _remember_reader(response: Response, value: str) -> None:
    response.set_cookie(
        VOTER_COOKIE,
        value,
        max_age=A_YEAR_S,
        path="/faq",
        secure=current_config().https,
        httponly=True,
        samesite="Lax",
    )


def _language() -> str:
    return str(get_locale() or rules.DEFAULT_LANGUAGE)
