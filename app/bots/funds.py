"""How much of an account's money is not claimed by a running bot."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import func, select

from app.bots.models import Bot, BotMetrics, BotState
from app.db import db
from app.errors import Conflict, Unavailable
from app.exchanges.models import ExchangeAccount, PaperBalance
from app.markets.models import MarketRow
from app.trading.market import ZERO
from app.trading.position import Holdings

# A paused bot keeps its money, and so does one that gave up: its orders may still stand.
CLAIMING = tuple(
    state.value
    for state in (
        BotState.STARTING,
        BotState.ACTIVE,
        BotState.PAUSED,
        BotState.STOPPING,
        BotState.ERROR,
    )
)


@dataclass(frozen=True, slots=True)
class Funds:
    """Money of an account by currency: all of it, and what no running bot claims."""

    totals: Mapping[str, Decimal]
    claimed: Mapping[str, Decimal]

    def free(self, currency: str) -> Decimal:
        """Return what a new bot could take."""
        return max(ZERO, self.totals.get(currency, ZERO) - self.claimed.get(currency, ZERO))


def read_funds(
    account: ExchangeAccount,
    *,
    but: int | None = None,
    balances: Mapping[str, Decimal] | None = None,
) -> Funds:
    """Return an account's money, leaving one bot's claim out.

    `balances` are what a real exchange says now; without them only a paper account is known.
    """
    if balances is None:
        if account.mode != "paper":
            raise Unavailable("balances_unknown", account=account.label)
        balances = _paper_balances(account.id)
    return Funds(balances, _claims(account.id, but))


def check_funds(funds: Funds, base: str, quote: str, needed: Holdings) -> None:
    """Raise Conflict unless the money and the coins that a bot needs are free."""
    if needed.quote > funds.free(quote):
        raise Conflict(
            "not_enough_money",
            field="investment",
            needed=needed.quote,
            free=funds.free(quote),
            currency=quote,
        )
    if needed.base > funds.free(base):
        raise Conflict("not_enough_coins", needed=needed.base, free=funds.free(base), currency=base)


def _paper_balances(account_id: int) -> dict[str, Decimal]:
    rows = db.session.execute(
        select(PaperBalance.currency, PaperBalance.free + PaperBalance.locked).where(
            PaperBalance.account_id == account_id
        )
    )
    return {currency: amount for currency, amount in rows}


def _claims(account_id: int, but: int | None) -> dict[str, Decimal]:
    claims: dict[str, Decimal] = {}
    rows = db.session.execute(
        select(
            MarketRow.base, MarketRow.quote, func.sum(BotMetrics.base), func.sum(BotMetrics.quote)
        )
        .join(Bot, Bot.market_id == MarketRow.id)
        .join(BotMetrics, BotMetrics.bot_id == Bot.id)
        .where(
            Bot.account_id == account_id,
            Bot.state.in_(CLAIMING),
            Bot.deleted_at.is_(None),
            Bot.id != (but or 0),
        )
        .group_by(MarketRow.base, MarketRow.quote)
    )
    for base, quote, coins, cash in rows:
        claims[base] = claims.get(base, ZERO) + coins
        claims[quote] = claims.get(quote, ZERO) + cash
    return claims
