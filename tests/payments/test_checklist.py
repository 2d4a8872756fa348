"""Each of the forty points of a correct integration has a test, and the docs name one."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
DOCS = TESTS.parent / "docs" / "architecture" / "payments.md"
NAMED = re.compile(r"^def (test_c\d\d_\w+)", re.MULTILINE)
ROW = re.compile(r"^\| C(\d\d) \| [^|]+ \| `([\w/.]+)` `(test_c\d\d_\w+)` \|$", re.MULTILINE)
POINTS = tuple(f"{number:02}" for number in range(1, 41))


def named_in(path: Path) -> set[str]:
    """Return the tests in a file that are named after a point."""
    return set(NAMED.findall(path.read_text()))


@pytest.fixture(scope="module")
def named() -> dict[str, set[str]]:
    return {
        str(path.relative_to(TESTS)): named_in(path) for path in sorted(TESTS.rglob("test_*.py"))
    }


@pytest.mark.parametrize("point", POINTS)
def test_every_point_has_a_test_of_its_name(named: dict[str, set[str]], point: str) -> None:
    own = re.compile(rf"test_c{point}_(?!to_)")
    assert any(own.match(name) for names in named.values() for name in names)


def test_the_docs_name_a_test_for_every_point(named: dict[str, set[str]]) -> None:
    rows = ROW.findall(DOCS.read_text())
    assert [point for point, _, _ in rows] == list(POINTS)
    for point, path, test in rows:
        assert test.startswith(f"test_c{point}_")
        assert test in named.get(path, set()), (path, test)
