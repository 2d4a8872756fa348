"""What a real account holds, for the decision about a bot on it: a worker asks the exchange."""

from collections.abc import Mapping
from decimal import Decimal

from app.answers import PATIENCE_S
from app.bots.inventory import own_bot
from app.bots.models import Bot
from app.errors import Conflict, DomainError
from app.exchanges.catalogue import VENUES
from app.exchanges.queries import Balances, account_of
from app.exchanges.snapshots import held_now
from app.markets.queries import market_row
from app.trading.market import MarketKind


def ask_venue(
    user_id: int, bot_id: int, patience_s: float = PATIENCE_S
) -> Mapping[str, Decimal] | None:
    """Return what a bot's account holds: money by currency, contracts by symbol.

    None for paper, or if the exchange does not answer. Raise Conflict where the account's settings
    do not let the bot trade its contract, and can't be changed because positions depend on them.
    """
    bot = own_bot(user_id, bot_id)
    found = _ask(user_id, bot, patience_s)
    if found is None:
        return None
    market = market_row(bot.market_id)
    if market.kind != MarketKind.SPOT.value:
        exchange = VENUES[account_of(user_id, bot.account_id).venue].name
        check_settings_for(market.symbol, found, exchange)
    return found.totals


def ask_money(user_id: int, bot_id: int) -> Mapping[str, Decimal] | None:
    """Return what the account of a running bot holds; None for paper, or without an answer."""
    found = _ask(user_id, own_bot(user_id, bot_id), PATIENCE_S)
    return None if found is None else found.totals


def _ask(user_id: int, bot: Bot, patience_s: float) -> Balances | None:
    if bot.mode == "paper":
        return None
    try:
        return held_now(user_id, bot.account_id, patience_s)
    except DomainError:
        return None


def check_settings_for(symbol: str, found: Balances, exchange: str) -> None:
    """Raise Conflict unless a contract can be traded with isolated margin and one position."""
    if any(held.hedged for held in found.positions if held.symbol == symbol):
        raise Conflict("position_mode_hedged", exchange=exchange)
    if found.positions and not found.is_isolated:
        raise Conflict("margin_not_isolated", exchange=exchange)
