"""Do our books and the venue tell the same story? Compared by movements, to the last unit.

A customer may hold other money on the account and move it, so totals can't be compared; but from
one comparison to the next the venue's balance of a currency must move by just what our fills,
fees and funding have moved. On a contract that is the wallet: money but the unrealised profit;
the position itself is compared under the contract's symbol, like a currency.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, select, text

from app.accounts import audit
from app.bulk import bulk_upsert
from app.db import db
from app.exchanges.models import AccountAudit, ExchangeAccount
from app.money import exact_text
from app.trading.contracts import Stake
from app.trading.market import ZERO, exact
from app.trading.orders import Side

# What a part of a position has cost is rounded to 18 decimals at each closing, so it depends in the
# last of them on the order of fills that happened at the same moment. No venue moves so little.
ROUNDING = Decimal("1e-15")
AUDITS: Table = AccountAudit.__table__  # type: ignore[assignment]  # typed FromClause, is a Table
Sums = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much a currency has moved in our books and at the venue since they last agreed."""

    account_id: int
    currency: str
    ours: Decimal
    venue: Decimal

    @property
    def gap(self) -> Decimal:
        """Return the difference itself; both sides move on with every fill."""
        return self.ours - self.venue


@dataclass(frozen=True, slots=True)
class Stand:
    """Both sides at a moment; `foreign_fees` are fees in a third currency up to a fill.

    Our sums of the currencies in `rounded` hold the cost of positions in contracts.
    """

    venue: Sums
    ours: Sums
    foreign_fees: Sums
    fill_id: int = 0
    rounded: frozenset[str] = frozenset()


# What all bots of an account, ended and deleted ones too, have moved since they began.
_MOVED = text("""
    select bot.account_id, market.base, market.quote, market.kind,
        case market.kind when 'spot' then market.base else market.symbol end as held,
        sum(metrics.base) as coins,
        sum(metrics.quote - metrics.deposited + metrics.withdrawn) as cash,
        sum(sign(metrics.base) * metrics.base_cost) as stake
    from bots as bot
    join markets as market on market.id = bot.market_id
    join bot_metrics as metrics on metrics.bot_id = bot.id
    where bot.account_id = any(cast(:accounts as bigint[]))
    group by bot.account_id, market.base, market.quote, market.kind, market.symbol
""")
# The books take such a fee from the cash at its value; the venue takes it from the other coin.
_FOREIGN_FEES = text("""
    select bot.account_id, fill.fee_currency, market.quote,
        sum(fill.fee) as fee, sum(fill.fee_quote) as value, max(fill.id) as last_id
    from unnest(cast(:accounts as bigint[]), cast(:fills as bigint[])) as asked (number, fill_id)
    join bots as bot on bot.account_id = asked.number
    join markets as market on market.id = bot.market_id
    join fills as fill on fill.bot_id = bot.id and fill.id > asked.fill_id
    where fill.fee <> 0 and fill.fee_currency not in (market.base, market.quote)
    group by bot.account_id, fill.fee_currency, market.quote
""")
_CONTRACT_FILLS = text("""
    select fill.bot_id, market.quote, fill.id, fill.at, fill.side, fill.price, fill.quantity
    from bots as bot
    join markets as market on market.id = bot.market_id and market.kind <> 'spot'
    join bot_metrics as metrics on metrics.bot_id = bot.id and metrics.base <> 0
    join fills as fill on fill.bot_id = bot.id
    where bot.account_id = :account
    order by fill.id
""")
_COLUMNS = ("at", "venue", "ours", "foreign_fees", "fill_id", "pending", "told", "told_at")
_UPSERT = bulk_upsert(AUDITS, ("account_id",), _COLUMNS)


def compare_accounts(balances: Mapping[int, Sums], now: datetime) -> list[Difference]:
    """Compare accounts with what their venues hold now; return differences that are new and sure.

    Call it in the transaction that has booked everything the venue had told before it told the
    balances. The first comparison of an account only notes where both sides stand.
    """
    if not balances:
        return []
    known = _read(balances)
    stands = stands_of(balances, known)
    told: list[Difference] = []
    rows = []
    for number, as_booked in stands.items():
        before, stand = known.get(number), as_booked
        found = [] if before is None else differences(number, _stand_of(before), stand)
        if before is not None and any(each.currency in before.pending for each in found):
            stand = _in_order(number, stand)
            found = differences(number, _stand_of(before), stand)
        sure = [] if before is None else _stayed(found, before.pending)
        told += sure
        open_ = [each for each in found if each not in sure]
        kept = stand if before is None else _agreed(_stand_of(before), stand, open_)
        words, at = _told_before(before)
        if sure:
            words, at = {**words, **_texts(sure)}, now
        rows.append(_row(number, now, kept, _texts(open_), words, at))
    db.session.execute(_UPSERT.statement, _UPSERT.values(rows))
    return told


@exact
def stands_of(
    balances: Mapping[int, Sums], known: Mapping[int, AccountAudit] | None = None
) -> dict[int, Stand]:
    """Return both sides of some accounts as they are now."""
    known = known or {}
    ours: dict[int, defaultdict[str, Decimal]] = {n: defaultdict(lambda: ZERO) for n in balances}
    rounded: dict[int, set[str]] = {n: set() for n in balances}
    for row in db.session.execute(_MOVED, {"accounts": list(balances)}):
        sums = ours[row.account_id]
        sums[row.quote] += row.cash
        if row.kind == "spot":
            sums[row.held] += row.coins
            continue
        sums[row.quote] += row.stake
        rounded[row.account_id].add(row.quote)
        if row.held in balances[row.account_id]:
            # A venue that does not tell its positions is compared by its money alone.
            sums[row.held] += row.coins
    fees: dict[int, defaultdict[str, Decimal]] = {
        n: defaultdict(lambda: ZERO, _sums(known[n].foreign_fees) if n in known else {})
        for n in balances
    }
    last = {n: known[n].fill_id if n in known else 0 for n in balances}
    asked = {"accounts": list(last), "fills": list(last.values())}
    for row in db.session.execute(_FOREIGN_FEES, asked):
        fees[row.account_id][row.fee_currency] -= row.fee
        fees[row.account_id][row.quote] += row.value
        last[row.account_id] = max(last[row.account_id], row.last_id)
    stands = {}
    for number, venue in balances.items():
        for currency, amount in fees[number].items():
            ours[number][currency] += amount
        stands[number] = Stand(
            venue=dict(venue),
            ours=dict(ours[number]),
            foreign_fees=dict(fees[number]),
            fill_id=last[number],
            rounded=frozenset(rounded[number]),
        )
    return stands


@exact
def differences(account_id: int, before: Stand, after: Stand) -> list[Difference]:
    """Return the currencies of our bots that have moved differently on both sides."""
    found = []
    for currency in sorted({*before.ours, *after.ours}):
        ours = after.ours.get(currency, ZERO) - before.ours.get(currency, ZERO)
        venue = after.venue.get(currency, ZERO) - before.venue.get(currency, ZERO)
        if abs(ours - venue) > (ROUNDING if currency in after.rounded else ZERO):
            found.append(Difference(account_id, currency, ours, venue))
    return found


@exact
def _in_order(account_id: int, stand: Stand) -> Stand:
    """Return a stand with contracts' fills counted in the order in which the venue had them.

    What a position has cost depends on that order, until it is closed; we book as fills are told.
    """
    rows: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for row in db.session.execute(_CONTRACT_FILLS, {"account": account_id}):
        rows[row.bot_id, row.quote].append(row)
    ours = dict(stand.ours)
    for (_, quote), fills in rows.items():
        told, happened = _stake(fills), _stake(sorted(fills, key=lambda row: (row.at, row.id)))
        late = happened.sign * happened.cost - told.sign * told.cost
        ours[quote] = ours.get(quote, ZERO) + late
    return replace(stand, ours=ours)


def _stake(fills: Iterable[Any]) -> Stake:
    stake = Stake()
    for fill in fills:
        stake, _ = stake.after(Side(fill.side), fill.price, fill.quantity)
    return stake


@exact
def _stayed(found: Iterable[Difference], pending: Mapping[str, Any]) -> list[Difference]:
    """Return what differs by as much as it did last time, whatever has been traded since."""
    gaps = {currency: Decimal(ours) - Decimal(venue) for currency, (ours, venue) in pending.items()}
    return [each for each in found if each.gap == gaps.get(each.currency)]


def _agreed(before: Stand, now: Stand, open_: Iterable[Difference]) -> Stand:
    """Return where both sides stand now; of what may be on its way, where they last agreed."""
    venue, ours = dict(now.venue), dict(now.ours)
    for each in open_:
        venue[each.currency] = before.venue.get(each.currency, ZERO)
        ours[each.currency] = before.ours.get(each.currency, ZERO)
    return replace(now, venue=venue, ours=ours)


def has_pending(account_id: int) -> bool:
    """Tell whether the last comparison of an account has found what the next one may tell."""
    pending = select(AccountAudit.pending).where(AccountAudit.account_id == account_id)
    return bool(db.session.scalar(pending))


def note_taken_out(account_id: int, moved: Sums) -> None:
    """Count on our side what has moved in the books alone, as nothing has at the venue."""
    row = db.session.get(AccountAudit, account_id)
    if row is not None:
        ours = defaultdict(lambda: ZERO, _sums(row.ours))
        for currency, amount in moved.items():
            ours[currency] += amount
        row.ours = {currency: exact_text(amount) for currency, amount in ours.items()}


@dataclass(frozen=True, slots=True)
class ToldDifference:
    """A difference that waits for staff: by how much each side has moved."""

    account_id: int
    account: str
    exchange: str
    currency: str
    ours: Decimal
    venue: Decimal
    at: datetime


def told_differences() -> list[ToldDifference]:
    """Return differences that nobody of staff has noted yet, oldest first."""
    query = (
        select(AccountAudit, ExchangeAccount.label, ExchangeAccount.exchange)
        .join(ExchangeAccount, ExchangeAccount.id == AccountAudit.account_id)
        .where(AccountAudit.told_at.is_not(None))
        .order_by(AccountAudit.told_at, AccountAudit.account_id)
    )
    return [
        ToldDifference(
            row.account_id, label, exchange, currency, Decimal(ours), Decimal(venue), row.told_at
        )
        for row, label, exchange in db.session.execute(query)
        for currency, (ours, venue) in sorted(row.told.items())
        if row.told_at is not None
    ]


def told_of(account_id: int, names: Collection[str]) -> list[Difference]:
    """Return the differences of one account, in these currencies or contracts, that stand open."""
    row = db.session.get(AccountAudit, account_id)
    if row is None or row.told_at is None:
        return []
    return [
        Difference(account_id, currency, Decimal(ours), Decimal(venue))
        for currency, (ours, venue) in sorted(row.told.items())
        if currency in names
    ]


def note_told(actor_id: int, account_id: int) -> None:
    """Note that staff has looked into the differences of an account; audited."""
    known = 0 < account_id < 2**63
    row = db.session.get(AccountAudit, account_id, with_for_update=True) if known else None
    if row is None or row.told_at is None:
        return
    audit.record("books.noted", "exchange_account", account_id, actor_id=actor_id, before=row.told)
    row.told, row.told_at = {}, None


def _read(accounts: Iterable[int]) -> dict[int, AccountAudit]:
    query = select(AccountAudit).where(AccountAudit.account_id.in_(list(accounts)))
    rows = db.session.scalars(query.execution_options(populate_existing=True))
    return {row.account_id: row for row in rows}


def _stand_of(row: AccountAudit) -> Stand:
    return Stand(_sums(row.venue), _sums(row.ours), _sums(row.foreign_fees), row.fill_id)


def _told_before(row: AccountAudit | None) -> tuple[Mapping[str, Any], datetime | None]:
    return ({}, None) if row is None else (row.told, row.told_at)


def _row(
    number: int,
    at: datetime,
    stand: Stand,
    pending: Mapping[str, Any],
    told: Mapping[str, Any],
    told_at: datetime | None,
) -> tuple[Any, ...]:
    return (
        number, at, _text(stand.venue), _text(stand.ours), _text(stand.foreign_fees),
        stand.fill_id, json.dumps(pending), json.dumps(told), told_at,
    )  # fmt: skip


def _texts(found: Iterable[Difference]) -> dict[str, list[str]]:
    return {each.currency: [exact_text(each.ours), exact_text(each.venue)] for each in found}


def _text(sums: Sums) -> str:
    return json.dumps({currency: exact_text(amount) for currency, amount in sums.items()})


def _sums(data: Mapping[str, Any]) -> dict[str, Decimal]:
    return {currency: Decimal(amount) for currency, amount in data.items()}
