"""The scripts agree with the server where both do the same."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from app.errors import InvalidInput
from app.formatting import parse_decimal
from app.formatting.numbers import marks_of
from app.money import exact_text
from tests.browser import open_chromium

SCRIPT = Path(__file__).parents[2] / "app" / "static" / "js" / "decimal.js"
TYPED = [
    "1234.5", "1,234", "1.234", "1,23", "0,125", "0.125", "1,234.5", "1.234,5", "1,234,567",
    "1.234.567", "1 234,50", "1 234.50", "1 234,567", "1 234 567", "12 34", "1 2345", ".5", ",5",
    "5.", "5,", "-1,000", "+7", "\u22125", "--5", "1e5", "NaN", "", "abc", "12,34.5", "1,2.3",
    "1.2,3", "007", "0.00000001", "999999999999999999", "1\u202f234,5", "1..2", "1,,2", "0,000",
    "12345,678", "12345.678", "0", "-0", "1-", "5 USDT", "\u0663",
]  # fmt: skip


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    module = base64.b64encode(SCRIPT.read_bytes()).decode()
    with open_chromium() as browser:
        page = browser.new_page()
        page.goto("about:blank")
        page.evaluate(
            "async (address) => { window.decimal = await import(address) }",
            f"data:text/javascript;base64,{module}",
        )
        yield page


def by_server(text: str, locale: str) -> dict[str, str] | None:
    try:
        value = exact_text(parse_decimal(text, locale))
    except InvalidInput as error:
        return {"question": "yes"} if error.code == "ambiguous_number" else None
    return {"value": value}


def by_script(page: Page, text: str, locale: str) -> dict[str, str] | None:
    marks = marks_of(locale)
    read = page.evaluate(
        "([text, decimal, group]) => window.decimal.readDecimal(text, { decimal, group })",
        [text, marks.decimal, marks.group],
    )
    if read is None:
        return None
    if "first" in read:
        return {"question": "yes"}
    return {"value": exact_text(parse_decimal(read["value"], "en"))}


@pytest.mark.journey
@pytest.mark.long
@pytest.mark.parametrize("locale", ["en", "ru", "pt_BR"])
def test_a_typed_number_is_read_back_as_the_server_reads_it(page: Page, locale: str) -> None:
    differing = {
        text: (by_script(page, text, locale), by_server(text, locale))
        for text in TYPED
        if by_script(page, text, locale) != by_server(text, locale)
    }
    assert differing == {}


@pytest.mark.journey
@pytest.mark.long
def test_numbers_are_written_with_the_marks_of_the_language(page: Page) -> None:
    written = page.evaluate(
        """() => [
          window.decimal.writeDecimal("-1234567.5", 2, { decimal: ",", group: "." }),
          window.decimal.writeDecimal("0.00000001", 2, { decimal: ".", group: "," }),
          window.decimal.inputText("1234.5", { decimal: ",", group: "." }),
        ]"""
    )
    assert written == ["\u22121.234.567,50", "0.00000001", "1234,5"]
