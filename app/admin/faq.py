"""FAQ: articles and their texts, and searches that found nothing."""

from collections.abc import Iterable
from typing import Any

from flask_admin import BaseView
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from wtforms.validators import Length

from app.accounts import audit
from app.accounts.access import current_may
from app.accounts.permissions import Permission
from app.admin.base import AdminView
from app.db import db, utc_now
from app.faq import queries
from app.faq.models import FaqArticle, FaqSearch, FaqText

MAX_QUESTION = 200
MAX_ANSWER = 10_000


class ArticleView(AdminView):
    """Articles; support decides what is published and in which order."""

    permission = Permission.DESK
    column_list = ("id", "slug", "category", "position", "published", "created_at")
    column_searchable_list = ("slug",)
    column_filters = ("category", "published")
    column_default_sort = [("category", False), ("position", False)]
    form_columns = ("position", "published")
    column_labels = {
        "slug": _l("Address"),
        "category": _l("Category"),
        "position": _l("Position"),
        "published": _l("Published"),
        "created_at": _l("Created"),
    }

    @property
    def can_edit(self) -> bool:  # type: ignore[override]  # a fixed flag there, a right here
        return current_may(Permission.FAQ_MANAGE)

    def on_model_change(self, form: Any, model: FaqArticle, is_created: bool) -> None:
        audit.record(
            "faq.article_changed",
            "faq_article",
            model.id,
            actor_id=current_user.id,
            after={"published": model.published, "position": model.position},
        )

    def after_model_change(self, form: Any, model: FaqArticle, is_created: bool) -> None:
        queries.forget_articles()


class TextView(AdminView):
    """Question and answer in each language."""

    permission = Permission.DESK
    column_list = ("id", "article_id", "language", "question", "updated_at")
    column_details_list = (*column_list, "answer", "keywords")
    column_searchable_list = ("question", "answer")
    column_filters = ("language", "article_id")
    form_columns = ("question", "answer", "keywords")
    form_args = {
        "question": {"validators": [Length(min=3, max=MAX_QUESTION)]},
        "answer": {"validators": [Length(min=3, max=MAX_ANSWER)]},
        "keywords": {"validators": [Length(max=MAX_QUESTION)]},
    }
    column_labels = {
        "article_id": _l("Article"),
        "language": _l("Language"),
        "question": _l("Question"),
        "answer": _l("Answer"),
        "keywords": _l("Further words to find it by"),
        "updated_at": _l("Changed"),
    }

    @property
    def can_edit(self) -> bool:  # type: ignore[override]  # a fixed flag there, a right here
        return current_may(Permission.FAQ_MANAGE)

    def on_model_change(self, form: Any, model: FaqText, is_created: bool) -> None:
        model.updated_at = utc_now()
        audit.record(
            "faq.text_changed",
            "faq_text",
            model.id,
            actor_id=current_user.id,
            after={"language": model.language, "question": model.question},
        )

    def after_model_change(self, form: Any, model: FaqText, is_created: bool) -> None:
        queries.forget_articles()


class SearchView(AdminView):
    """What people searched for; filter by 0 results to see what is missing."""

    permission = Permission.FAQ_MANAGE
    column_list = ("id", "at", "query", "language", "results")
    column_filters = ("results", "language", "at")
    column_labels = {
        "at": _l("Time"),
        "query": _l("Searched for"),
        "language": _l("Language"),
        "results": _l("Found"),
    }


def views() -> Iterable[BaseView]:
    """Make the views of this desk."""
    yield ArticleView(FaqArticle, db, name=_l("FAQ"), endpoint="admin_faq", url="/admin/faq")
    yield TextView(
        FaqText, db, name=_l("FAQ texts"), endpoint="admin_faq_texts", url="/admin/faq-texts"
    )
    yield SearchView(
        FaqSearch,
        db,
        name=_l("FAQ searches"),
        endpoint="admin_faq_searches",
        url="/admin/faq-searches",
    )
