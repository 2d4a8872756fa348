"""Asking a real exchange about an account before a bot starts on it."""

from collections.abc import Mapping
from decimal import Decimal

from app.bots.inventory import own_bot
from app.errors import Conflict, DomainError
from app.exchanges.catalogue import VENUES
from app.exchanges.queries import Balances, account_of
from app.exchanges.service import read_balances
from app.markets.queries import market_row
from app.trading.market import MarketKind


def ask_venue(user_id: int, bot_id: int) -> Mapping[str, Decimal] | None:
    """Return what a bot's account holds: money by currency, contracts by symbol.

    None for paper, or if the exchange does not answer. Raise Conflict where the account's settings
    do not let the bot trade its contract, and can't be changed because positions depend on them.
    """
    bot = own_bot(user_id, bot_id)
    if bot.mode == "paper":
        return None
    try:
        found = read_balances(user_id, bot.account_id)
    except DomainError:
        return None
    market = market_row(bot.market_id)
    if market.kind != MarketKind.SPOT.value:
        exchange = VENUES[account_of(user_id, bot.account_id).venue].name
        check_settings_for(market.symbol, found, exchange)
    return found.totals


def check_settings_for(symbol: str, found: Balances, exchange: str) -> None:
    """Raise Conflict unless a contract can be traded with isolated margin and one position."""
    if any(held.hedged for held in found.positions if held.symbol == symbol):
        raise Conflict("position_mode_hedged", exchange=exchange)
    if found.positions and not found.is_isolated:
        raise Conflict("margin_not_isolated", exchange=exchange)
