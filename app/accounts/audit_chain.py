"""Is the audit trail as it was written? Each hash covers its row and the hash before it.

The hashes are computed here anew, not by the database, whose functions its owner could replace.
Whoever owns the database could also rewrite the whole chain, or cut its end off: the newest link,
noted elsewhere (the daily check writes it to the process log), shows that.
"""

import hashlib
import logging
from dataclasses import dataclass

from sqlalchemy import text

from app.db import db
from app.transactions import transaction

log = logging.getLogger(__name__)

GENESIS = "0" * 64
CHUNK = 2000

_ROWS = text(
    """
    select id, hash, cast(jsonb_build_array(
        coalesce(lag(hash) over (order by id), :genesis),
        id, cast(extract(epoch from at) as text), actor_id, on_behalf_of_id, action, object_type,
        object_id, before, after, reason, address, request_id) as text)
    from audit_log order by id
    """
)


@dataclass(frozen=True, slots=True)
class Link:
    """One row of the chain, written `id:hash` where people note it."""

    id: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"


@dataclass(frozen=True, slots=True)
class ChainReport:
    """How many rows fit, the newest of them, and the first that does not."""

    rows: int
    head: Link | None
    broken_id: int | None
    lost: Link | None = None

    @property
    def is_whole(self) -> bool:
        return self.broken_id is None and self.lost is None


def parse_link(text: str) -> Link:
    """Read `id:hash`; raise ValueError."""
    number, _, digest = text.strip().partition(":")
    if not number.isdecimal() or len(digest) != len(GENESIS):
        raise ValueError("write id:hash as an earlier check printed it")
    return Link(int(number), digest)


def check_chain(noted: Link | None = None) -> ChainReport:
    """Follow the chain from its first row; with a noted link, look for that too."""
    count, head, seen = 0, None, noted is None
    db.session.execute(text("set local statement_timeout = '10min'"))
    result = db.session.execute(_ROWS, {"genesis": GENESIS}, execution_options={"yield_per": CHUNK})
    for row_id, digest, content in result:
        if hashlib.sha256(content.encode()).hexdigest() != digest:
            result.close()
            return ChainReport(count, head, row_id)
        count, head = count + 1, Link(row_id, digest)
        seen = seen or head == noted
    return ChainReport(count, head, None, None if seen else noted)


def check_daily() -> None:
    """Check the chain and write its newest link to the log, outside the database."""
    with transaction():
        report = check_chain()
    if report.is_whole:
        log.info("audit_chain_whole rows=%s head=%s", report.rows, report.head)
    else:
        log.error("audit_chain_broken first_row=%s rows_before=%s", report.broken_id, report.rows)
