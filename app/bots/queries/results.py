"""What a person's bots made in a period: sums by currency, and each bot for itself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select

from app.bots.figures import BotFigures
from app.bots.queries.cards import BotCard, own_cards
from app.bots.queries.dashboard_curve import FOREVER, PERIODS, Curve, profit_curve
from app.bots.queries.lists import totals_at
from app.db import db, utc_now
from app.trades.models import TradeRow
from app.trading.market import ZERO, booked, exact


@dataclass(frozen=True, slots=True)
class TradeSums:
    """Closed trades of a period; `gains` and `losses` are both sums of sizes, net of fees."""

    trades: int = 0
    won: int = 0
    gains: Decimal = ZERO
    losses: Decimal = ZERO
    fees: Decimal = ZERO

    def __add__(self, other: "TradeSums") -> "TradeSums":
        return TradeSums(
            self.trades + other.trades,
            self.won + other.won,
            self.gains + other.gains,
            self.losses + other.losses,
            self.fees + other.fees,
        )

    @property
    def win_share(self) -> Decimal | None:
        """Return which share of the trades made a profit."""
        return booked(Decimal(self.won) / self.trades) if self.trades else None

    @property
    def profit_factor(self) -> Decimal | None:
        """Return gains by losses; None where nothing was lost."""
        return booked(self.gains / self.losses) if self.losses else None


@dataclass(frozen=True, slots=True)
class BotResult:
    """A bot's period: the change of its total profit, and its closed trades."""

    card: BotCard
    figures: BotFigures
    profit: Decimal
    sums: TradeSums


@dataclass(frozen=True, slots=True)
class CurrencyResult:
    """Sums over all bots of one currency; `share` is the profit by the money put in."""

    currency: str
    bots: int
    profit: Decimal
    invested: Decimal
    share: Decimal | None
    sums: TradeSums


@dataclass(frozen=True, slots=True)
class Results:
    """The statistics page of a person for one mode and period."""

    mode: str
    has_testnet: bool
    period: str
    currencies: tuple[CurrencyResult, ...]
    bots: tuple[BotResult, ...]
    curve: Curve | None


def results(user_id: int, mode: str, period: str, longest: timedelta = FOREVER) -> Results:
    """Return what the bots of a mode made in a period, best first; an unknown period means 30 days.

    A period goes back by `longest` at most.
    Deleted bots are left out: their books are closed, their trades stay in the list of trades.
    """
    period = period if period in PERIODS else "30d"
    every = own_cards(user_id, sparks=False)
    cards = [card for card in every if card.stage == mode]
    begin = utc_now() - min(PERIODS[period], longest)
    lines = _of_bots(cards, begin)
    return Results(
        mode=mode,
        has_testnet=any(card.testnet for card in every),
        period=period,
        currencies=_by_currency(lines),
        bots=tuple(sorted(lines, key=lambda line: line.profit, reverse=True)),
        curve=profit_curve(cards, period, longest=longest),
    )


@exact
def _of_bots(cards: Sequence[BotCard], begin: datetime) -> list[BotResult]:
    ids = [card.id for card in cards]
    before, sums = totals_at(ids, begin), _trade_sums(ids, begin)
    return [
        BotResult(
            card=card,
            figures=card.figures,
            profit=card.figures.total - before.get(card.id, ZERO),
            sums=sums.get(card.id, TradeSums()),
        )
        for card in cards
        if card.figures is not None
    ]


def _trade_sums(bot_ids: Sequence[int], begin: datetime) -> dict[int, TradeSums]:
    gained, lost = TradeRow.profit > 0, TradeRow.profit < 0
    profit = func.sum(TradeRow.profit)
    rows = db.session.execute(
        select(
            TradeRow.bot_id,
            func.count(TradeRow.id),
            func.count(TradeRow.id).filter(gained),
            profit.filter(gained),
            -profit.filter(lost),
            func.sum(TradeRow.fees),
        )
        .where(TradeRow.bot_id.in_(bot_ids), TradeRow.status == "closed", TradeRow.exit_at >= begin)
        .group_by(TradeRow.bot_id)
    )
    return {
        bot_id: TradeSums(trades, won, gains or ZERO, losses or ZERO, fees)
        for bot_id, trades, won, gains, losses, fees in rows
    }


@exact
def _by_currency(lines: Iterable[BotResult]) -> tuple[CurrencyResult, ...]:
    found: dict[str, CurrencyResult] = {}
    for line in lines:
        name = line.card.currency
        known = found.get(name) or CurrencyResult(name, 0, ZERO, ZERO, None, TradeSums())
        found[name] = replace(
            known,
            bots=known.bots + 1,
            profit=known.profit + line.profit,
            invested=known.invested + line.figures.invested,
            sums=known.sums + line.sums,
        )
    return tuple(
        replace(each, share=booked(each.profit / each.invested) if each.invested > 0 else None)
        for _, each in sorted(found.items())
    )
