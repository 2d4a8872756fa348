"""Reads of the catalogue, of accounts and of their money."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import exists, func, or_, select, text

from app.adapters.exchanges.reading import Held
from app.db import db, utc_now
from app.errors import NotFound
from app.exchanges.catalogue import PAPER, VENUES, Venue
from app.exchanges.models import (
    Exchange,
    ExchangeAccount,
    PaperBalance,
    PaperCursor,
    PaperOrder,
    PaperStake,
)
from app.trading.contracts import Stake, isolated_liquidation, tiers_or_assumed
from app.trading.market import Tier, booked, exact
from app.trading.ports import Balance

LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Listed:
    """A platform of the catalogue with its switch."""

    venue: Venue
    enabled: bool
    note: str


@dataclass(frozen=True, slots=True)
class Balances:
    """What an account holds, by currency, and when that was read.

    `is_isolated` says whether a loss in a contract stays with its own margin.
    """

    by_currency: Mapping[str, Balance]
    as_of: datetime
    positions: Sequence[Held] = ()
    is_isolated: bool = True

    @property
    def totals(self) -> dict[str, Decimal]:
        """Return all money by currency, and under their symbols positions in contracts."""
        sums = {currency: balance.total for currency, balance in self.by_currency.items()}
        for held in self.positions:
            sums[held.symbol] = sums.get(held.symbol, Decimal(0)) + held.base
        return sums


def has_keys(user_id: int) -> bool:
    """Tell whether a person has an account with keys that is not deleted."""
    query = exists().where(
        ExchangeAccount.user_id == user_id,
        ExchangeAccount.sealed_key.is_not(None),
        ExchangeAccount.deleted_at.is_(None),
    )
    return bool(db.session.scalar(select(query)))


def catalogue() -> list[Listed]:
    """Return every platform in the order of the catalogue; one without a row is off."""
    rows = {row.code: row for row in db.session.scalars(select(Exchange))}
    return [
        Listed(
            venue,
            enabled=venue.code in rows and rows[venue.code].enabled,
            note=rows[venue.code].note if venue.code in rows else "",
        )
        for venue in VENUES.values()
    ]


def is_enabled(code: str) -> bool:
    """Say whether new accounts and bots may choose a platform."""
    row = db.session.get(Exchange, code) if code in VENUES else None
    return row is not None and row.enabled


def accounts_of(user_id: int) -> list[ExchangeAccount]:
    """Return a person's accounts, oldest first."""
    query = select(ExchangeAccount).where(
        ExchangeAccount.user_id == user_id, ExchangeAccount.deleted_at.is_(None)
    )
    return list(db.session.scalars(query.order_by(ExchangeAccount.id)))


def account_of(user_id: int, account_id: int) -> ExchangeAccount:
    """Return a person's account; raise NotFound for any other."""
    known = 0 < account_id <= LARGEST_ID
    account = db.session.get(ExchangeAccount, account_id) if known else None
    if account is None or account.user_id != user_id or account.deleted_at is not None:
        raise NotFound("unknown_account")
    return account


def count_accounts(user_id: int) -> int:
    """Count a person's accounts."""
    query = select(func.count(ExchangeAccount.id)).where(
        ExchangeAccount.user_id == user_id, ExchangeAccount.deleted_at.is_(None)
    )
    return db.session.scalar(query) or 0


def paper_balances(account_id: int) -> Balances:
    """Return the money of a paper account as its book has it now."""
    rows = db.session.scalars(
        select(PaperBalance)
        .where(PaperBalance.account_id == account_id)
        .order_by(PaperBalance.currency)
    )
    money = {row.currency: Balance(row.free, row.locked) for row in rows}
    stakes = db.session.execute(_PAPER_POSITIONS, {"account": account_id})
    return Balances(money, utc_now(), [_held_on_paper(*row) for row in stakes])


_PAPER_POSITIONS = text("""
    select market.symbol, trim_scale(stake.base), trim_scale(stake.cost),
        trim_scale(stake.leverage), market.tiers, market.max_leverage
    from paper_stakes as stake
    join markets as market on market.id = stake.market_id
    where stake.account_id = :account and stake.base <> 0
    order by market.symbol
""")


@exact
def _held_on_paper(
    symbol: str, base: Decimal, cost: Decimal, leverage: Decimal,
    tiers: Sequence[Sequence[str]] | None, max_leverage: Decimal | None,
) -> Held:  # fmt: skip
    stake = Stake(base, cost)
    known = tuple(Tier(*map(Decimal, tier)) for tier in tiers or ())
    liquidation = isolated_liquidation(stake, leverage, tiers_or_assumed(known, max_leverage))
    return Held(
        symbol=symbol,
        side="long" if base > 0 else "short",
        quantity=abs(base),
        entry_price=stake.entry_price,
        leverage=leverage,
        liquidation_price=None if liquidation is None else booked(liquidation),
    )


# One statement, so one moment: a fill is at the venue first, and booked in a later transaction.
_BOOKED_POSITION = text("""
    select coalesce((
        select base from paper_stakes where account_id = account.id and market_id = :market
    ), 0) - coalesce((
        select sum(case side when 'buy' then quantity else -quantity end)
        from paper_fills
        where account_id = account.id and market_id = :market
            and id > coalesce(nullif(account.fills_cursor, ''), '0')::bigint
    ), 0)
    from exchange_accounts as account where account.id = :account
""")


def paper_position(account_id: int, market_id: int) -> Decimal:
    """Return what a paper account holds of a contract, without fills that no bot has booked yet."""
    asked = {"account": account_id, "market": market_id}
    return Decimal(db.session.execute(_BOOKED_POSITION, asked).scalar_one())


def live_sites() -> list[tuple[str, bool]]:
    """Return every exchange, and whether it is its test site, that has a switched on account."""
    query = select(ExchangeAccount.exchange, ExchangeAccount.testnet).where(
        ExchangeAccount.exchange != PAPER,
        ExchangeAccount.active,
        ExchangeAccount.deleted_at.is_(None),
    )
    rows = db.session.execute(query.distinct().order_by("exchange", "testnet"))
    return [(exchange, testnet) for exchange, testnet in rows if exchange in VENUES]


def is_paper(account: ExchangeAccount) -> bool:
    """Say whether an account trades with paper money."""
    return account.exchange == PAPER


def slowest_cursors() -> dict[int, int]:
    """Return for each pair that paper accounts follow the last point that all of them have seen.

    An account follows a pair while an order of it stands there, or a position in a contract.
    """
    rows = db.session.execute(
        select(PaperCursor.market_id, func.min(PaperCursor.point_seq))
        .join(ExchangeAccount, ExchangeAccount.id == PaperCursor.account_id)
        .where(
            ExchangeAccount.deleted_at.is_(None),
            or_(
                select(PaperOrder.id)
                .where(
                    PaperOrder.account_id == PaperCursor.account_id,
                    PaperOrder.market_id == PaperCursor.market_id,
                    PaperOrder.status == "open",
                )
                .exists(),
                select(PaperStake.base)
                .where(
                    PaperStake.account_id == PaperCursor.account_id,
                    PaperStake.market_id == PaperCursor.market_id,
                    PaperStake.base != 0,
                )
                .exists(),
            ),
        )
        .group_by(PaperCursor.market_id)
    )
    return {market_id: seq for market_id, seq in rows}
