"""Compare the .in requirement files with their hashed .txt files, without network."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("requirements", "requirements-local", "requirements-dev", "requirements-uv")
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")


def main() -> int:
    """Print every difference; return the exit code."""
    found = [problem for name in NAMES for problem in problems(ROOT / f"{name}.in")]
    print("\n".join(found) or "the .txt files say what the .in files ask")
    return 1 if found else 0


def problems(source: Path) -> list[str]:
    """Return how the locked file differs from what its source asks for."""
    locked_file = source.with_suffix(".txt")
    locked = read_pins(locked_file.read_text())
    found = []
    for name, versions in read_pins(source.read_text()).items():
        if locked.get(name) != versions:
            have = " and ".join(sorted(locked.get(name, set()))) or "nothing"
            found.append(f"{source.name} asks {name} {_said(versions)}, {locked_file.name}: {have}")
    for number, line in enumerate(source.read_text().splitlines(), 1):
        text = line.split("#")[0].strip()
        if text and not text.startswith("-") and not PIN.match(text):
            found.append(f"{source.name}:{number}: not pinned with ==: {text}")
    text = locked_file.read_text()
    if "://" in text or "--index" in text:
        found.append(f"{locked_file.name} names an index or address")
    found += [f"{locked_file.name}: {name} has no hash" for name in _without_hash(text)]
    return found


def read_pins(text: str) -> dict[str, set[str]]:
    """Return the versions that each normalised name is pinned to."""
    pins: dict[str, set[str]] = {}
    for line in text.splitlines():
        match = PIN.match(line)
        if match:
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            pins.setdefault(name, set()).add(match[2])
    return pins


def _without_hash(text: str) -> list[str]:
    blocks = re.split(r"\n(?=\S)", text.strip())
    return [block.split("==")[0] for block in blocks if "==" in block and "--hash=" not in block]


def _said(versions: set[str]) -> str:
    return " and ".join(sorted(versions))


if __name__ == "__main__":
    sys.exit(main())
