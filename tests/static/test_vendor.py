"""The committed front-end libraries are those of the lock file, unchanged."""

import json
import re

from dev.vendor import FILES, MANIFEST, ROOT, VENDOR, build_manifest


def test_every_vendored_file_equals_the_manifest() -> None:
    assert json.loads(MANIFEST.read_text()) == build_manifest(VENDOR)


def test_nothing_else_lies_in_the_vendor_folder() -> None:
    present = {path.name for path in VENDOR.iterdir()}
    assert present == {*FILES.values(), "manifest.json", "LICENSES.md"}


def test_the_lock_file_names_no_registry_address() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    for name, version in wanted.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version


def test_every_library_is_named_in_the_licence_notes() -> None:
    notes = (VENDOR / "LICENSES.md").read_text()
    assert all(name in notes for name in FILES.values())
