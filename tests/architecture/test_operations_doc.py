"""The operations page names every variable the app reads, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
GUNICORN = {"BIND", "PORT", "WEB_WORKERS", "WEB_THREADS"}


def read_by(path: Path) -> set[str]:
    text = path.read_text()
    found = re.findall(r'environ(?:\.get\(|\[|, )"([A-Z_]+)"', text)
    return set(found)


def test_the_table_names_exactly_what_is_read() -> None:
    table = PAGE.partition("\n## Variables\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    read = read_by(ROOT / "app" / "config.py") | read_by(ROOT / "gunicorn.conf.py")
    assert read >= GUNICORN
    assert named == read
