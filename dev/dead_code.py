"""Find code that nothing uses: vulture's findings, less what templates and frameworks call."""

import re
import sys
import tomllib
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).resolve().parent.parent
SURE = 90
# Fields and constants are data: a template, a JSON answer or a column mapping reads them by name.
DATA = {"variable", "attribute"}


def main() -> int:
    """Print every finding; return the exit code."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["vulture"]
    scan = Vulture(
        ignore_names=settings["ignore_names"], ignore_decorators=settings["ignore_decorators"]
    )
    places = [ROOT / path for path in settings["paths"]]
    scan.scavenge([str(place) for place in places if place.exists()])
    words = _words_of_templates()
    found = [
        item
        for item in scan.get_unused_code(min_confidence=60)
        if item.confidence >= SURE or (item.typ not in DATA and item.name not in words)
    ]
    for item in found:
        place = f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno}"
        print(f"{place}: unused {item.typ} '{item.name}'")
    if not found:
        print("nothing is unused")
    return 1 if found else 0


def _words_of_templates() -> set[str]:
    words: set[str] = set()
    for place in (ROOT / "app" / "templates").rglob("*.*"):
        words.update(re.findall(r"\w+", place.read_text()))
    return words


if __name__ == "__main__":
    sys.exit(main())
