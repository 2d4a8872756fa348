"""The profit of all bots of one currency over time, beside what holding coins would have made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select, text

from app.bots.models import BotEquity
from app.bots.queries.cards import BotCard, svg_line
from app.db import Exact, UtcTime, db, utc_now
from app.trading.market import ZERO, exact

WIDTH, HEIGHT = 600, 160
FOREVER = timedelta(days=3650)
PERIODS = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": FOREVER,
}
POINTS = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """The profit at a moment, and that of the coins that the same money would have bought."""

    at: datetime
    profit: Decimal
    hold: Decimal


@dataclass(frozen=True, slots=True)
class Curve:
    """Total profit over a period, money put in and taken out not counted, in a box of 600 x 160.

    `hold_points` are empty unless that line is wanted. `zero` is the height of no profit, if it
    lies in the picture. `last` and `last_hold` are the ends of the two lines.
    """

    currency: str
    points: str
    hold_points: str
    zero: str
    low: Decimal
    high: Decimal
    last: Decimal
    last_hold: Decimal
    first_at: datetime
    last_at: datetime


@exact
def profit_curve(
    cards: Sequence[BotCard], period: str, *, hold: bool = False, longest: timedelta = FOREVER
) -> Curve | None:
    """Draw the profit of some bots, of the currency in which most is held.

    Nothing is drawn that is longer ago than `longest`.
    """
    worth: dict[str, Decimal] = {}
    for card in cards:
        if card.figures is not None:
            worth[card.currency] = worth.get(card.currency, ZERO) + card.figures.value_now
    if not worth:
        return None
    currency = max(worth, key=lambda name: worth[name])
    figures = {
        card.id: card.figures
        for card in cards
        if card.currency == currency and card.figures is not None
    }
    found = samples(list(figures), min(PERIODS[period], longest))
    if not found:
        return None
    # The line ends in the figure that stands above it, whenever the last sample was taken.
    total = sum((each.total for each in figures.values()), ZERO)
    return draw([*found, Sample(utc_now(), total, found[-1].hold)], currency, hold=hold)


def draw(found: Sequence[Sample], currency: str, *, hold: bool) -> Curve:
    """Draw at least two samples; both lines share one scale."""
    profits = [(each.at, each.profit) for each in found]
    holds = [(each.at, each.hold) for each in found] if hold else []
    values = [value for _, value in (*profits, *holds)]
    scale = min(values), max(values)
    zero = ""
    if scale[0] <= 0 <= scale[1]:
        level = [(found[0].at, ZERO), (found[-1].at, ZERO)]
        zero = svg_line(level, WIDTH, HEIGHT, *scale)
    return Curve(
        currency=currency,
        points=svg_line(profits, WIDTH, HEIGHT, *scale),
        hold_points=svg_line(holds, WIDTH, HEIGHT, *scale) if holds else "",
        zero=zero,
        low=min(value for _, value in profits),
        high=max(value for _, value in profits),
        last=found[-1].profit,
        last_hold=found[-1].hold,
        first_at=found[0].at,
        last_at=found[-1].at,
    )


# Before its first tick a bot has bought nothing, and holding would have neither: no profit.
_PROFITS = """
    equity - invested as profit,
    case when hold = 0 and invested > 0 then 0 else hold - invested end as hold
"""
_IN_PERIOD = text(f"""
    select distinct on (bot_id, bucket) bot_id, bucket, at, {_PROFITS}
    from (
        select *, date_bin(:step, at, :begin) as bucket from bot_equity
        where bot_id = any(cast(:ids as bigint[])) and at >= :begin
    ) as sample
    order by bot_id, bucket, at desc
""").columns(bucket=UtcTime, at=UtcTime, profit=Exact, hold=Exact)  # noqa: S608 - ours
_BEFORE = text(f"""
    select bot.id as bot_id, last.profit, last.hold
    from unnest(cast(:ids as bigint[])) as bot (id)
    join lateral (
        select {_PROFITS} from bot_equity
        where bot_id = bot.id and at < :begin order by at desc limit 1
    ) as last on true
""").columns(profit=Exact, hold=Exact)  # noqa: S608 - ours


@exact
def samples(bot_ids: Sequence[int], length: timedelta) -> list[Sample]:
    """Sum the profit of bots at each step of time; between two samples of a bot the last holds."""
    now = utc_now()
    begin = db.session.scalar(
        select(func.min(BotEquity.at)).where(
            BotEquity.bot_id.in_(bot_ids), BotEquity.at >= now - length
        )
    )
    if begin is None:
        return []
    asked = {"ids": list(bot_ids), "begin": begin}
    # A bot that stands still has no samples; what it had made stays in the sum.
    known = {row.bot_id: (row.profit, row.hold) for row in db.session.execute(_BEFORE, asked)}
    step = max((now - begin) / POINTS, timedelta(minutes=1))
    news: dict[datetime, list[tuple[datetime, int, Decimal, Decimal]]] = {}
    for row in db.session.execute(_IN_PERIOD, {**asked, "step": step}):
        news.setdefault(row.bucket, []).append((row.at, row.bot_id, row.profit, row.hold))
    found = []
    for bucket in sorted(news):
        known |= {bot_id: (profit, hold) for _, bot_id, profit, hold in news[bucket]}
        found.append(
            Sample(
                at=max(at for at, *_ in news[bucket]),
                profit=sum((profit for profit, _ in known.values()), ZERO),
                hold=sum((hold for _, hold in known.values()), ZERO),
            )
        )
    return found
