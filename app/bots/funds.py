"""How much of an account's money is not claimed by a running bot."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text

from app.bots.models import BotState
from app.db import db
from app.errors import Conflict, Unavailable
from app.exchanges.models import ExchangeAccount
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
    if balances is None and account.mode != "paper":
        raise Unavailable("balances_unknown", account=account.label)
    totals, claims = _read_sums(account.id, but, paper=balances is None)
    return Funds(totals if balances is None else balances, claims)


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


# One statement, so one moment: the venue fills an order in one transaction, and the bot that owns
# it books the fill in the next. Fills not booked yet are taken out of the venue's balances.
_PAPER_TOTALS = """
    select 'total' as kind, currency, free + locked as amount
    from paper_balances where account_id = :account
    union all
    select 'total', flow.currency, -flow.amount
    from exchange_accounts as account
    join paper_fills as fill on fill.account_id = account.id
        and fill.id > coalesce(nullif(account.fills_cursor, ''), '0')::bigint
    join markets as market on market.id = fill.market_id and market.kind = 'spot'
    cross join lateral (
        values
            (market.base, case fill.side when 'buy' then fill.quantity else -fill.quantity end),
            (market.quote, case fill.side when 'buy' then -1 else 1 end
                * trunc(fill.price * fill.quantity, 18)),
            (fill.fee_currency, -fill.fee)
    ) as flow (currency, amount)
    where account.id = :account
    union all
"""
_CLAIMS = """
    select 'claim' as kind, flow.currency, flow.amount
    from bots as bot
    join markets as market on market.id = bot.market_id
    join bot_metrics as metrics on metrics.bot_id = bot.id
    cross join lateral (
        values
            (market.base, case market.kind when 'spot' then metrics.base else 0 end),
            (market.quote, metrics.quote + case market.kind when 'spot' then 0
                else sign(metrics.base) * metrics.base_cost end)
    ) as flow (currency, amount)
    where bot.account_id = :account and bot.id <> :but and bot.deleted_at is null
        and bot.state = any(cast(:states as text[]))
    union all
    -- What a stopped bot has left on the exchange locks money and coins too.
    select 'claim', case own.side when 'buy' then market.quote else market.base end,
        (own.quantity - own.filled) * case own.side when 'buy' then own.price else 1 end
    from bots as bot
    join markets as market on market.id = bot.market_id and market.kind = 'spot'
    join orders as own on own.bot_id = bot.id and not own.settled and own.price is not null
        and own.status in ('INTENDED', 'OPEN', 'PARTIAL', 'UNRESOLVED')
    where bot.account_id = :account and bot.id <> :but
        and bot.state <> all(cast(:states as text[]))
    union all
    -- So does the margin of a contract that it has kept, and of orders that would open more of it.
    select 'claim', market.quote, round((metrics.base_cost + coalesce(opening.value, 0))
        / greatest(coalesce((config.params ->> 'leverage')::numeric, 1), 1), 18)
    from bots as bot
    join markets as market on market.id = bot.market_id and market.kind <> 'spot'
    join bot_metrics as metrics on metrics.bot_id = bot.id
    join bot_configs as config
        on config.bot_id = bot.id and config.version = bot.config_version
    left join lateral (
        select sum((own.quantity - own.filled) * own.price) as value
        from orders as own
        where own.bot_id = bot.id and not own.settled and own.price is not null
            and own.status in ('INTENDED', 'OPEN', 'PARTIAL', 'UNRESOLVED')
            and own.purpose <> 'protect'
            and case own.side when 'buy' then metrics.base >= 0 else metrics.base <= 0 end
    ) as opening on true
    where bot.account_id = :account and bot.id <> :but and bot.deleted_at is null
        and bot.state <> all(cast(:states as text[]))
        and (metrics.base <> 0 or opening.value is not null)
"""
_SUMMED = "select kind, currency, sum(amount) from ({}) as parts group by kind, currency"
_OF_PAPER = text(_SUMMED.format(_PAPER_TOTALS + _CLAIMS))
_OF_CLAIMS = text(_SUMMED.format(_CLAIMS))


def _read_sums(
    account_id: int, but: int | None, *, paper: bool
) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    asked = {"account": account_id, "but": but or 0, "states": list(CLAIMING)}
    sums: dict[str, dict[str, Decimal]] = {"total": {}, "claim": {}}
    for kind, currency, amount in db.session.execute(_OF_PAPER if paper else _OF_CLAIMS, asked):
        sums[kind][currency] = amount
    return sums["total"], sums["claim"]
