import os
import shutil
import socket
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from dev import preflight, run_env
from dev.preflight import CannotStart

Usage = namedtuple("Usage", "total used free")


def test_an_old_python_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(CannotStart, match=r"3\.11 or newer is needed; this is 3\.10\.4"):
        preflight.check_python()


def test_a_full_disk_is_refused_with_its_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 999_000_000))
    with pytest.raises(CannotStart, match="Only 999 MB are free"):
        preflight.check_space(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**9))
    preflight.check_space(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    with pytest.raises(CannotStart, match="No right to write in"):
        preflight.make_folder(occupied / "var")


def test_a_port_in_use_names_the_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"Port {port} is in use.*PORT="):
            preflight.check_port(port, patience=0)
    preflight.check_port(port, patience=0)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "8000x", "٣", "80.5"])
def test_an_impossible_port_is_refused(text: str) -> None:
    with pytest.raises(CannotStart, match="PORT must be a number"):
        preflight.read_port({"PORT": text})


def test_the_port_is_8000_unless_given() -> None:
    assert preflight.read_port({}) == 8000
    assert preflight.read_port({"PORT": ""}) == 8000
    assert preflight.read_port({"PORT": "8100"}) == 8100


def test_a_folder_runs_once_and_the_second_is_told_which_process(tmp_path: Path) -> None:
    told = f"runs here already.*{os.getpid()}"
    with preflight.take_lock(tmp_path / "lock"), pytest.raises(CannotStart, match=told):
        preflight.take_lock(tmp_path / "lock")
    preflight.take_lock(tmp_path / "lock").close()


def test_secrets_are_made_once_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    first = run_env.load_secrets(path, {})
    assert run_env.load_secrets(path, {}) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first["SECRET_KEY"]) >= 32
    other = run_env.load_secrets(tmp_path / "other.env", {})
    assert other["BOTYARD_MASTER_KEYS"] != first["BOTYARD_MASTER_KEYS"]


def test_made_keys_are_what_the_app_reads(tmp_path: Path) -> None:
    from app.encryption import parse_key_ring

    keys = run_env.load_secrets(tmp_path / "secrets.env", {})["BOTYARD_MASTER_KEYS"]
    assert parse_key_ring(keys).current == "k1"


def test_given_secrets_are_used_and_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    stored = run_env.load_secrets(path, {})
    given = run_env.load_secrets(path, {"SECRET_KEY": "given"})
    assert given == {**stored, "SECRET_KEY": "given"}
    assert "given" not in path.read_text()


def test_a_half_written_note_never_replaces_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "run.env"
    run_env.write_pairs(path, {"A": "1"}, "note")
    path.with_name("run.env.new").write_text("left by a crash")
    run_env.write_pairs(path, {"A": "2"}, "note")
    assert run_env.read_pairs(path) == {"A": "2"}
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("speed", ["abc", "0", "601", "nan"])
def test_a_wrong_setting_is_named_before_anything_starts(speed: str) -> None:
    with pytest.raises(CannotStart, match="MARKET_REPLAY_SPEED"):
        preflight.check_settings({"MARKET_REPLAY_SPEED": speed})


def test_settings_that_we_make_ourselves_are_not_missing() -> None:
    preflight.check_settings({"DATABASE_URL": "", "SECRET_KEY": "", "PORT": "8000"})
