"""Templates and scripts keep to the strict policy: nothing inline, nothing evaluated."""

import re
from collections.abc import Iterator
from pathlib import Path

APP = Path(__file__).parents[2] / "app"
TEMPLATES = sorted((APP / "templates").rglob("*.html"))
SCRIPTS = sorted((APP / "static" / "js").glob("*.js"))
COMMENT = re.compile(r"\{#.*?#\}|<!--.*?-->", re.DOTALL)
INLINE_STYLE = re.compile(r"\sstyle\s*=|<style\b", re.IGNORECASE)
INLINE_HANDLER = re.compile(r"\son[a-z]+\s*=|javascript:|hx-on", re.IGNORECASE)
INLINE_SCRIPT = re.compile(r"<script\b(?![^>]*\bsrc=)[^>]*>", re.IGNORECASE)
TRIGGER_FILTER = re.compile(r'hx-trigger="[^"]*\[')
FOREIGN_ADDRESS = re.compile(r'(?:src|href|action)="(?:https?:)?//(?!www\.tradingview\.com/)')
POSTING_FORM = re.compile(r'<form\b[^>]*method="post"[^>]*>.*?</form>', re.DOTALL | re.IGNORECASE)
DOMAIN_TEXT = re.compile(r"\beval\(|new Function\(|\.setAttribute\(\s*[\"']style")


def name_of(path: Path) -> str:
    return str(path.relative_to(APP))


def texts() -> Iterator[tuple[str, str]]:
    """Yield the name of each template and what is left of it without comments."""
    for path in TEMPLATES:
        yield name_of(path), COMMENT.sub("", path.read_text())


def test_the_walks_find_the_templates_and_scripts() -> None:
    assert len(TEMPLATES) > 100
    assert len(SCRIPTS) > 10


def test_no_template_has_inline_styles_handlers_or_scripts() -> None:
    forbidden = (INLINE_STYLE, INLINE_HANDLER, INLINE_SCRIPT, TRIGGER_FILTER)
    found = {
        (name, each.pattern) for name, text in texts() for each in forbidden if each.search(text)
    }
    assert found == set()


def test_every_asset_comes_from_our_own_host() -> None:
    assert [name for name, text in texts() if FOREIGN_ADDRESS.search(text)] == []


def test_every_posting_form_carries_its_token() -> None:
    forms = [(name, form[0]) for name, text in texts() for form in POSTING_FORM.finditer(text)]
    assert len(forms) > 30
    words = ("csrf", "hidden_tag", "caller()", "_form.html")
    lacking = [(name, form[:200]) for name, form in forms if not any(w in form for w in words)]
    assert lacking == []


def test_no_script_evaluates_text() -> None:
    assert [name_of(path) for path in SCRIPTS if DOMAIN_TEXT.search(path.read_text())] == []


def test_every_icon_that_is_asked_for_exists() -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (APP / "static/img/icons.svg").read_text()))
    asked = set()
    for path in TEMPLATES:
        asked |= set(re.findall(r'ui\.icon\("([a-z]+)"\)|\bicon\("([a-z]+)"\)', path.read_text()))
    names = {name for pair in asked for name in pair if name}
    assert names
    assert names <= drawn
