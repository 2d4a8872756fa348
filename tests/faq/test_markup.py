import pytest

from app.faq.markup import first_paragraph, render


def test_paragraphs_headings_and_lists_become_html() -> None:
    text = "One\ntwo.\n\n## Head\n\n- a\n  and on\n- b\n\n1. x\n2. y"
    assert render(text) == (
        "<p>One two.</p>\n<h2>Head</h2>\n<ul><li>a and on</li><li>b</li></ul>\n"
        "<ol><li>x</li><li>y</li></ol>"
    )


def test_inline_marks_become_html() -> None:
    assert render("**b** *n* `c` [t](/faq/x) [w](https://example.org/?a=1&b=2)") == (
        '<p><strong>b</strong> <em>n</em> <code>c</code> <a href="/faq/x">t</a> '
        '<a href="https://example.org/?a=1&amp;b=2">w</a></p>'
    )


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "**<img src=x onerror=alert(1)>**",
        "[<b>](/x)",
        "`<i>`",
        '[x](/a"onclick="alert(1))',
        "- <b>\n- </ul>",
        "## <h1>",
    ],
)
def test_html_in_an_answer_is_shown_not_run(text: str) -> None:
    html = str(render(text))
    for tag in ("<script", "<img", "<b>", "<i>", '"onclick', "</ul></", "<h1>"):
        assert tag not in html


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "//evil.example", "/\\evil.example", "http://evil.example", "data:x"],
)
def test_addresses_that_lead_elsewhere_are_no_links(address: str) -> None:
    assert "<a " not in render(f"[here]({address})")


def test_the_first_paragraph_is_plain_and_short() -> None:
    assert first_paragraph("Take **care** of [it](/x).\n\nMore.") == "Take care of it."
    cut = first_paragraph("word " * 100, limit=42)
    assert cut.endswith("word…") and len(cut) <= 42


def test_odd_texts_are_rendered_too() -> None:
    for text in ("", "\n\n\n", "**", "[", "- ", "1.", "😀" * 500, "*a", "[]()", "##"):
        assert isinstance(str(render(text)), str)
