"""Answers as people write them, turned into safe HTML.

Known are: paragraphs, `## heading`, lists of `- ` and `1. `, **bold**, *name*, `code`, and
[text](address) with an address inside this site or with https. All else is shown as it stands.
"""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_INLINE = re.compile(
    r"\*\*(?P<bold>[^*\n]+)\*\*|\*(?P<name>[^*\s][^*\n]*)\*|`(?P<code>[^`\n]+)`"
    r"|\[(?P<text>[^\]\n]+)\]\((?P<href>[^)\s]+)\)"
)
_BULLET = re.compile(r"- +(.*)")
_NUMBER = re.compile(r"\d+\. +(.*)")


def render(text: str) -> Markup:
    """Return the answer as HTML."""
    blocks = re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip())
    return Markup("\n").join(_block(block.split("\n")) for block in blocks if block.strip())


def first_paragraph(text: str, limit: int = 180) -> str:
    """Return the beginning of an answer as plain text, cut at a word."""
    first = re.split(r"\n\s*\n", text.strip())[0]
    plain = " ".join(_INLINE.sub(_plain, first).split())
    if len(plain) <= limit:
        return plain
    return plain[:limit].rsplit(" ", 1)[0] + "…"


def _plain(match: re.Match[str]) -> str:
    return match["bold"] or match["name"] or match["code"] or match["text"]


def _block(lines: list[str]) -> Markup:
    if len(lines) == 1 and lines[0].startswith("## "):
        return Markup("<h2>{}</h2>").format(_inline(lines[0][3:]))
    for pattern, tag in ((_BULLET, "ul"), (_NUMBER, "ol")):
        if pattern.match(lines[0]):
            items = Markup("").join(
                Markup("<li>{}</li>").format(_inline(item)) for item in _items(lines, pattern)
            )
            # The tag is one of the two above.
            return Markup(f"<{tag}>{{}}</{tag}>").format(items)  # noqa: S704 # nosec B704
    return Markup("<p>{}</p>").format(_inline(" ".join(lines)))


def _items(lines: list[str], pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield the items of a list; a line without mark goes on with the one before."""
    item = ""
    for line in lines:
        found = pattern.match(line)
        if found is None:
            item += " " + line.strip()
            continue
        if item:
            yield item
        item = found[1]
    yield item


def _inline(text: str) -> Markup:
    parts: list[Markup] = []
    end = 0
    for match in _INLINE.finditer(text):
        parts.append(escape(text[end : match.start()]))
        parts.append(_element(match))
        end = match.end()
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


def _element(match: re.Match[str]) -> Markup:
    if match["bold"]:
        return Markup("<strong>{}</strong>").format(match["bold"])
    if match["name"]:
        return Markup("<em>{}</em>").format(match["name"])
    if match["code"]:
        return Markup("<code>{}</code>").format(match["code"])
    href = match["href"]
    if _is_safe(href):
        return Markup('<a href="{}">{}</a>').format(href, match["text"])
    return escape(match[0])


def _is_safe(href: str) -> bool:
    inside = href.startswith("/") and not href.startswith(("//", "/\\"))
    return inside or href.startswith("https://")
