"""Run the longer checks whose subject a change touches: what differs from a branch, by folders.

`python -m dev.changed [--dry] [BASE]`: BASE is main; --dry only names the commands.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ("app/trading/", "app/bots/", "app/exchanges/", "app/markets/", "app/adapters/exchanges/")
BOOKS = ("app/payments/", "app/subscriptions/", "app/wallet/", "app/adapters/payments/")
# What `make test` leaves out: which target is asked for by a change in which folders or files.
SUBJECTS: dict[str, tuple[str, ...]] = {
    "check-long": ("app/", "dev/", "tests/", "worker.py", "wsgi.py", "gunicorn.conf.py"),
    "check-migrations": ("migrations/", "/models.py"),
    "check-properties": (*ENGINE, *BOOKS, "app/money.py", "app/encryption.py"),
    "check-sequences": (*ENGINE, "tests/bots/"),
    "check-parity": (*ENGINE, "tests/doubles/"),
    "check-billing": (*BOOKS, "tests/payments/", "tests/subscriptions/", "tests/doubles/stripe/"),
    "chaos": ("app/trading/", "app/bots/live/", "app/exchanges/", "tests/chaos/", "worker.py"),
}


def main(words: Sequence[str]) -> int:
    """Run what a change asks for; return 1 if anything failed."""
    base = next((word for word in words if not word.startswith("--")), "main")
    wanted = list(targets(changed_since(base)))
    print(f"beyond make test: {' '.join(wanted) or 'nothing'}", flush=True)
    if "--dry" in words:
        return 0
    failed = [name for name in wanted if not _passes(name)]
    if failed:
        print(f"FAILED: {' '.join(failed)}")
    return int(bool(failed))


def _passes(target: str) -> bool:
    return subprocess.run(["make", target], cwd=ROOT, check=False).returncode == 0


def targets(paths: Iterable[str]) -> Iterator[str]:
    """Yield the targets that a change of these files asks for, the shortest first."""
    changed = list(paths)
    for name, subjects in SUBJECTS.items():
        if any(_touches(path, subject) for path in changed for subject in subjects):
            yield name


def _touches(path: str, subject: str) -> bool:
    return path.endswith(subject) if subject.startswith("/") else path.startswith(subject)


def changed_since(base: str) -> list[str]:
    """Return the files that differ from where this work left a branch, new ones included."""
    left = _git("merge-base", base, "HEAD")[0]
    return [
        *_git("diff", "--name-only", left),
        *_git("ls-files", "--others", "--exclude-standard"),
    ]


def _git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
