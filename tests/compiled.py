"""Templates that a process has compiled are kept for the others, and for the next run."""

from pathlib import Path

from flask import Flask
from jinja2 import FileSystemBytecodeCache

FOLDER = Path(__file__).resolve().parent.parent / ".pytest_cache" / "templates"


def keep_templates() -> None:
    """Let every app that this process makes look there first; all pages cost two seconds each."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    Flask.jinja_options = {"bytecode_cache": FileSystemBytecodeCache(str(FOLDER))}
