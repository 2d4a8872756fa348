"""`dev/setup.sh` over a Python of our own, whose packages come in two parts."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "dev" / "setup.sh"
# Like real installers it takes a package whose folder is there for installed.
PYTHON = """#!/bin/sh
here=$(dirname "$0")
case "$*" in
--version) echo Python 3.12.0 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
*requirements-uv.txt) exit 1 ;;
*"pip install"*)
    [ ! -d "$here/package" ] || exit 0
    mkdir "$here/package"
    [ ! -e stopped ] || { kill -KILL $PPID; exit 1; }
    echo whole >"$here/package/module"
    ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    shutil.copy(SETUP, tmp_path / "dev" / "setup.sh")
    for name in ("requirements", "requirements-local", "requirements-dev", "requirements-uv"):
        (tmp_path / f"{name}.txt").write_text("package==1\n")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def set_up(clone: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone / "dev" / "setup.sh", "run"],
        env=os.environ | {"PYTHON": str(clone / "python")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_second_run_installs_nothing(clone: Path) -> None:
    assert "The environment is ready" in set_up(clone).stdout
    again = set_up(clone)
    assert (again.returncode, again.stdout) == (0, "")


def test_an_installation_that_was_stopped_half_way_is_made_anew(clone: Path) -> None:
    (clone / "stopped").touch()
    assert set_up(clone).returncode == -signal.SIGKILL
    (clone / "stopped").unlink()
    again = set_up(clone)
    assert again.returncode == 0, again.stderr
    assert (clone / ".venv" / "bin" / "package" / "module").read_text() == "whole\n"


def test_neither_is_an_old_environment_trusted_after_a_stopped_update(clone: Path) -> None:
    set_up(clone)
    shutil.rmtree(clone / ".venv" / "bin" / "package")
    (clone / "requirements.txt").write_text("package==2\n")
    (clone / "stopped").touch()
    assert set_up(clone).returncode == -signal.SIGKILL
    (clone / "stopped").unlink()
    (clone / "requirements.txt").write_text("package==1\n")
    assert "stopped half way" in set_up(clone).stdout
    assert (clone / ".venv" / "bin" / "package" / "module").read_text() == "whole\n"
