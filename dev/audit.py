"""Ask the public database of holes about the packages we use: `python -m dev.audit`.

Exit code 1 names holes; 2 means that the question was not answered, which is no "none known".
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TOOL = "pip-audit==2.10.1"
TIMEOUT_S = 300


def main() -> int:
    """Ask, and print what is known."""
    words = [
        str(ROOT / ".venv/bin/uv"), "tool", "run", TOOL, "--disable-pip", "--no-deps",
        "--progress-spinner", "off", "--format", "json", "-r", "requirements.txt",
    ]  # fmt: skip
    try:
        asked = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
        found = json.loads(asked.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        print(f"NOT AUDITED: the package index can't be reached ({type(error).__name__}).")
        return 2
    return report(found)


def report(found: Sequence[Mapping[str, Any]]) -> int:
    """Print the holes of packages and what could not be looked up; return the exit code."""
    holes = [(each, hole) for each in found for hole in each.get("vulns", ())]
    for each, hole in holes:
        fixed = ", ".join(hole.get("fix_versions") or ()) or "no version yet"
        print(f"{each['name']} {each['version']}: {hole['id']}, fixed in {fixed}")
    unknown = [each["name"] for each in found if "skip_reason" in each]
    if unknown or not found:
        print(
            f"NOT AUDITED: {len(unknown)} of {len(found)} packages could not be looked up: the"
            " database of holes can't be reached from here, or does not know them."
        )
    elif not holes:
        print(f"{len(found)} packages, no known holes")
    return 1 if holes else 2 if unknown or not found else 0


if __name__ == "__main__":
    sys.exit(main())
