"""What a bot stands on: an account, a pair with the account's fees, and the last price."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.db import db
from app.errors import Conflict, NotFound
from app.exchanges.catalogue import VENUES
from app.exchanges.models import Exchange, ExchangeAccount
from app.markets.models import MarketRow
from app.markets.queries import LARGEST_ID, Price, last_price, market_row, to_market
from app.trades.owners import Pair
from app.trading.market import Market, MarketKind


def pair_of(row: MarketRow) -> Pair:
    """Return a pair as pages name it."""
    return Pair(
        row.id, row.symbol, row.base, row.quote, row.tick, row.lot, row.blocked_reason, row.kind
    )


@dataclass(frozen=True, slots=True)
class Grounds:
    """An account with a pair that it can trade."""

    account: ExchangeAccount
    row: MarketRow
    market: Market
    price: Price

    @property
    def orders_per_second(self) -> Decimal | None:
        """Return how many orders the exchange takes of an account; paper keeps its venue's pace."""
        return VENUES[self.account.venue].orders_per_second

    @property
    def known_price(self) -> Decimal:
        """Return the last price; raise Conflict if none was ever seen."""
        if self.price.price is None:
            raise Conflict("no_price_yet", symbol=self.row.symbol)
        return self.price.price


def own_account(user_id: int, account_id: int) -> ExchangeAccount:
    """Return a person's account; raise NotFound for one that is not theirs."""
    known = 0 < account_id <= LARGEST_ID
    account = db.session.get(ExchangeAccount, account_id) if known else None
    if account is None or account.user_id != user_id or account.deleted_at is not None:
        raise NotFound("unknown_account", field="account_id")
    return account


def find_grounds(account: ExchangeAccount, market_id: int) -> Grounds:
    """Return an account with a pair of its exchange; raise NotFound for any other pair."""
    row = market_row(market_id)
    if row.exchange != account.venue:
        raise NotFound("unknown_market", field="market_id")
    return Grounds(account, row, to_market(row, account), last_price(row.id))


def check_usable(grounds: Grounds) -> None:
    """Raise Conflict unless new trading is possible there now."""
    account, row = grounds.account, grounds.row
    if not account.active:
        raise Conflict("account_switched_off", field="account_id", account=account.label)
    for code in {account.exchange, account.venue}:
        exchange = db.session.get(Exchange, code)
        if exchange is None or not exchange.enabled:
            raise Conflict("exchange_disabled", field="account_id", exchange=code.capitalize())
    check_contract(account, row)
    if row.blocked_reason:
        raise Conflict(f"market_{row.blocked_reason}", field="market_id", symbol=row.symbol)


def check_contract(account: ExchangeAccount, row: MarketRow) -> None:
    """Raise Conflict for a contract where bots trade none, or that the key may not trade."""
    if row.kind == MarketKind.SPOT.value:
        return
    venue = VENUES[account.venue]
    if not venue.futures:
        raise Conflict("venue_has_no_contracts", field="market_id", exchange=venue.name)
    if account.permissions.get("contracts") is False:
        raise Conflict(
            "key_can_not_trade_contracts", field="account_id", account=account.label,
            exchange=venue.name,
        )  # fmt: skip


def check_price(grounds: Grounds) -> None:
    """Raise Conflict where real money would be traded by a price that nobody has renewed."""
    price = grounds.price
    if grounds.account.mode != "paper" and price.is_stale and price.at is not None:
        since = price.at.isoformat(timespec="seconds")
        raise Conflict("price_is_stale", symbol=grounds.row.symbol, since=since)


def without_resting_stop(exchange: str, params: Mapping[str, Any]) -> str:
    """Return the name of an exchange where a wanted stop can't rest, so that only we watch it."""
    venue = VENUES[exchange]
    wanted = any(params.get(name) is not None for name in ("stop_loss", "stop_loss_share"))
    if venue.has_stops or not wanted or params.get("at_exit") != "sell":
        return ""
    return venue.name
