from pathlib import Path

import pytest

from dev import lock_check

HASH = "    --hash=sha256:" + "a" * 64


@pytest.mark.parametrize("name", lock_check.NAMES)
def test_the_locked_files_say_what_the_sources_ask(name: str) -> None:
    assert lock_check.problems(lock_check.ROOT / f"{name}.in") == []


def check(folder: Path, asked: str, locked: str) -> list[str]:
    source = folder / "some.in"
    source.write_text(asked)
    source.with_suffix(".txt").write_text(locked)
    return lock_check.problems(source)


def test_a_match_has_no_problem(tmp_path: Path) -> None:
    asked = "# why\n-c other.txt\nFlask_Login==1.0\npsycopg[binary]==3.3\n"
    locked = f"flask-login==1.0 \\\n{HASH}\npsycopg==3.3 ; os_name != 'x' \\\n{HASH}\n"
    assert check(tmp_path, asked, locked) == []


@pytest.mark.parametrize(
    ("asked", "locked", "said"),
    [
        ("flask==2.0\n", f"flask==1.0 \\\n{HASH}\n", "asks flask 2.0, some.txt: 1.0"),
        ("flask==2.0\n", f"other==1.0 \\\n{HASH}\n", "asks flask 2.0, some.txt: nothing"),
        ("flask>=2.0\n", f"flask==2.0 \\\n{HASH}\n", "some.in:1: not pinned with ==: flask>=2.0"),
        ("flask==2.0\n", "flask==2.0\n", "flask has no hash"),
        (
            "flask==2.0\n",
            f"--index-url https://example.org\nflask==2.0 \\\n{HASH}\n",
            "names an index or address",
        ),
    ],
)
def test_each_difference_is_named(tmp_path: Path, asked: str, locked: str, said: str) -> None:
    found = check(tmp_path, asked, locked)
    assert len(found) == 1
    assert said in found[0]
