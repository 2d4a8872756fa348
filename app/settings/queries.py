"""Reads of runtime settings; always from the table, because they decide what is allowed."""

from collections.abc import Mapping

from sqlalchemy import select

from app.db import db
from app.errors import DomainError
from app.settings.models import RuntimeSetting
from app.settings.rules import SETTINGS, Setting, Value, checked


def values() -> Mapping[Setting, Value]:
    """Return every setting with its present value."""
    stored = {row.name: row.value for row in db.session.scalars(select(RuntimeSetting))}
    return {one: _value(one, stored.get(one.name)) for one in SETTINGS.values()}


def is_on(setting: Setting) -> bool:
    """Say whether a switch is on."""
    return _read(setting) is True


def text_of(setting: Setting) -> str:
    """Return a text."""
    return str(_read(setting))


def _read(setting: Setting) -> Value:
    stored = db.session.scalar(
        select(RuntimeSetting.value).where(RuntimeSetting.name == setting.name)
    )
    return _value(setting, stored)


def _value(setting: Setting, stored: object) -> Value:
    # A value that an older version allowed must not stop this one.
    try:
        return setting.default if stored is None else checked(setting, stored)
    except DomainError:
        return setting.default
