"""Bots as a tick needs them: read and written in bulk."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Table, text

from app.bots.models import RUNNING, Bot, BotEvent, BotState
from app.bulk import bulk_insert, bulk_update, plain_columns
from app.db import db
from app.markets.models import MarketRow
from app.markets.queries import to_market
from app.trading.market import Market, MarketKind, PricePoint, Triggers
from app.trading.strategy import Severity, StopHow

BOTS: Table = Bot.__table__  # type: ignore[assignment]
MARKETS: Table = MarketRow.__table__  # type: ignore[assignment]
EVENTS: Table = BotEvent.__table__  # type: ignore[assignment]

# A stop that outranks every other and ends with the bot locked.
EMERGENCY = "emergency"
# So many failed ticks in a row, and a bot gives up.
MOST_FAILURES = 5
RUNNING_STATES = tuple(state.value for state in RUNNING)


@dataclass(slots=True)
class Seat:
    """What has to be known of a bot before anything of it is sent or a price is passed over."""

    id: int
    user_id: int
    account_id: int
    market_id: int
    state: str
    stop_request: str | None
    epoch: int
    is_fresh: bool
    price_is_stale: bool
    triggers: Triggers
    market: Market
    last_point: PricePoint | None

    @property
    def is_running(self) -> bool:
        """Say whether the strategy has the word."""
        return self.state in RUNNING_STATES

    @property
    def is_paused(self) -> bool:
        """Say whether it opens nothing; its exits hold."""
        return self.state == BotState.PAUSED.value

    @property
    def minds_prices(self) -> bool:
        """Say whether its triggers count."""
        return not self.is_fresh and (self.is_running or self.is_paused)


@dataclass(slots=True)
class LiveBot(Seat):
    """A bot with all that its tick changes."""

    strategy: str
    capital: Decimal
    config_version: int
    params: dict[str, Any]
    strategy_state: dict[str, Any] | None
    left_state: dict[str, Any] | None
    state_since: datetime
    state_reason: dict[str, Any]
    tick_number: int
    tick_period_s: int
    started_at: datetime | None
    stopped_at: datetime | None
    last_tick_at: datetime | None
    next_tick_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    failures: int
    protection: dict[str, Any] | None
    guard: dict[str, Any] | None
    guard_day: dict[str, Any] | None
    swing_seq: int | None
    swing_low: Decimal | None
    swing_high: Decimal | None
    # Prices that wake it, resting orders included; for the index, not stored.
    wake: Triggers = Triggers()
    state_changed: bool = False
    # As it stands in the row.
    left_stored: dict[str, Any] | None = None
    protection_stored: dict[str, Any] | None = None
    guard_day_stored: dict[str, Any] | None = None

    @property
    def how(self) -> StopHow | None:
        """Return how it was asked to stop, if it was."""
        if self.stop_request is None:
            return None
        return StopHow.SELL if self.is_emergency else StopHow(self.stop_request)

    @property
    def is_emergency(self) -> bool:
        """Say whether the stop outranks everything."""
        return self.stop_request == EMERGENCY

    def turn(self, state: BotState, code: str, values: Any, now: datetime) -> None:
        """Move to another state and say why."""
        self.state, self.state_since = state.value, now
        self.state_reason = {"code": code, "values": dict(values)} if code else {}

    def has_minded(self, point: PricePoint) -> None:
        """Note that it has decided about all prices up to this one."""
        self.swing_seq, self.swing_low, self.swing_high = point.seq, None, None


# --- reading --------------------------------------------------------------------------------------

_OWN = (
    "strategy", "capital", "config_version", "strategy_state", "left_state", "state_since",
    "state_reason",
    "tick_number", "tick_period_s", "started_at", "stopped_at", "last_tick_at", "next_tick_at",
    "last_error", "last_error_at", "failures", "protection",
    "guard", "guard_day", "swing_seq", "swing_low", "swing_high",
)  # fmt: skip
_SEAT = ", ".join(
    (
        plain_columns(
            BOTS,
            (
                "id", "user_id", "account_id", "market_id", "state", "stop_request", "epoch",
                "wake_below", "wake_above",
            ),
        ),
        "coalesce(jsonb_typeof(bots.strategy_state), 'null') = 'null' as is_fresh",
        "markets.stale_reason <> '' or coalesce("
        "now() - markets.last_price_at > make_interval(secs => markets.stale_after_s), true"
        ") as price_is_stale",
        plain_columns(
            MARKETS,
            (
                "symbol", "base", "quote", "kind", "tick", "lot", "min_quantity", "min_notional",
                "fee_side", "last_seq", "last_price", "last_price_at", "max_leverage", "tiers",
                "funding_interval_s",
            ),
        ),
        # An account's fees are those on coins.
        *(
            f"trim_scale(case markets.kind when 'spot' then exchange_accounts.{fee}"
            f" else markets.{fee} end) as {fee}"
            for fee in ("maker_fee", "taker_fee")
        ),
    )
)  # fmt: skip
_JOINED = """
    from bots
    join markets on markets.id = bots.market_id
    join exchange_accounts on exchange_accounts.id = bots.account_id
"""
_CONCERNED = """
    bots.account_id = any(cast(:accounts as bigint[])) and (
        bots.state in ('starting', 'active', 'paused', 'stopping') or bots.id in (
            select bot_id from orders
            where account_id = any(cast(:accounts as bigint[])) and not settled
        ) or (
            -- A position that a bot has left goes on paying funding, and may be liquidated.
            markets.kind <> 'spot' and exists (
                select from bot_metrics where bot_id = bots.id and base <> 0
            )
        ) or (
            -- What fell due just before it ended is told a moment later.
            markets.kind <> 'spot' and bots.stopped_at + interval '1 minute'
                > coalesce(exchange_accounts.audited_at, bots.stopped_at)
        )
    )
"""
_READ_SEATS = text(
    f"select {_SEAT} {_JOINED} where {_CONCERNED} order by bots.id for share of bots"
)
# Whoever waits here for an edit gets the row of after it, with what it was joined to before: none
# of that is of the new version, and a join that must find one would leave the bot out.
_READ_BOTS = text(
    f"select {_SEAT}, {plain_columns(BOTS, _OWN)}, config.params {_JOINED}"
    " left join bot_configs as config"
    "   on config.bot_id = bots.id and config.version = bots.config_version"
    f" where ({_CONCERNED}) or bots.id = any(cast(:also as bigint[]))"
    " order by bots.id for update of bots"
)


def read_seats(account_ids: Collection[int]) -> list[Seat]:
    """Read the bots that run or are paused, or hold a contract or unsettled orders.

    Nobody can stop one until we are done.
    """
    rows = db.session.execute(_READ_SEATS, {"accounts": list(account_ids)})
    return [Seat(**_seat_values(row)) for row in rows.all()]


def read_bots(account_ids: Collection[int], also: Iterable[int] = ()) -> list[LiveBot]:
    """Read those bots (and others by id) whole, locked for writing."""
    asked = {"accounts": list(account_ids), "also": list(also)}
    rows = db.session.execute(_READ_BOTS, asked).all()
    edited = _read_params(row.id for row in rows if row.params is None)
    return [
        LiveBot(
            **_seat_values(row),
            params=edited[row.id] if row.params is None else row.params,
            **{name: getattr(row, name) for name in _OWN},
            left_stored=row.left_state,
            protection_stored=row.protection,
            guard_day_stored=row.guard_day,
        )
        for row in rows
    ]


_PARAMS = text("""
    select bot.id, config.params
    from bots as bot
    join bot_configs as config on config.bot_id = bot.id and config.version = bot.config_version
    where bot.id = any(cast(:bots as bigint[]))
""")


def _read_params(bot_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the settings of bots that are locked already, as they are now."""
    asked = list(bot_ids)
    if not asked:
        return {}
    return {row.id: row.params for row in db.session.execute(_PARAMS, {"bots": asked})}


_LEVERAGES = text("""
    select bot.id, coalesce(config.params ->> 'leverage', '1') as leverage
    from bots as bot
    join bot_configs as config on config.bot_id = bot.id and config.version = bot.config_version
    where bot.id = any(cast(:bots as bigint[]))
        and coalesce(bot.strategy_state ->> 'phase', '') <> 'editing'
""")


def read_leverages(seats: Iterable[Seat]) -> dict[int, Decimal]:
    """Return the leverage that running bots on contracts want, by bot; spot has none.

    While a bot takes orders back for other settings the contract keeps the leverage that they need.
    """
    bots = [s.id for s in seats if s.is_running and s.market.kind is MarketKind.LINEAR]
    if not bots:
        return {}
    rows = db.session.execute(_LEVERAGES, {"bots": bots})
    return {row.id: Decimal(row.leverage) for row in rows}


# What the price has reached counts, also if it is back before anybody has decided: the exchange was
# away, the worker busy, a tick failed, or the bot was paused and nobody could look. So each bot
# knows up to which price it has decided. Who names another stop decides from there on.
_MINDS_SWINGS = """
    bot.account_id = :account and bot.state in ('starting', 'active', 'paused')
        and bot.swing_seq is not null and exists (
            select from bot_configs as config
            where config.bot_id = bot.id and config.version = bot.config_version
                and (config.params ->> 'stop_loss' is not null
                    or bot.strategy_state ->> 'phase' = 'waiting')
        )
"""
_SWINGS = text(f"""
    select bot.id, least(bot.swing_low, min(point.price)) as lowest,
        greatest(bot.swing_high, max(point.price)) as highest
    from bots as bot
    left join price_points as point on point.market_id = bot.market_id
        and point.seq > bot.swing_seq
    where {_MINDS_SWINGS}
    group by bot.id
    having coalesce(bot.swing_low, min(point.price)) is not null
""")  # noqa: S608 - words of our own
_KEEP_SWINGS = text(f"""
    with bot as materialized (
        select bot.id, bot.market_id, bot.swing_seq from bots as bot where {_MINDS_SWINGS}
        order by bot.id for update
    ), news as (
        select bot.id, max(point.seq) as seq, min(point.price) as low, max(point.price) as high
        from bot
        join price_points as point on point.market_id = bot.market_id and point.seq > bot.swing_seq
        group by bot.id
    )
    update bots set swing_seq = news.seq, swing_low = least(swing_low, news.low),
        swing_high = greatest(swing_high, news.high)
    from news where news.id = bots.id
""")  # noqa: S608 - words of our own


def read_swings(account_id: int) -> dict[int, tuple[Decimal, Decimal]]:
    """Return the lowest and highest price since bots decided last that have a stop, or wait."""
    rows = db.session.execute(_SWINGS, {"account": account_id})
    return {row.id: (row.lowest, row.highest) for row in rows}


def keep_swings(account_id: int) -> None:
    """Remember how far prices have gone while nobody could decide: old prices are not kept."""
    db.session.execute(_KEEP_SWINGS, {"account": account_id})


def _seat_values(row: Row[Any]) -> dict[str, Any]:
    point = None
    if row.last_price is not None and row.last_price_at is not None:
        point = PricePoint(row.last_seq, row.last_price_at, row.last_price)
    return {
        "id": row.id,
        "user_id": row.user_id,
        "account_id": row.account_id,
        "market_id": row.market_id,
        "state": row.state,
        "stop_request": row.stop_request,
        "epoch": row.epoch,
        "is_fresh": row.is_fresh,
        "price_is_stale": row.price_is_stale,
        "triggers": Triggers(row.wake_below, row.wake_above),
        "market": to_market(row),
        "last_point": point,
    }


# --- writing --------------------------------------------------------------------------------------

_CHANGED = (
    "state", "state_since", "state_reason", "stop_request", "tick_number", "started_at",
    "stopped_at", "last_tick_at", "next_tick_at", "last_error", "last_error_at", "failures",
    "wake_below", "wake_above", "swing_seq", "swing_low", "swing_high", "stale_since",
)  # fmt: skip
_UPDATE_BOTS = bulk_update(BOTS, ("id",), _CHANGED)
_UPDATE_STATES = bulk_update(BOTS, ("id",), ("strategy_state",))
_UPDATE_LEFT = bulk_update(BOTS, ("id",), ("left_state",))
_UPDATE_STOPS = bulk_update(BOTS, ("id",), ("protection",))
_UPDATE_DAYS = bulk_update(BOTS, ("id",), ("guard_day",))
_ACTIVATE = bulk_update(
    BOTS, ("id",), ("state", "state_since", "started_at"), "and bots.state = 'starting'"
)
_INSERT_EVENTS = bulk_insert(EVENTS, ("bot_id", "at", "level", "code", "values", "tick_id"))


def write_bots(bots: Collection[LiveBot]) -> None:
    """Write back what a tick changes about bots; strategy states only where they changed."""
    if not bots:
        return
    rows = (
        (
            bot.id, bot.state, bot.state_since, json.dumps(bot.state_reason), bot.stop_request,
            bot.tick_number, bot.started_at, bot.stopped_at, bot.last_tick_at, bot.next_tick_at,
            bot.last_error, bot.last_error_at, bot.failures, bot.triggers.below,
            bot.triggers.above, bot.swing_seq, bot.swing_low, bot.swing_high, None,
        )
        for bot in bots
    )  # fmt: skip
    db.session.execute(_UPDATE_BOTS.statement, _UPDATE_BOTS.values(rows))
    changed = [(bot.id, json.dumps(bot.strategy_state)) for bot in bots if bot.state_changed]
    if changed:
        db.session.execute(_UPDATE_STATES.statement, _UPDATE_STATES.values(changed))
    left = [
        (bot.id, json.dumps(bot.left_state)) for bot in bots if bot.left_state != bot.left_stored
    ]
    if left:
        db.session.execute(_UPDATE_LEFT.statement, _UPDATE_LEFT.values(left))
    stops = [
        (bot.id, json.dumps(bot.protection))
        for bot in bots
        if bot.protection != bot.protection_stored
    ]
    if stops:
        db.session.execute(_UPDATE_STOPS.statement, _UPDATE_STOPS.values(stops))
    days = [
        (bot.id, json.dumps(bot.guard_day)) for bot in bots if bot.guard_day != bot.guard_day_stored
    ]
    if days:
        db.session.execute(_UPDATE_DAYS.statement, _UPDATE_DAYS.values(days))


def activate(bot_ids: Iterable[int], now: datetime) -> None:
    """Move bots whose first order was accepted from starting to active."""
    rows = [(bot_id, BotState.ACTIVE.value, now, now) for bot_id in sorted(set(bot_ids))]
    if rows:
        db.session.execute(_ACTIVATE.statement, _ACTIVATE.values(rows))


_FAIL_BOTS = text("""
    update bots set
        failures = failures + 1, last_error = 'unexpected', last_error_at = now(),
        next_tick_at = case when failures + 1 < :most then now() + interval '1 minute' end,
        state_since = case when failures + 1 < :most then state_since else now() end,
        state_reason = case when failures + 1 < :most then state_reason
            else jsonb_build_object('code', 'unexpected', 'values', jsonb_build_object()) end,
        state = case when failures + 1 < :most then state else 'error' end,
        -- Whoever asks it to stop once more is heard.
        stop_request = case when failures + 1 < :most then stop_request end
    where account_id = :account and state in ('starting', 'active', 'stopping')
""")


def fail_bots(account_id: int) -> None:
    """Note that the tick of a whole account failed; after five in a row its bots give up."""
    db.session.execute(_FAIL_BOTS, {"account": account_id, "most": MOST_FAILURES})


_PAUSE_BOTS = text("""
    update bots set state = 'paused', state_since = now(), next_tick_at = null,
        state_reason = jsonb_build_object(
            'code', cast(:code as text),
            'values', jsonb_build_object('exchange', cast(:exchange as text))
        )
    where account_id = :account and state in ('starting', 'active')
        and (cast(:bots as bigint[]) is null or id = any(cast(:bots as bigint[])))
    returning id, user_id
""")


def pause_bots(
    account_id: int, exchange: str, code: str, now: datetime, bots: Iterable[int] | None = None
) -> dict[int, int]:
    """Pause all bots of an account, or these, and say why; return their owners.

    Nothing can be traded at the exchange until their owner has done something about it.
    """
    asked = {
        "account": account_id, "exchange": exchange, "code": code,
        "bots": None if bots is None else [*bots],
    }  # fmt: skip
    rows = db.session.execute(_PAUSE_BOTS, asked)
    owners = {row.id: row.user_id for row in rows}
    write_events([Event(bot, f"paused_{code}", {}, Severity.ERROR) for bot in owners], now, "")
    return owners


_GIVE_UP_STOPS = text("""
    update bots set state = 'error', state_since = now(), next_tick_at = null, stop_request = null,
        state_reason = jsonb_build_object(
            'code', cast(:code as text), 'values', jsonb_build_object()
        )
    where account_id = :account and state = 'stopping'
    returning id, user_id
""")
WITHOUT_KEY = "stop_without_key"


def give_up_stops(account_id: int, now: datetime) -> dict[int, int]:
    """End the bots that can't be stopped, for the venue refuses the key; return their owners.

    What they have there stays as it is, and they say so.
    """
    rows = db.session.execute(_GIVE_UP_STOPS, {"account": account_id, "code": WITHOUT_KEY})
    owners = {row.id: row.user_id for row in rows}
    write_events([Event(bot, WITHOUT_KEY, {}, Severity.ERROR) for bot in owners], now, "")
    return owners


@dataclass(frozen=True, slots=True)
class Event:
    """A line for a bot's log."""

    bot_id: int
    code: str
    values: dict[str, Any]
    level: Severity = Severity.INFO


def write_events(events: Collection[Event], now: datetime, tick_id: str) -> None:
    """Add lines to the logs of bots."""
    rows = [
        (event.bot_id, now, event.level.value, event.code, json.dumps(event.values), tick_id)
        for event in events
    ]
    if rows:
        db.session.execute(_INSERT_EVENTS.statement, _INSERT_EVENTS.values(rows))
