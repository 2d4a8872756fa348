"""A child of the supervisor that somebody stopped is ended and started again."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from dev import children, processes
from dev.children import Child, Log


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_a_child_that_stands_still_for_too_long_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "FROZEN_S", 0.3)
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.1)
    log = Log(tmp_path / "log")
    child = Child(
        "sleeper",
        [sys.executable, "-c", "import time; time.sleep(60)"],
        cwd=tmp_path,
        env=dict(os.environ),
        log=log,
    )
    said: list[str] = []
    child.start()
    try:
        first = child.pid
        assert first is not None
        child.look_after(said.append)
        os.kill(first, signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while not processes.is_stopped(first):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # Whoever goes on in time is left alone.
        child.look_after(said.append)
        os.kill(first, signal.SIGCONT)
        while processes.is_stopped(first):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.4)
        child.look_after(said.append)
        assert child.pid == first
        os.kill(first, signal.SIGSTOP)
        while child.pid in {first, None}:
            assert time.monotonic() < deadline
            child.look_after(said.append)
            time.sleep(0.02)
        assert child.is_running()
    finally:
        child.wait_or_kill(time.monotonic())
        log._file.close()
    assert any("stood still" in line for line in said)
    assert said[-1] == "sleeper runs again."
