"""Extract, update, compile and check the translation catalogues.

`python -m dev.messages update|compile|check`; check names every message that a language lacks.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
TRANSLATIONS = ROOT / "translations"
LANGUAGES = ("ru", "pt_BR")
KEYWORDS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "lazy_gettext": None,
    "lazy_ngettext": (1, 2),
    "_l": None,
    "pgettext": ((1, "c"), 2),
    "lazy_pgettext": ((1, "c"), 2),
}
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")


def extract() -> Catalog:
    """Collect every message of the source."""
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    catalog = Catalog(project="Botyard", charset="utf-8")
    found = extract_from_dir(
        ROOT, method_map=methods, options_map=options, keywords=KEYWORDS, comment_tags=("i18n:",)
    )
    for filename, _line, message, comments, context in found:
        catalog.add(message, None, [(filename, 1)], auto_comments=comments, context=context)
    return catalog


def catalogue_path(language: str) -> Path:
    """Return where a language's catalogue stands."""
    return TRANSLATIONS / language / "LC_MESSAGES" / "messages.po"


def read_catalogue(language: str) -> Catalog:
    """Read a language's catalogue, or an empty one."""
    path = catalogue_path(language)
    if not path.exists():
        return Catalog(locale=language, charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update() -> None:
    """Bring every catalogue up to the source; new messages stand there empty."""
    source = extract()
    for language in LANGUAGES:
        catalogue = read_catalogue(language)
        catalogue.update(source, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        path = catalogue_path(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            write_po(file, catalogue, width=100, sort_output=True, omit_header=False)


def compile_catalogues() -> None:
    """Write the binary catalogues that the product reads."""
    for language in LANGUAGES:
        path = catalogue_path(language).with_suffix(".mo")
        # Whoever reads it at this moment finds the old one or the new one, never half of it.
        fresh = path.with_suffix(f".{os.getpid()}.mo")
        with fresh.open("wb") as file:
            write_mo(file, read_catalogue(language))
        fresh.replace(path)


def problems() -> Iterator[str]:
    """Yield what is missing or wrong in each language."""
    source = extract()
    for language in LANGUAGES:
        catalogue = read_catalogue(language)
        for message in source:
            if message.id:
                yield from _message_problems(language, message, catalogue)


def _message_problems(language: str, message: Message, catalogue: Catalog) -> Iterator[str]:
    ids = _forms(message.id)
    translated = catalogue.get(message.id, message.context)
    texts = _forms(translated.string if translated is not None else "")
    if translated is None or translated.fuzzy or not all(texts):
        yield f"{language}: not translated: {ids[0]!r}"
        return
    if len(ids) > 1 and len(texts) != catalogue.num_plurals:
        yield f"{language}: {len(texts)} plural forms of {catalogue.num_plurals}: {ids[0]!r}"
    expected = set(PLACEHOLDER.findall(ids[-1]))
    for text in texts:
        if set(PLACEHOLDER.findall(text)) - expected or (
            len(ids) == 1 and set(PLACEHOLDER.findall(text)) != expected
        ):
            yield f"{language}: placeholders differ: {ids[0]!r} -> {text!r}"


def _forms(text: object) -> tuple[str, ...]:
    parts = text if isinstance(text, tuple | list) else (text,)
    return tuple(str(part or "") for part in parts)


def main(action: str) -> int:
    """Run one action; return the exit code."""
    if action == "update":
        update()
    elif action == "compile":
        compile_catalogues()
    elif action == "check":
        found = list(problems())
        print("\n".join(found) or "translations are complete")
        return 1 if found else 0
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
