"""Secrets that are made once, and the note that tells the command line where everything is."""

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

SECRETS = ("SECRET_KEY", "BOTYARD_MASTER_KEYS")


def read_pairs(path: Path) -> dict[str, str]:
    """Read NAME=value lines; an absent file is empty."""
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def write_pairs(path: Path, pairs: Mapping[str, str], comment: str) -> None:
    """Write NAME=value lines for the owner's eyes only, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"# {comment}\n")
        file.writelines(f"{name}={value}\n" for name, value in pairs.items())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load_secrets(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets of this installation: given ones, else stored ones, else new ones."""
    stored = read_pairs(path)
    made = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "BOTYARD_MASTER_KEYS": f"k1:{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}",
    }
    if any(name not in stored for name in SECRETS):
        stored = {**made, **stored}
        write_pairs(
            path, stored, "Made once. Without these keys the stored secrets cannot be read."
        )
    return {name: environ.get(name) or stored[name] for name in SECRETS}
