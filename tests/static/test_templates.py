"""Templates and scripts keep to the strict policy: nothing inline, nothing evaluated."""

import re
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
TEMPLATES = sorted((APP / "templates").rglob("*.html"))
SCRIPTS = sorted((APP / "static" / "js").glob("*.js"))
COMMENT = re.compile(r"\{#.*?#\}|<!--.*?-->", re.DOTALL)
INLINE_STYLE = re.compile(r"\sstyle\s*=|<style\b", re.IGNORECASE)
INLINE_HANDLER = re.compile(r"\son[a-z]+\s*=|javascript:|hx-on", re.IGNORECASE)
INLINE_SCRIPT = re.compile(r"<script\b(?![^>]*\bsrc=)[^>]*>", re.IGNORECASE)
TRIGGER_FILTER = re.compile(r'hx-trigger="[^"]*\[')
FOREIGN_ADDRESS = re.compile(r'(?:src|href|action)="(?:https?:)?//(?!www\.tradingview\.com/)')
DOMAIN_TEXT = re.compile(r"\beval\(|new Function\(|\.setAttribute\(\s*[\"']style")


def name_of(path: Path) -> str:
    return str(path.relative_to(APP))


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_no_template_has_inline_styles_handlers_or_scripts(path: Path) -> None:
    text = COMMENT.sub("", path.read_text())
    for forbidden in (INLINE_STYLE, INLINE_HANDLER, INLINE_SCRIPT, TRIGGER_FILTER):
        assert forbidden.search(text) is None, forbidden.pattern


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_every_asset_comes_from_our_own_host(path: Path) -> None:
    assert FOREIGN_ADDRESS.search(COMMENT.sub("", path.read_text())) is None


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_every_posting_form_carries_its_token(path: Path) -> None:
    text = COMMENT.sub("", path.read_text())
    for form in re.findall(r'<form\b[^>]*method="post"[^>]*>.*?</form>', text, re.DOTALL | re.I):
        has_token = any(word in form for word in ("csrf", "hidden_tag", "caller()", "_form.html"))
        assert has_token, form[:200]


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_no_script_evaluates_text(path: Path) -> None:
    assert DOMAIN_TEXT.search(path.read_text()) is None


def test_every_icon_that_is_asked_for_exists() -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (APP / "static/img/icons.svg").read_text()))
    asked = set()
    for path in TEMPLATES:
        asked |= set(re.findall(r'ui\.icon\("([a-z]+)"\)|\bicon\("([a-z]+)"\)', path.read_text()))
    names = {name for pair in asked for name in pair if name}
    assert names
    assert names <= drawn
