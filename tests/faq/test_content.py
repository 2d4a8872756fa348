import re
import tomllib

from app.faq import rules, service
from app.faq.markup import render

INDEX = tomllib.loads((service.CONTENT / "articles.toml").read_text(encoding="utf-8"))["article"]
SLUGS = [entry["slug"] for entry in INDEX]
PLACES = (
    "/exchanges/new", "/bots/new", "/pricing", "/subscriptions", "/trades", "/legal/risk",
    "/wallet", "/invoices",
)  # fmt: skip


def test_at_least_fourteen_articles_come_with_the_product() -> None:
    assert len(SLUGS) == len(set(SLUGS)) >= 14


def test_every_article_has_every_language_and_belongs_to_a_shelf() -> None:
    for entry in INDEX:
        assert entry["category"] in set(rules.Category)
        assert set(entry["related"]) <= set(SLUGS) - {entry["slug"]}
        for language in rules.SEARCH_CONFIGS:
            text = service.read_text(entry["slug"], language)
            assert text.question.endswith("?")
            assert len(text.answer) > 300
            assert len(text.keywords.split(",")) >= 4


def test_no_file_lies_beside_the_index() -> None:
    folders = {path.name for path in service.CONTENT.iterdir() if path.is_dir()}
    assert folders == set(SLUGS)


def test_the_languages_say_the_same_in_the_same_form() -> None:
    """Translations have the links, lists and bold words of the English text."""
    for slug in SLUGS:
        shapes = {
            language: [
                *re.findall(r"\]\(([^)]+)\)", service.read_text(slug, language).answer),
                *re.findall(r"<(p|h2|ul|ol|li|strong)>", str(render_answer(slug, language))),
            ]
            for language in rules.SEARCH_CONFIGS
        }
        assert shapes["ru"] == shapes["en"], slug
        assert shapes["pt_BR"] == shapes["en"], slug


def test_every_link_leads_to_a_page_that_exists() -> None:
    known = {*PLACES, *(f"/faq/{slug}" for slug in SLUGS)}
    for slug in SLUGS:
        answer = service.read_text(slug, "en").answer
        assert set(re.findall(r"\]\(([^)]+)\)", answer)) <= known, slug


def test_no_mark_is_left_over_in_the_text() -> None:
    for slug in SLUGS:
        for language in rules.SEARCH_CONFIGS:
            assert not re.search(r"\*|`|\]\(", str(render_answer(slug, language))), (slug, language)


def render_answer(slug: str, language: str) -> str:
    return str(render(service.read_text(slug, language).answer))
