"""Writing a person's data into a file, row by row: JSON and CSV of each table, never a secret."""

import csv
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from sqlalchemy import ColumnElement, Table, and_, case, null, or_, select, text

from app.accounts import queries, session_store
from app.accounts.exports.orders import PART
from app.accounts.models import AuditEntry
from app.accounts.personal_data import HOLDINGS
from app.db import db
from app.errors import LimitReached
from app.formatting.cells import safe_cell
from app.money import exact_text

BATCH = 500
MOST_BYTES = 2 * 1024**3
_SECRET = re.compile(r"sealed_.*|.*_hash|.*fingerprint|form_key|file_name|last_step|hash")
README = """\
All that is stored about you, once as JSON and once as CSV for each kind of thing.
Times are in UTC, amounts are exact. Not in here, because it would open your account or an
exchange: passwords, keys, codes, and their hashes; the texts of mails, because codes stand in
them; and what other people did, except what staff did to your account (without their names).
"""

Row = Mapping[Any, Any]


def write_file(path: Path, user_id: int) -> int:
    """Write the data of a person as they are at one moment; return the size in bytes.

    The file appears under its name when it is whole. Raises LimitReached beyond two gigabytes.
    Call it inside a transaction that has not begun to read.
    """
    db.session.execute(text("set transaction isolation level repeatable read, read only"))
    db.session.execute(text("set local statement_timeout = '10min'"))
    part = path.with_name(path.name + PART)
    # 0600 from its first byte on.
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with (
        os.fdopen(descriptor, "wb") as raw,
        zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        _write(archive, user_id)
    os.replace(part, path)
    return path.stat().st_size


def _write(archive: zipfile.ZipFile, user_id: int) -> None:
    archive.writestr("README.txt", README)
    archive.writestr("profile.json", _json(_profile(user_id)))
    devices = [_device(one) for one in session_store.list_sessions(user_id)]
    archive.writestr("devices.json", _json(devices))
    for table in dict.fromkeys(holding.table for holding in HOLDINGS if holding.exported):
        # Rows may belong to somebody in several ways; the table is one file all the same.
        ways = [one for one in HOLDINGS if one.exported and one.table == table]
        rows = ways[0].rows
        names = ways[0].columns or tuple(rows.columns.keys())
        columns = [rows.c[name] for name in names if not _SECRET.fullmatch(name)]
        _table(archive, table, rows, columns, or_(*(way.belongs_to(user_id) for way in ways)))
    log: Any = AuditEntry.__table__
    _table(archive, "audit_log", log, _audit_columns(log, user_id), _about(log, user_id))


def _profile(user_id: int) -> dict[str, Any]:
    user = queries.user_by_id(user_id)
    more = ("id", "role", "confirmed_at", "last_login_at", "leaves_at")
    return {**asdict(queries.own_profile(user_id)), **{name: getattr(user, name) for name in more}}


def _device(info: session_store.SessionInfo) -> dict[str, Any]:
    return {name: value for name, value in asdict(info).items() if name != "key"}


def _about(log: Table, user_id: int) -> ColumnElement[bool]:
    return or_(
        log.c.actor_id == user_id,
        log.c.on_behalf_of_id == user_id,
        and_(log.c.object_type == "user", log.c.object_id == str(user_id)),
    )


def _audit_columns(log: Table, user_id: int) -> list[ColumnElement[Any]]:
    """Return what of an entry is about the person: who else did it is not."""
    own = log.c.actor_id == user_id
    who = case((own, "you"), (log.c.actor_id.is_(None), "the system"), else_="staff")
    names = ("id", "at", "action", "object_type", "object_id", "before", "after", "reason")
    return [
        *(log.c[name] for name in names),
        who.label("done_by"),
        case((own, log.c.address), else_=null()).label("address"),
    ]


def _table(
    archive: zipfile.ZipFile,
    name: str,
    table: Table,
    columns: list[Any],
    condition: ColumnElement[bool],
) -> None:
    query = select(*columns).where(condition).order_by(*table.primary_key.columns)
    with archive.open(f"{name}.json", "w", force_zip64=True) as target:
        _write_json(archive, target, _rows(query))
    with archive.open(f"{name}.csv", "w", force_zip64=True) as target:
        _write_csv(archive, target, [column.name for column in columns], _rows(query))


def _rows(query: Any) -> Iterator[Row]:
    connection = db.session.connection()
    with connection.execution_options(yield_per=BATCH).execute(query) as found:
        yield from found.mappings()


def _write_json(archive: zipfile.ZipFile, target: IO[bytes], rows: Iterator[Row]) -> None:
    separator = "[\n"
    for count, row in enumerate(rows):
        target.write(f"{separator}{_json(dict(row))}".encode(errors="replace"))
        separator = ",\n"
        if count % BATCH == 0:
            _check_size(archive)
    target.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def _write_csv(
    archive: zipfile.ZipFile, target: IO[bytes], names: list[str], rows: Iterator[Row]
) -> None:
    with io.TextIOWrapper(target, "utf-8", errors="replace", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(names)
        for count, row in enumerate(rows):
            writer.writerow([_cell(row[name]) for name in names])
            if count % BATCH == 0:
                _check_size(archive)


def _check_size(archive: zipfile.ZipFile) -> None:
    if archive.fp is not None and archive.fp.tell() > MOST_BYTES:
        raise LimitReached("export_too_large")


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case Decimal() | datetime():
            return _plain(value)
        case dict() | list():
            return safe_cell(_json(value))
        case str():
            return safe_cell(value)
        case _:
            return str(value)


def _json(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return exact_text(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
