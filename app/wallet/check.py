"""Do the books agree with themselves? Everything is added up anew from the entries."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import Row, text

from app.db import db, utc_now
from app.extensions import redis_client
from app.health import LEDGER_KEY
from app.money import exact_text
from app.transactions import transaction
from app.wallet.rules import Entry, content_hash

log = logging.getLogger(__name__)

SHOWN = 20
CHUNK = 2000

_COUNTS = text(
    "select (select count(*) from ledger_postings) as postings,"
    " (select count(*) from ledger_entries) as entries"
)
_UNBALANCED = text(
    """
    select p.id, p.lines, count(e.id) as found from ledger_postings p
    left join ledger_entries e on e.posting_id = p.id
    group by p.id having count(e.id) <> p.lines
    union all
    select posting_id, null, sum(amount) from ledger_entries
    group by posting_id, commodity having sum(amount) <> 0
    order by 1
    """
)
_TOTALS = text(
    "select commodity, sum(amount) as total from ledger_entries group by commodity"
    " having sum(amount) <> 0 order by commodity"
)
_BALANCES = text(
    """
    select a.name, a.commodity, b.posted, coalesce(e.total, 0) as total, b.held,
        coalesce(h.held, 0) as pending
    from ledger_accounts a
    left join ledger_balances b on b.account_id = a.id
    left join (select account_id, sum(amount) as total from ledger_entries group by account_id) e
        on e.account_id = a.id
    left join (select account_id, sum(amount) as held from ledger_holds where state = 'pending'
        group by account_id) h on h.account_id = a.id
    where a.guard <> 0 and (b.posted, b.held)
        is distinct from (coalesce(e.total, 0), coalesce(h.held, 0))
    order by a.id
    """
)
_CAPTURED = text(
    "select h.id, h.posting_key from ledger_holds h where h.state = 'captured' and not exists"
    " (select from ledger_postings p where p.key = h.posting_key) order by h.id"
)
_CONTENT = text(
    """
    select p.id, p.kind, p.rail, p.refs, p.content_hash, jsonb_agg(jsonb_build_array(
        a.name, e.commodity, trim_scale(e.amount)::text)) as lines
    from ledger_postings p join ledger_entries e on e.posting_id = p.id
    join ledger_accounts a on a.id = e.account_id
    group by p.id order by p.id
    """
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree: a code, where, and the two figures."""

    code: str
    where: str
    stands: str
    should: str

    def __str__(self) -> str:
        return f"{self.code} {self.where}: {self.stands} stands, {self.should} should"


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """How much was looked at, and what does not agree."""

    postings: int
    entries: int
    differences: tuple[Difference, ...]

    @property
    def is_whole(self) -> bool:
        return not self.differences


def verify() -> LedgerReport:
    """Add everything up anew and compare it with what is kept."""
    db.session.execute(text("set local statement_timeout = '10min'"))
    counts = db.session.execute(_COUNTS).one()
    found = (*_unbalanced(), *_balances(), *_holds(), *_contents())
    return LedgerReport(counts.postings, counts.entries, found)


def verify_now() -> LedgerReport:
    """Verify in a transaction of its own, in which all questions see the same moment."""
    with transaction():
        db.session.execute(text("set transaction isolation level repeatable read"))
        return verify()


def verify_daily() -> None:
    """Verify, tell the log, and leave the outcome for the page of services."""
    report = verify_now()
    if report.is_whole:
        log.info("ledger_whole postings=%s entries=%s", report.postings, report.entries)
    else:
        for difference in report.differences[:SHOWN]:
            log.error("ledger_differs %s", difference)
    _tell(report)


def _tell(report: LedgerReport) -> None:
    values: dict[Any, str] = {
        "at": str(utc_now().timestamp()),
        "postings": str(report.postings),
        "differences": str(len(report.differences)),
    }
    try:
        redis_client.client.hset(LEDGER_KEY, mapping=values)
    except RedisError as error:
        log.warning("ledger_report_not_kept error=%s", type(error).__name__)


def _unbalanced() -> Iterator[Difference]:
    for row in db.session.execute(_UNBALANCED):
        if row.lines is None:
            yield Difference("posting_sum", f"posting {row.id}", _plain(row.found), "0")
        else:
            yield Difference("posting_lines", f"posting {row.id}", str(row.found), str(row.lines))
    for row in db.session.execute(_TOTALS):
        yield Difference("commodity_sum", row.commodity, _plain(row.total), "0")


def _balances() -> Iterator[Difference]:
    for row in db.session.execute(_BALANCES):
        where = f"{row.name} {row.commodity}"
        if row.posted != row.total:
            yield Difference("balance", where, _plain(row.posted), _plain(row.total))
        if row.held != row.pending:
            yield Difference("held", where, _plain(row.held), _plain(row.pending))


def _holds() -> Iterator[Difference]:
    for row in db.session.execute(_CAPTURED):
        yield Difference("captured_hold", f"hold {row.id}", "no posting", row.posting_key)


def _contents() -> Iterator[Difference]:
    rows = db.session.execute(_CONTENT, execution_options={"yield_per": CHUNK})
    for row in rows:
        digest = _digest(row)
        if digest != row.content_hash:
            yield Difference("content", f"posting {row.id}", row.content_hash, digest)


def _digest(row: Row[Any]) -> str:
    lines = (Entry(name, commodity, Decimal(amount)) for name, commodity, amount in row.lines)
    return content_hash(row.kind, row.rail, row.refs, lines)


def _plain(value: Decimal | None) -> str:
    return "nothing" if value is None else exact_text(value)
