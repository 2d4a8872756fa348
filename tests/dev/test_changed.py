"""Which longer checks a change asks for."""

import re
from pathlib import Path

import pytest

from dev.changed import SUBJECTS, targets

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("docs/engine.md", []),
        ("app/pages/routes.py", ["check-long"]),
        ("app/faq/models.py", ["check-long", "check-migrations"]),
        ("migrations/versions/0001_first.py", ["check-migrations"]),
        ("app/wallet/service.py", ["check-long", "check-properties", "check-billing"]),
        ("worker.py", ["check-long", "chaos"]),
    ],
)
def test_a_change_asks_for_the_checks_of_its_subject(path: str, wanted: list[str]) -> None:
    assert list(targets([path])) == wanted


def test_every_check_is_a_target_and_told_to_who_changes_something() -> None:
    makefile, told = (ROOT / "Makefile").read_text(), (ROOT / "CONTRIBUTING.md").read_text()
    for name in SUBJECTS:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name
        assert f"`make {name}`" in told, name


def test_every_subject_exists() -> None:
    for subject in {part for parts in SUBJECTS.values() for part in parts}:
        found = [*ROOT.glob(f"app/**{subject}")] if subject.startswith("/") else [ROOT / subject]
        assert found and found[0].exists(), subject
