"""Changing runtime settings; whoever calls this writes the audit trail."""

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert

from app.db import db
from app.settings.models import RuntimeSetting
from app.settings.queries import values
from app.settings.rules import Value, checked, setting_named


def change(name: str, value: object) -> tuple[Value, Value]:
    """Set a setting; return what it was and what it is now."""
    setting = setting_named(name)
    after = checked(setting, value)
    before = values()[setting]
    if after == setting.default:
        db.session.execute(delete(RuntimeSetting).where(RuntimeSetting.name == name))
    else:
        row = insert(RuntimeSetting).values(name=name, value=after)
        db.session.execute(
            row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value})
        )
    return before, after
