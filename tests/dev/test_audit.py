"""What `make audit` says: holes by name, and never "none" where nobody could be asked."""

from typing import Any

import pytest

from dev.audit import report

CLEAN = {"name": "flask", "version": "3.1", "vulns": []}
HOLED = {
    "name": "altcha",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2026-1115", "fix_versions": ["2.0"]}],
}
UNKNOWN = {"name": "yarl", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        ([CLEAN], 0, "1 packages, no known holes"),
        ([CLEAN, HOLED], 1, "altcha 1.0: PYSEC-2026-1115, fixed in 2.0"),
        ([CLEAN, UNKNOWN], 2, "NOT AUDITED: 1 of 2 packages"),
        ([UNKNOWN, HOLED], 1, "NOT AUDITED: 1 of 2 packages"),
        ([], 2, "NOT AUDITED: 0 of 0"),
    ],
)
def test_holes_and_gaps_are_told_apart(
    found: list[dict[str, Any]], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(found) == code
    assert words in capsys.readouterr().out
