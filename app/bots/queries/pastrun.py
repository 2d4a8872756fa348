"""What settings would have brought on the last days of a pair: the back-test card."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import dropwhile

from app.bots.grounds import Grounds, find_grounds, own_account
from app.bots.presets import KINDS
from app.bots.queries.draft import Draft
from app.bots.queries.preview import FieldLine, field_line
from app.db import utc_now
from app.markets.queries import candles
from app.trading.backtest import BacktestResult, PriceLeaps, run_backtest
from app.trading.market import Candle, exact
from app.trading.performance import Figures
from app.trading.strategies import strategy_named
from app.trading.strategy import InvalidParams

DAYS = 30
HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
MOST_CANDLES = DAYS * 24
FEWEST_CANDLES = 2
MOST_GRIDS = 200
FEW_TRADES = 30
# Both counts together; the second is left out where the first has used the time up.
BUDGET_S = 4.0  # time


@dataclass(frozen=True, slots=True)
class PastRun:
    """What settings would have brought: `figures` with cautious fills, `best` with lucky ones.

    `warnings` are codes. `finished` is the code of an end before the last candle. Days outside are
    days of prices outside the range at the end of an hour.
    """

    currency: str
    candles: int
    missing: int
    first_at: datetime
    last_at: datetime
    figures: Figures
    best: Figures | None
    drawdown: Decimal
    days_outside: Decimal
    finished: str | None
    warnings: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def hours(self) -> int:
        """Return the length of the count in hours."""
        return (self.last_at - self.first_at) // HOUR

    @property
    def days(self) -> int:
        """Return the length of the count in days, to the nearest."""
        return round(self.hours / 24)

    @property
    @exact
    def hold_share(self) -> Decimal | None:
        """Return the profit of buying and holding as a fraction of the money put in."""
        money = self.figures.invested
        return self.figures.buy_and_hold / money if money > 0 else None


@dataclass(frozen=True, slots=True)
class NoPastRun:
    """Why there is nothing to show: a code, or a sentence about a field of the form."""

    refusal: str
    entry: FieldLine | None = None


class Declined(Exception):
    """There is nothing to show; the answer says why."""

    def __init__(self, code: str, entry: FieldLine | None = None) -> None:
        super().__init__(code)
        self.answer = NoPastRun(code, entry)


class OutOfTime(Exception):
    """The count took longer than a page may."""


def past_run(
    user_id: int,
    draft: Draft,
    strategy: str,
    values: Mapping[str, object],
    preset: str = "",
    wrong: Sequence[FieldLine] = (),
    *,
    budget_s: float = BUDGET_S,  # time
) -> PastRun | NoPastRun:
    """Count what a form would have brought on its pair's own last days; stores nothing.

    `wrong` are fields that could not even be read.
    """
    deadline = time.monotonic() + budget_s
    try:
        if draft.account is None or draft.pair is None:
            raise Declined("nothing_chosen")
        if wrong:
            raise Declined("settings", wrong[0])
        grounds = find_grounds(own_account(user_id, draft.account.id), draft.pair.id)
        if grounds.price.price is None:
            raise Declined("no_price")
        history = last_days(grounds.row.id)
        usable = _usable(strategy, values, history)
        found = _count(strategy, values, grounds, usable, deadline)
    except Declined as no:
        return no.answer
    except InvalidParams as bad:
        return NoPastRun("settings", field_line(bad.problems[0]))
    is_late = len(usable) < len(history)
    return replace(found, warnings=tuple(_warnings(found, preset, is_late=is_late)))


def last_days(market_id: int) -> list[Candle]:
    """Return the candles of an hour of the last 30 days, oldest first."""
    since_ms = int((utc_now() - timedelta(days=DAYS)).timestamp() * 1000)
    found = candles(market_id, "1h", MOST_CANDLES)
    return [candle for candle in found if candle.ts_ms >= since_ms]


def _usable(strategy: str, values: Mapping[str, object], history: Sequence[Candle]) -> list[Candle]:
    """Return the candles from the first on at which a bot with these settings could start."""
    if len(history) < FEWEST_CANDLES:
        raise Declined("too_short")
    known = strategy_named(strategy)
    params = known.parse(values)
    if getattr(params, "grids", 0) > MOST_GRIDS:
        raise Declined("too_many_grids")
    usable = list(dropwhile(lambda candle: known.is_outside(params, candle.open), history))
    if len(usable) < FEWEST_CANDLES:
        raise Declined("never_inside")
    return usable


def _count(
    strategy: str,
    values: Mapping[str, object],
    grounds: Grounds,
    history: Sequence[Candle],
    deadline: float,  # time
) -> PastRun:
    def run(*, touch: bool) -> BacktestResult | None:
        try:
            paced = _in_time(history, deadline)
            return run_backtest(strategy, values, grounds.market, paced, touch=touch)
        except (OutOfTime, PriceLeaps):
            return None

    cautious = run(touch=False)
    if cautious is None:
        raise Declined("too_much")
    return _past_run(grounds, cautious, run(touch=True))


def _in_time(history: Iterable[Candle], deadline: float) -> Iterator[Candle]:  # time
    for candle in history:
        if time.monotonic() > deadline:
            raise OutOfTime
        yield candle


def _past_run(grounds: Grounds, result: BacktestResult, lucky: BacktestResult | None) -> PastRun:
    spanned = (result.last_ms - result.first_ms) // HOUR_MS + 1
    return PastRun(
        currency=grounds.row.quote,
        candles=result.candles,
        missing=spanned - result.candles,
        first_at=_time(result.first_ms),
        # The candle of this hour is not over.
        last_at=min(_time(result.last_ms) + HOUR, utc_now()),
        figures=result.figures,
        best=lucky.figures if lucky else None,
        drawdown=result.drawdown.largest,
        # Candles of an hour, however the gaps between them lie.
        days_outside=Decimal(result.candles_outside) / 24,
        finished=result.finished,
    )


def _warnings(found: PastRun, preset: str, *, is_late: bool) -> Iterator[str]:
    if is_late:
        yield "started_late"
    if found.finished is not None:
        yield "ended_early"
    if found.figures.matched_trades < FEW_TRADES:
        yield "few_trades"
    if found.missing:
        yield "missing_candles"
    if found.best is None:
        yield "no_best"
    elif (found.figures.total > 0) != (found.best.total > 0):
        yield "signs_differ"
    # Every preset is made from days that end now.
    if preset in {kind.name for kind in KINDS}:
        yield "same_days"


def _time(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, UTC)
